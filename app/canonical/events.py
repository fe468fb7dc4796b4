"""The canonical stream: blocks that start, grow and end, and the events that end the stream.

Order grammar (every decoder follows it, every encoder may rely on it)::

    stream := Started (BlockStarted | BlockDelta | BlockEnded)* Finished+ Ended  |  … Failed
    per block: BlockStarted BlockDelta* BlockEnded; blocks may overlap
    Finished once for each choice, after all its blocks ended; Ended or Failed is last, once

``Accumulator`` folds events into a Response, and ``replay`` turns a Response into events. Whole answers, stored
responses, costs and logs all use this one fold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from app.canonical.request import (
    AudioPart,
    Item,
    Message,
    Native,
    Part,
    ReasoningPart,
    RefusalPart,
    Signature,
    TextPart,
    ToolCallPart,
)
from app.canonical.response import Choice, Finish, Response, Usage
from app.errors import GatewayError


@dataclass(slots=True)
class Started:
    """The upstream started to answer. ``native``: top-level members of its first frame."""

    id: str | None = None
    model: str | None = None
    created: int | None = None
    service_tier: str | None = None
    native: Native | None = None


@dataclass(slots=True)
class BlockStarted:
    """Block ``block`` (unique within the stream) starts.

    ``part`` is the block with empty text: a TextPart(""), a RefusalPart(""),
    a ReasoningPart("", form), a ToolCallPart(id, name, "") with id and name final, an
    AudioPart, or a whole OpaquePart/ImagePart (which gets no deltas). ``item`` numbers
    the message that the block belongs to, per choice: blocks with the same (choice, item)
    are one message. ``info`` is the identity of that item, if the wire has one.
    """

    block: int
    item: int
    part: Part
    choice: int = 0
    info: Item | None = None


@dataclass(slots=True)
class BlockDelta:
    """Block ``block`` grows by ``text`` (text, refusal, reasoning, arguments or input,
    base64 audio for an AudioPart), ``logprobs`` (OpenAI token objects), one
    ``annotation`` or a piece of the audio ``transcript``."""

    block: int
    text: str = ""
    logprobs: tuple[Mapping[str, Any], ...] | None = None
    annotation: Mapping[str, Any] | None = None
    transcript: str = ""


@dataclass(slots=True)
class BlockEnded:
    """Block ``block`` ends. ``signature`` and ``native`` are those that the wire sends at the end of a block.
    ``part``, if any, replaces what the deltas built (opaque blocks whose final form differs)."""

    block: int
    signature: Signature | None = None
    native: Native | None = None
    part: Part | None = None
    status: str | None = None


@dataclass(slots=True)
class Finished:
    """A choice ends; all its blocks have ended."""

    finish: Finish
    choice: int = 0


@dataclass(slots=True)
class Ended:
    """The stream had its terminal frame. ``native``: late top-level members (citations, x_groq, content filters …) of
    the whole response."""

    usage: Usage | None = None
    native: Native | None = None
    service_tier: str | None = None


@dataclass(slots=True)
class Failed:
    """The stream ended in an error; nothing follows."""

    error: GatewayError
    usage: Usage | None = None


Event = Started | BlockStarted | BlockDelta | BlockEnded | Finished | Ended | Failed


@dataclass(slots=True)
class _Open:
    """A block that is being streamed."""

    started: BlockStarted
    texts: list[str] = field(default_factory=list)
    logprobs: list[Mapping[str, Any]] | None = None
    annotations: list[Mapping[str, Any]] = field(default_factory=list)
    transcript: list[str] = field(default_factory=list)
    ended: BlockEnded | None = None

    def part(self) -> Part:
        if self.ended is not None and self.ended.part is not None:
            return self.ended.part
        return _sign(_grow(self.started.part, self), self.ended)


def _grow(base: Part, block: _Open) -> Part:
    text = "".join(block.texts)
    if isinstance(base, TextPart):
        logprobs = base.logprobs if block.logprobs is None else (*(base.logprobs or ()), *block.logprobs)
        annotations = (*base.annotations, *block.annotations)
        return replace(base, text=base.text + text, annotations=annotations, logprobs=logprobs)
    if isinstance(base, ReasoningPart | RefusalPart):
        return replace(base, text=base.text + text)
    if isinstance(base, ToolCallPart):
        return replace(base, arguments=base.arguments + text)
    if isinstance(base, AudioPart):
        transcript = (base.transcript or "") + "".join(block.transcript)
        return replace(base, data=(base.data or "") + text, transcript=transcript or None)
    return base


def _sign(part: Part, ended: BlockEnded | None) -> Part:
    if ended is None:
        return part
    if ended.signature is not None and isinstance(part, ReasoningPart | ToolCallPart):
        part = replace(part, signature=ended.signature)
    if ended.native is not None:
        part = replace(part, native=_merge_native(part.native, ended.native))  # type: ignore[arg-type]
    return part


def _merge_native(old: Native | None, new: Native | None) -> Native | None:
    if old is None or new is None:
        return new if old is None else old
    return (new[0], {**old[1], **new[1]}) if old[0] == new[0] else new


class Accumulator:
    """Folds events into a Response; blocks that have not ended count as well."""

    def __init__(self) -> None:
        self._blocks: dict[int, _Open] = {}
        self._finishes: dict[int, Finish] = {}
        self._started = Started()
        self._ended: Ended | None = None
        self._failed: Failed | None = None

    @property
    def error(self) -> GatewayError | None:
        """The error that ended the stream."""
        return None if self._failed is None else self._failed.error

    def feed(self, event: Event) -> None:
        """Fold one event; raise KeyError for a delta of a block that never started."""
        _FOLDS[type(event)](self, event)

    def response(self) -> Response:
        """Return the response so far; unfinished choices have ``finish`` None."""
        start, end = self._started, self._ended or Ended()
        items: dict[int, dict[int, list[_Open]]] = {}
        for block in self._blocks.values():
            items.setdefault(block.started.choice, {}).setdefault(block.started.item, []).append(block)
        indexes = sorted(items.keys() | self._finishes.keys()) or [0]
        return Response(
            id=start.id,
            model=start.model,
            choices=tuple(
                Choice(i, tuple(map(self._message, items.get(i, {}).values())), self._finishes.get(i))
                for i in indexes
            ),
            usage=end.usage or (None if self._failed is None else self._failed.usage),
            created=start.created,
            service_tier=end.service_tier or start.service_tier,
            native=_merge_native(start.native, end.native),
        )

    def _start(self, event: Started) -> None:
        self._started = event

    def _open(self, event: BlockStarted) -> None:
        self._blocks[event.block] = _Open(event)

    def grow(self, event: BlockDelta) -> None:
        """Fold a delta."""
        block = self._blocks[event.block]
        if event.text:
            block.texts.append(event.text)
        if event.logprobs is not None:
            block.logprobs = block.logprobs or []
            block.logprobs += event.logprobs
        if event.annotation is not None:
            block.annotations.append(event.annotation)
        if event.transcript:
            block.transcript.append(event.transcript)

    def grow_text(self, block: int, text: str) -> None:
        """Fold a delta that is nothing but ``text``, as nearly all are."""
        self._blocks[block].texts.append(text)

    def _close(self, event: BlockEnded) -> None:
        self._blocks[event.block].ended = event

    def _finish(self, event: Finished) -> None:
        self._finishes[event.choice] = event.finish

    def _end(self, event: Ended) -> None:
        self._ended = event

    def _fail(self, event: Failed) -> None:
        self._failed = event

    @staticmethod
    def _message(blocks: list[_Open]) -> Message:
        info = next((b.started.info for b in blocks if b.started.info is not None), None)
        status = next((b.ended.status for b in blocks if b.ended and b.ended.status), None)
        if status is not None:
            info = replace(info or Item(), status=status)
        return Message("assistant", tuple(b.part() for b in blocks), item=info)


_FOLDS: Final[Mapping[type, Callable[[Accumulator, Any], None]]] = {
    Started: Accumulator._start,
    BlockStarted: Accumulator._open,
    BlockDelta: Accumulator.grow,
    BlockEnded: Accumulator._close,
    Finished: Accumulator._finish,
    Ended: Accumulator._end,
    Failed: Accumulator._fail,
}


def replay(response: Response) -> Iterator[Event]:
    """Yield the events that fold to ``response``, with one delta for each block."""
    yield Started(response.id, response.model, response.created, response.service_tier, response.native)
    block = 0
    for choice in response.choices:
        for item, message in enumerate(choice.messages):
            for part in message.parts:
                yield from _replay_part(part, BlockStarted(block, item, part, choice.index, message.item))
                block += 1
        yield Finished(choice.finish or Finish("stop"), choice.index)
    yield Ended(response.usage, service_tier=response.service_tier)


_EMPTY_MEMBERS: Final[Mapping[type, Mapping[str, Any]]] = {
    # a part that grows: its members before its first delta
    TextPart: {"text": "", "annotations": (), "logprobs": None},
    ReasoningPart: {"text": "", "signature": None},
    ToolCallPart: {"arguments": "", "signature": None},
    RefusalPart: {"text": ""},
    AudioPart: {"data": None, "transcript": None},
}


def _replay_part(part: Part, start: BlockStarted) -> Iterator[Event]:
    start.part = replace(part, **_EMPTY_MEMBERS.get(type(part), {}))
    yield start
    yield from _deltas(part, start.block)
    signature = part.signature if isinstance(part, ReasoningPart | ToolCallPart) else None
    yield BlockEnded(start.block, signature=signature)


def _deltas(part: Part, block: int) -> Iterator[BlockDelta]:
    match part:
        case TextPart():
            if part.text or part.logprobs:
                yield BlockDelta(block, part.text, part.logprobs)
            yield from (BlockDelta(block, annotation=annotation) for annotation in part.annotations)
        case ReasoningPart(text=text) | ToolCallPart(arguments=text) if text:
            yield BlockDelta(block, text)
        case RefusalPart():
            yield BlockDelta(block, part.text)
        case AudioPart():
            yield BlockDelta(block, part.data or "", transcript=part.transcript or "")
