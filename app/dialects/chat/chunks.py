"""The chunks that hold ``choices``, as chat and text completions stream them: order and ends.

Knows when such a stream begins, fails and is whole; what a choice says is the wire's own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Final

from app.canonical.events import BlockDelta, Event, Failed, Started
from app.canonical.response import Usage
from app.dialects.chat.errors import failure_in
from app.dialects.shared.decoder_parts import cut_stream
from app.dialects.shared.lenient_json import as_dict, dicts
from app.dialects.shared.repeats import Grow, Place, Repeats
from app.errors import GatewayError

_FREE: Final = ("created", "obfuscation", "p")
"""Members that may differ from chunk to chunk and say nothing: its time, and padding."""


class ChunkDecoder(ABC):
    """Frames of chunks to events. Frames after the end are passed over. ``growing``: where a chunk may
    hold a piece of text."""

    growing: ClassVar[tuple[Place, ...]]

    def __init__(self) -> None:
        self._usage: Usage | None = None
        self._started = False
        self._over = False
        self._repeats = Repeats(*self.growing, free=_FREE)

    def feed(self, event: str | None, data: Any) -> list[Event]:
        """Take one frame. An error frame ends the stream with Failed."""
        if self._over:
            return []
        if event is None and (delta := self._repeats.delta_of(data)) is not None:
            return [delta]
        events = self._read(event, data)
        grown = events[0] if len(events) == 1 and event is None else None
        grow = self._grow_of(data, grown.block) if isinstance(grown, BlockDelta) else None
        self._repeats.learn(data, events, grow)
        return events

    def _read(self, event: str | None, data: Any) -> list[Event]:
        chunk = as_dict(data)
        error = failure_in({"error": chunk} if event == "error" and "error" not in chunk else chunk)
        self._note(chunk)
        if error is not None:
            return self._fail(error)
        events: list[Event] = []
        choices = dicts(chunk.get("choices"))
        if not self._started and (choices or chunk.get("id")):
            self._started = True
            events.append(self._opening(chunk))
        for choice in choices:
            self._feed_choice(choice, events)
        return events

    def done(self) -> list[Event]:
        """Take ``[DONE]``: close what is open and end."""
        if self._over:
            return []
        if not self._finishes():
            return self._fail(
                GatewayError("upstream_invalid", "The provider's stream ended without an answer.")
            )
        return self._end()

    def eof(self) -> list[Event]:
        """Take the end of the body, which is the end where every choice had its finish."""
        if self._over:
            return []
        finishes = self._finishes()
        if finishes and all(finish is not None for finish in finishes):
            return self._end()
        return self._fail(cut_stream())

    def _end(self) -> list[Event]:
        self._over = True
        return self._closing()

    def _fail(self, error: GatewayError) -> list[Event]:
        self._over = True
        return [Failed(error, self._usage)]

    @abstractmethod
    def _grow_of(self, chunk: Mapping[str, Any], block: int) -> Grow | None:
        """Return what takes further text of ``block``, which ``chunk`` made longer; None where it did more."""

    @abstractmethod
    def _note(self, chunk: Mapping[str, Any]) -> None:
        """Keep what belongs to the whole answer: usage and members that no choice has."""

    @abstractmethod
    def _opening(self, chunk: Mapping[str, Any]) -> Started:
        """Return the event that the first chunk of an answer makes."""

    @abstractmethod
    def _feed_choice(self, raw: Mapping[str, Any], events: list[Event]) -> None:
        """Append the events of one choice of a chunk."""

    @abstractmethod
    def _finishes(self) -> Collection[Mapping[str, Any] | None]:
        """Return, for each choice seen, the chunk's choice that told its finish, or None."""

    @abstractmethod
    def _closing(self) -> list[Event]:
        """Return what ends every block and choice, and the stream."""
