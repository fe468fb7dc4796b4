"""What every translated stream has in common: events of a decoder until one ends or fails it.

A subclass says what an event means for the record (``_note``) and how it is written
(``_write``). Which events there are, and which dialect they come from, is not known here.

Tests: tests/behaviour/test_cuts_of_every_wire.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from app.canonical.events import Failed
from app.canonical.response import Finish, Usage
from app.dialects.base import Frame
from app.errors import GatewayError

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
