"""What the stream encoders of several wire formats share: open blocks, and how the answer finished."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from app.canonical.events import Event, Finished
from app.canonical.request import Part, Request
from app.canonical.response import Finish, FinishReason
from app.dialects.base import Frame, ServerContext
from app.dialects.shared.block_sequence import BlockSequence, CallSequence


@dataclass(slots=True)
class StreamBlock:
    """A block as it grows. ``index`` is its number in the stream, None while nothing of it was sent."""

    part: Part
    index: int | None = None
    choice: int = 0
    pieces: list[str] = field(default_factory=list)
    notes: list[Mapping[str, Any]] = field(default_factory=list)


class BlockEncoder:
    """Encode canonical events as frames.

    A subclass lists its method for each type of event in ``_METHODS``.
    """

    _METHODS: ClassVar[Mapping[type, Callable[..., list[Frame]]]]

    def __init__(
        self, request: Request, context: ServerContext, sequence: BlockSequence | None = None
    ) -> None:
        self._request = request
        self._context = context
        self._sequence = sequence or CallSequence()
        self._blocks: dict[int, StreamBlock] = {}
        self._count = 0
        self._refused = False
        self._finish: Finish | None = None

    def feed(self, event: Event) -> list[Frame]:
        """Return the frames of one event, in order; there may be none."""
        return [frame for one in self._sequence.feed(event) for frame in self._METHODS[type(one)](self, one)]

    def _finished(self, event: Finished) -> list[Frame]:
        self._finish = event.finish
        return []

    def _number(self, block: StreamBlock) -> int:
        """Return the block's number in the stream, the next free one if it has none."""
        if block.index is None:
            block.index, self._count = self._count, self._count + 1
        return block.index


def finish_word(
    finish: Finish | None,
    words: Mapping[FinishReason, str],
    known: Mapping[str, FinishReason],
    stop_sequence: str,
    *,
    refused: bool = False,
) -> str:
    """Return a format's word for why an answer ended.

    ``words`` has the word of each reason and ``known`` the reason of each word; the upstream's own word
    is kept where it is one of these. A stop with a refusal counts as filtered content. ``stop_sequence``
    is the word for a stop sequence.
    """
    if finish is None:
        return words["stop"]
    if refused and finish.reason == "stop":
        return words["content_filter"]
    if finish.raw is not None and known.get(finish.raw) == finish.reason:
        return finish.raw
    return stop_sequence if finish.stop_sequence else words[finish.reason]
