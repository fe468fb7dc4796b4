"""Streams of chunks with ``choices``, as chat and text completions have them, both ways.

This module knows how such a stream begins, fails and ends, and what chunks and chat bodies say without
decoding; the content of a choice is the wire's own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, ClassVar, Final

from app.canonical.events import BlockDelta, Ended, Event, Failed, Started
from app.canonical.response import Usage
from app.dialects.base import DONE, Frame, ServerContext
from app.dialects.chat.errors import failure_in
from app.dialects.chat.usage import encode_usage
from app.dialects.shared.decoder_parts import cut_stream
from app.dialects.shared.lenient_json import as_dict, dicts
from app.dialects.shared.repeats import Grow, Place, Repeats
from app.errors import GatewayError

_FREE: Final = ("created", "obfuscation", "p")
"""Members without meaning that may differ from chunk to chunk: the time, and padding."""


class ChunkDecoder(ABC):
    """Decodes chunks to events; ignores frames after the end. ``growing`` lists the paths of growing texts."""

    growing: ClassVar[tuple[Place, ...]]

    def __init__(self) -> None:
        self._usage: Usage | None = None
        self._started = False
        self._over = False
        self.repeats = Repeats(*self.growing, free=_FREE)

    def feed(self, event: str | None, data: Any) -> list[Event]:
        """Decode one frame. An error frame ends the stream with Failed."""
        if self._over:
            return []
        if event is None and (delta := self.repeats.delta_of(data)) is not None:
            return [delta]
        events = self._read(event, data)
        only = events[0] if len(events) == 1 and event is None else None
        grow = self._grow_of(data, only.block) if isinstance(only, BlockDelta) else None
        self.repeats.learn(data, events, grow)
        return events

    def _read(self, event: str | None, data: Any) -> list[Event]:
        chunk = as_dict(data)
        error = failure_in({"error": chunk} if event == "error" and chunk.get("error") is None else chunk)
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
        """Read ``[DONE]``: return the closing events."""
        if self._over:
            return []
        if self._finishes():
            return self._end()
        return self._fail(GatewayError("upstream_invalid", "The provider's stream ended without an answer."))

    def eof(self) -> list[Event]:
        """Read the end of the body: the end of the stream if every choice has its finish, otherwise a failure."""
        if self._over:
            return []
        finishes = self._finishes()
        is_complete = bool(finishes) and all(finish is not None for finish in finishes)
        return self._end() if is_complete else self._fail(cut_stream())

    def _end(self) -> list[Event]:
        self._over = True
        return self._closing()

    def _fail(self, error: GatewayError) -> list[Event]:
        self._over = True
        return [Failed(error, self._usage)]

    @abstractmethod
    def _grow_of(self, chunk: Mapping[str, Any], block: int) -> Grow | None:
        """Return the function that records further text of ``block``, to which ``chunk`` added; None if the
        chunk did more than that."""

    @abstractmethod
    def _note(self, chunk: Mapping[str, Any]) -> None:
        """Record what belongs to the whole answer: usage, and members outside the choices."""

    @abstractmethod
    def _opening(self, chunk: Mapping[str, Any]) -> Started:
        """Return the event for the first chunk."""

    @abstractmethod
    def _feed_choice(self, raw: Mapping[str, Any], events: list[Event]) -> None:
        """Append the events of one choice of a chunk."""

    @abstractmethod
    def _finishes(self) -> Collection[Mapping[str, Any] | None]:
        """Return for each choice so far the choice of the chunk that had its finish, None if none had."""

    @abstractmethod
    def _closing(self) -> list[Event]:
        """Return the events that end all blocks, all choices and the stream."""


class ChunkEncoder:
    """Encodes events as chunks. A subclass lists its method for each class of events in ``methods``."""

    methods: ClassVar[Mapping[type, Callable[..., list[Frame]]]]
    object_type: ClassVar[str]
    id_prefix: ClassVar[str]

    def __init__(self, context: ServerContext, model: str, *, include_usage: bool) -> None:
        self._context = context
        self._include_usage = include_usage
        self._no_usage = {"usage": None} if include_usage else {}
        self._base: dict[str, Any] = {
            "id": context.response_id or "",
            "object": self.object_type,
            "created": context.now,
            "model": context.model or model,
        }

    def feed(self, event: Event) -> list[Frame]:
        """Return the frames of ``event``, in order; there may be none."""
        return self.methods[type(event)](self, event)

    def _identify(self, event: Started) -> None:
        """Set the members that all chunks share."""
        self._base["id"] = self._context.response_id or event.id or self._context.new_id(self.id_prefix)
        self._base["model"] = event.model or self._base["model"]
        self._base["created"] = self._context.now if event.created is None else event.created

    def _end(self, event: Ended) -> list[Frame]:
        """Return the last frames: usage if the client requested it, and ``[DONE]``."""
        if not self._include_usage or event.usage is None:
            return [DONE]
        return [
            Frame(None, {**self._base, "choices": [], "usage": encode_usage(event.usage)}),
            DONE,
        ]

    def _with_late(self, frames: list[Frame], late: Mapping[str, Any]) -> list[Frame]:
        """Add members of the answer to the last of ``frames``; without any, to a chunk without choices."""
        if late and not frames:
            frames = [Frame(None, {**self._base, "choices": [], **self._no_usage})]
        if late:
            frames[-1].data.update(late)
        return frames

    def _fail(self, event: Failed) -> list[Frame]:
        return [Frame(None, {"error": event.error.body()})]


def identity(frame: Frame) -> dict[str, Any]:
    """Return the members that are equal in all chunks of one stream."""
    data = frame.data if isinstance(frame.data, dict) else {}
    return {name: data[name] for name in ("id", "created") if name in data}


def is_opening(frame: Frame) -> bool:
    """Tell whether a chunk has the role of the message and no content yet."""
    choices = dicts(as_dict(frame.data).get("choices"))
    if len(choices) != 1:
        return False
    delta = as_dict(choices[0].get("delta"))
    return "role" in delta and not any(v for k, v in delta.items() if k not in ("role", "content", "refusal"))


def call_ids(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids of the tool calls in the history of a chat body."""
    for message in dicts(body.get("messages")):
        for call in dicts(message["tool_calls"]) if "tool_calls" in message else ():
            if isinstance(call.get("id"), str):
                yield call["id"]
