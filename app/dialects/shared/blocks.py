"""The open blocks of a provider's stream, by the wire's own key; shared by several stream decoders.

A block's canonical number is its position among all blocks of the answer; adjacent texts share an
item. Texts are collected in lists and joined on demand, so a stream of any length costs one copy.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.canonical.events import BlockDelta, BlockEnded, BlockStarted, Event
from app.canonical.request import Native, OpaquePart, Part, Signature
from app.dialects.shared.decoder_parts import continues_item, is_free_text


@dataclass(slots=True)
class OpenBlock:
    """One open block: its canonical number and item, and its part, still empty.

    ``start`` is the wire's own start event. ``pieces``, ``signatures`` and ``redacted`` collect text,
    signatures and redacted thinking; ``extras`` what is no text (citations, pieces of a result or an image).
    ``signed`` and ``native`` are for the end, on wires that send a signature and native members whole.
    """

    number: int
    item: int
    part: Part
    start: Mapping[str, Any] = field(default_factory=dict)
    pieces: list[str] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)
    redacted: list[str] = field(default_factory=list)
    extras: list[Any] = field(default_factory=list)
    signed: Signature | None = None
    native: Native | None = None

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self.pieces)

    @property
    def signature(self) -> str:
        """The signature so far."""
        return "".join(self.signatures)

    @property
    def is_buffered(self) -> bool:
        """True if the text can be written only when it is complete."""
        return isinstance(self.part, OpaquePart) or is_free_text(self.part)

    def start_event(self) -> BlockStarted:
        """Return the event that opens the block."""
        return BlockStarted(self.number, self.item, self.part)

    def add(self, text: str, logprobs: tuple[Mapping[str, Any], ...] | None = None) -> list[Event]:
        """Add a piece of text; return its delta."""
        if text:
            self.pieces.append(text)
        return [BlockDelta(self.number, text, logprobs)] if text or logprobs else []

    def grow(self, text: str, logprobs: tuple[Mapping[str, Any], ...] | None = None) -> list[Event]:
        """Add a piece of text; return its delta, nothing for a buffered block."""
        deltas = self.add(text, logprobs)
        return [] if self.is_buffered else deltas

    def end_event(self, status: str | None = None) -> BlockEnded:
        """Return the event that ends the block."""
        return BlockEnded(self.number, self.signed, self.native, status=status)


class OpenBlocks:
    """The open blocks of one answer. ``parts`` holds the parts of all blocks, closed ones included."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.item = -1
        self._open: dict[Hashable, OpenBlock] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._open

    def open(self, key: Hashable, part: Part, start: Mapping[str, Any] | None = None) -> OpenBlock:
        """Open a block under ``key``, which must not be in use, and return it."""
        if not continues_item(part, self.parts):
            self.item += 1
        block = self._open[key] = OpenBlock(len(self.parts), self.item, part, start or {})
        self.parts.append(part)
        return block

    def get(self, key: Hashable) -> OpenBlock | None:
        """Return the open block of ``key``, None if there is none."""
        return self._open.get(key)

    def take(self, key: Hashable) -> OpenBlock | None:
        """Close and return the block of ``key``, None if there is none."""
        return self._open.pop(key, None)

    def take_all(self) -> list[OpenBlock]:
        """Close and return all open blocks in the order in which they began."""
        return self.take_many(list(self._open))

    def take_many(self, keys: Collection[Hashable]) -> list[OpenBlock]:
        """Close and return the blocks of ``keys`` in the order in which they began; unknown keys are skipped."""
        blocks = [self._open.pop(key) for key in keys if key in self._open]
        return sorted(blocks, key=lambda block: block.number)

    def blocks(self) -> list[OpenBlock]:
        """Return the open blocks in the order in which they began."""
        return list(self._open.values())
