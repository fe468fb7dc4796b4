"""What all decoded streams have in common: events of a decoder until one ends or fails it.

A subclass says what an event means for the record (``_note``) and how it is written (``_write``).
``CanonicalStream`` is the base of streams of generations, passed and translated.

Tests: tests/behaviour/test_cuts_of_every_wire.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from app.canonical.events import Accumulator, BlockDelta, BlockStarted, Ended, Event, Failed, Finished
from app.canonical.request import OpaquePart, ToolCallPart
from app.canonical.response import Finish, Response, Usage
from app.dialects.base import Frame, StreamDecoder
from app.dialects.shared.repeats import Repeats
from app.errors import GatewayError
from app.gateway.estimates import complete_usage
from app.gateway.truncation import MAX_STREAMED, Breaks, too_many
from app.wire.offload import ITEM, aside

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)


class Decoder(Protocol[E_co]):
    """Frames of an upstream to events."""

    def feed(self, event: str | None, data: Any) -> Sequence[E_co]: ...

    def done(self) -> Sequence[E_co]: ...

    def eof(self) -> Sequence[E_co]: ...


class EventStream(Generic[E]):
    """One upstream stream on its way to the caller's frames (``exchange.Translator``).

    ``whole`` turns a whole answer into the events of a stream.
    """

    def __init__(self, decoder: Decoder[E], whole: Callable[[bytes], Iterable[E]]) -> None:
        self.content = False
        self.ended = False
        self.failure: GatewayError | None = None
        self.usage: Usage | None = None
        self.finish: Finish | None = None
        self._decoder = decoder
        self._whole = whole

    def feed(self, event: str | None, data: Any) -> list[Frame]:
        """Take one upstream frame."""
        return self._take(self._decoder.feed(event, data))

    def done(self) -> list[Frame]:
        """Take ``[DONE]``."""
        return self._take(self._decoder.done())

    def eof(self) -> list[Frame]:
        """Take the end of the body."""
        return self._take(self._decoder.eof())

    def whole(self, body: bytes) -> list[Frame]:
        """Take a whole answer as if it had been streamed."""
        return self._take(self._whole(body))

    def _take(self, events: Iterable[E]) -> list[Frame]:
        frames: list[Frame] = []
        for event in events:
            if self.ended or self.failure is not None:
                break
            self._note(event)
            if self.failure is None:
                frames += self._write(event)
        return frames

    def _note(self, event: E) -> None:
        """Keep what ``event`` says of content, end, usage and failure."""
        raise NotImplementedError

    def _write(self, event: E) -> list[Frame]:
        """Return the frames that ``event`` makes."""
        raise NotImplementedError

    def _note_failure(self, failed: Failed) -> None:
        self.failure = failed.error
        self.usage = failed.usage or self.usage


class CanonicalStream(EventStream[Event]):
    """A stream of canonical events, which are folded.

    ``estimate`` returns the usage of an answer that lacks it. ``breaks``: an answer that its server aborted
    is a failure.
    """

    def __init__(
        self,
        decoder: StreamDecoder,
        whole: Callable[[bytes], Iterable[Event]],
        estimate: Callable[[Response], Usage] | None = None,
        *,
        breaks: Breaks | None = None,
    ) -> None:
        super().__init__(decoder, whole)
        self._breaks = breaks
        self._estimate = estimate
        self._fold = Accumulator()
        self._blocks = 0
        self._answer: Response | None = None  # that has ended
        self.repeats: Repeats | None = getattr(decoder, "repeats", None)

    def response(self) -> Response:
        """Return the fold so far."""
        answer = self._answer or self._fold.response()
        if self.ended:
            self._answer = answer
        return answer

    def _grows(self, events: Sequence[Event]) -> bool:
        """Tell whether the events of a frame only grow a block; then the delta is folded."""
        if len(events) != 1 or not isinstance(events[0], BlockDelta):
            return False
        self.content = True
        self._fold.grow(events[0])
        return True

    def _take(self, events: Iterable[Event]) -> list[Frame]:
        size = ITEM * len(events) if isinstance(events, list) else 0
        return aside(
            size, partial(super()._take, events if self._breaks is None else self._breaks.ended(events))
        )

    def _complete(self, usage: Usage | None) -> Usage | None:
        estimate, fold = self._estimate, self._fold
        return usage if estimate is None else complete_usage(usage, lambda: estimate(fold.response()))

    def _note(self, event: Event) -> None:
        if isinstance(event, BlockDelta):
            self.content = True
        elif isinstance(event, BlockStarted):
            self.content = self.content or isinstance(event.part, ToolCallPart | OpaquePart)
            self._blocks += 1
            if self._blocks > MAX_STREAMED:
                self._note_failure(Failed(too_many(MAX_STREAMED)))
        elif isinstance(event, Finished):
            self.content = True
            if self.finish is None or event.choice == 0:
                self.finish = event.finish
        elif isinstance(event, Ended):
            event.usage = self._complete(event.usage)
            self.content = self.ended = True
            self.usage = event.usage
        elif isinstance(event, Failed):
            event.usage = event.usage and self._complete(event.usage)
            self._note_failure(event)
