"""Open blocks of an upstream's stream, by the wire's own key: what the decoders of several wires keep alike.

A block's canonical number is its place among all blocks, and adjacent texts share an item.
Pieces wait in lists and are joined when somebody asks for the whole: a stream of any length
costs one copy of it.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.canonical.events import BlockDelta, BlockStarted, Event
from app.canonical.request import OpaquePart, Part
from app.dialects.shared.decoder_parts import continues_item, is_free_text


@dataclass(slots=True)
class OpenBlock:
    """One block as it grows: its canonical number and item, its part still empty, how the wire
    began it, and what has come of it since: pieces of text, signature and redacted thought, and
    ``extras`` that are no text (citations, pieces of a result or of a picture)."""

    number: int
    item: int
    part: Part
    start: Mapping[str, Any] = field(default_factory=dict)
    pieces: list[str] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)
    redacted: list[str] = field(default_factory=list)
    extras: list[Any] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The whole text so far."""
        return "".join(self.pieces)

    @property
    def signature(self) -> str:
        """The whole signature so far."""
        return "".join(self.signatures)

    @property
    def held(self) -> bool:
        """True where nothing of the text can be told before it is whole."""
        return isinstance(self.part, OpaquePart) or is_free_text(self.part)

    def started(self) -> BlockStarted:
        """Return the event that opens the block."""
        return BlockStarted(self.number, self.item, self.part)

    def grow(self, text: str, logprobs: tuple[Mapping[str, Any], ...] | None = None) -> list[Event]:
        """Add a piece of text; return the delta that tells it, if any."""
        if text:
            self.pieces.append(text)
        return [] if self.held or not (text or logprobs) else [BlockDelta(self.number, text, logprobs)]


class OpenBlocks:
    """The open blocks of one answer, and the parts of all that ever were."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.item = -1
        self._open: dict[Hashable, OpenBlock] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._open

    def open(self, key: Hashable, part: Part, start: Mapping[str, Any] | None = None) -> OpenBlock:
        """Return a new block under ``key``, which must be free."""
        if not continues_item(part, self.parts):
            self.item += 1
        block = self._open[key] = OpenBlock(len(self.parts), self.item, part, start or {})
        self.parts.append(part)
        return block

    def get(self, key: Hashable) -> OpenBlock | None:
        """Return the open block of ``key``."""
        return self._open.get(key)

    def take(self, key: Hashable) -> OpenBlock | None:
        """Return the open block of ``key``, which is open no more."""
        return self._open.pop(key, None)

    def take_all(self) -> list[OpenBlock]:
        """Return all open blocks in the order in which they began; none is open any more."""
        return self.take_many(list(self._open))

    def take_many(self, keys: Collection[Hashable]) -> list[OpenBlock]:
        """Return the open blocks among ``keys``, in the order in which they began; they are open no more."""
        taken = [self._open.pop(key) for key in keys if key in self._open]
        return sorted(taken, key=lambda block: block.number)

    def blocks(self) -> list[OpenBlock]:
        """Return the open blocks, in order."""
        return list(self._open.values())
