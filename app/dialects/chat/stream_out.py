"""Canonical events written as ``chat.completion.chunk`` frames.

Each choice begins with a chunk that carries the role. Usage rides on a chunk of its own
with no choices, only when the client asked for it; ``[DONE]`` ends a stream that did not
fail.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from app.canonical.events import BlockDelta, BlockEnded, BlockStarted, Ended, Event, Failed, Finished, Started
from app.canonical.request import (
    AudioPart,
    ImagePart,
    OpaquePart,
    ReasoningPart,
    RefusalPart,
    Request,
    TextPart,
    ToolCallPart,
)
from app.dialects.base import DONE, Frame, ServerContext
from app.dialects.chat.annotations import nested_annotation
from app.dialects.chat.native import own_members
from app.dialects.chat.reasoning import call_entry, encode_entry
from app.dialects.chat.response_out import answer_id, encode_image, opaque_entry, stop_details, uses_functions
from app.dialects.chat.usage import encode_finish, encode_usage

Json = dict[str, Any]

_STICKY: Final = frozenset({"system_fingerprint", "citations", "search_results", "videos", "provider"})
"""Native top-level members that the wires which have them send on every chunk."""

_CHUNK: Final = frozenset({"id", "object", "created", "model", "choices", "usage", "service_tier"})


class ChatStreamEncoder:
    """Events to chunks. One for each stream."""

    def __init__(self, request: Request, context: ServerContext) -> None:
        body = request.origin.body if request.origin is not None else {}
        options = body.get("stream_options")
        self._include_usage = isinstance(options, Mapping) and options.get("include_usage") is True
        self._legacy = uses_functions(request)
        self._context = context
        self._base: Json = {
            "id": "",
            "object": "chat.completion.chunk",
            "created": context.now,
            "model": context.model or request.model,
        }
        self._shown: Json = {}
        self._blocks: dict[int, BlockStarted] = {}
        self._places: dict[int, int] = {}
        self._counts: dict[int, int] = {}
        self._entries: dict[tuple[int, str], int] = {}  # those of each choice's lists, by member
        self._spoke: set[int] = set()
        self._wrote: set[int] = set()
        self._thought: set[int] = set()  # choices whose reasoning said something
        self._said: dict[int, int] = {}  # characters of each choice's content
        self._text_offsets: dict[int, int] = {}  # those before each text block
        self._secrets: dict[int, str] = {}  # a signature that just ended, which may be a picture's

    def feed(self, event: Event) -> list[Frame]:
        """Return the frames of ``event``, in order; may be none."""
        return _WRITERS[type(event)](self, event)

    def _started(self, event: Started) -> list[Frame]:
        native = own_members(event.native)
        self._base["id"] = answer_id(event.id, self._context)
        self._base["model"] = event.model or self._base["model"]
        self._base["created"] = event.created if event.created is not None else self._context.now
        if event.service_tier is not None:
            self._base["service_tier"] = event.service_tier
        self._shown = dict(native)
        self._base |= {name: native.pop(name) for name in list(native) if name in _STICKY}
        frames = self._role(0)
        frames[0].data.update((name, value) for name, value in native.items() if name not in frames[0].data)
        return frames

    def _role(self, choice: int) -> list[Frame]:
        """The chunk that opens a choice; nothing when it is open."""
        if choice in self._spoke:
            return []
        self._spoke.add(choice)
        return [self._chunk(choice, {"role": "assistant", "content": "", "refusal": None})]

    def _chunk(self, choice: int, delta: Json, finish: str | None = None, logprobs: Any = None) -> Frame:
        row = {"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        data: Json = {**self._base, "choices": [row]}
        if self._include_usage:
            data["usage"] = None
        return Frame(None, data)

    def _block_started(self, event: BlockStarted) -> list[Frame]:
        self._blocks[event.block] = event
        self._text_offsets[event.block] = self._said.get(event.choice, 0)
        frames = self._role(event.choice)
        opener = _OPENERS.get(type(event.part))
        delta = None if opener is None else opener(self, event)
        self._secrets.pop(event.choice, None)
        if delta:
            frames.append(self._chunk(event.choice, delta))
        return frames

    def _open_call(self, event: BlockStarted) -> Json:
        call = event.part
        assert isinstance(call, ToolCallPart)
        place = self._counts.get(event.choice, 0)
        self._counts[event.choice] = place + 1
        self._places[event.block] = place
        if self._legacy:
            return {} if place else {"function_call": {"name": call.name, "arguments": ""}}
        member = {"name": call.name, "input" if call.kind == "custom" else "arguments": ""}
        return {"tool_calls": [{"index": place, "id": call.id, "type": call.kind, call.kind: member}]}

    def _open_thought(self, event: BlockStarted) -> Json:
        """Number the entry; a summary that follows another begins with a blank line."""
        self._places[event.block] = self._next(event.choice, "reasoning_details")
        follows, part = event.choice in self._thought, event.part
        return (
            {"reasoning": "\n\n"}
            if follows and isinstance(part, ReasoningPart) and part.form == "summary"
            else {}
        )

    def _next(self, choice: int, member: str) -> int:
        """Number the next entry of a list that grows over chunks: the SDKs' accumulators join by ``index``."""
        number = self._entries.get((choice, member), 0)
        self._entries[choice, member] = number + 1
        return number

    def _open_audio(self, event: BlockStarted) -> Json:
        part = event.part
        assert isinstance(part, AudioPart)
        return {"audio": {"id": part.audio_id}} if part.audio_id else {}

    def _open_image(self, event: BlockStarted) -> Json:
        part = event.part
        assert isinstance(part, ImagePart)
        number = self._next(event.choice, "images")
        return {"images": [{**encode_image(part, self._secrets.get(event.choice)), "index": number}]}

    def _open_opaque(self, event: BlockStarted) -> Json:
        entry = opaque_entry(event.part)
        return {"reasoning_details": [entry]} if entry else {}

    def _block_delta(self, event: BlockDelta) -> list[Frame]:
        started = self._blocks[event.block]
        delta = _GROWERS.get(type(started.part), _grow_nothing)(self, started, event)
        logprobs = None
        if event.logprobs is not None:
            logprobs = {"content": [dict(row) for row in event.logprobs], "refusal": None}
        if event.text:
            self._wrote.add(event.block)
            if isinstance(started.part, ReasoningPart):
                self._thought.add(started.choice)
        if not delta and logprobs is None:
            return []
        return [self._chunk(started.choice, delta, logprobs=logprobs)]

    def _grow_text(self, started: BlockStarted, event: BlockDelta) -> Json:
        delta: Json = {"content": event.text} if event.text else {}
        self._said[started.choice] = self._said.get(started.choice, 0) + len(event.text)
        if event.annotation is None:
            return delta
        nested = nested_annotation(event.annotation, self._text_offsets[event.block])
        if nested is None:
            return delta
        return {**delta, "annotations": [{**nested, "index": self._next(started.choice, "annotations")}]}

    def _grow_refusal(self, _: BlockStarted, event: BlockDelta) -> Json:
        return {"refusal": event.text} if event.text else {}

    def _grow_thought(self, started: BlockStarted, event: BlockDelta) -> Json:
        part = started.part
        assert isinstance(part, ReasoningPart)
        if not event.text or part.form == "hidden":
            return {}
        piece = ReasoningPart(event.text, part.form, native=part.native)
        entry = encode_entry(piece, self._places[started.block], None)
        return {"reasoning": event.text, "reasoning_details": [entry]}

    def _grow_call(self, started: BlockStarted, event: BlockDelta) -> Json:
        return self._arguments(started, event.text) if event.text else {}

    def _arguments(self, started: BlockStarted, text: str) -> Json:
        call, place = started.part, self._places[started.block]
        assert isinstance(call, ToolCallPart)
        if self._legacy:
            return {} if place else {"function_call": {"arguments": text}}
        member = {"input" if call.kind == "custom" else "arguments": text}
        return {"tool_calls": [{"index": place, call.kind: member}]}

    def _grow_audio(self, _: BlockStarted, event: BlockDelta) -> Json:
        data = {"data": event.text} if event.text else {}
        spoken = {"transcript": event.transcript} if event.transcript else {}
        return {"audio": {**data, **spoken}} if data or spoken else {}

    def _block_ended(self, event: BlockEnded) -> list[Frame]:
        started = self._blocks[event.block]
        closer = _CLOSERS.get(type(started.part))
        delta = {} if closer is None else closer(self, started, event)
        return [self._chunk(started.choice, delta)] if delta else []

    def _close_thought(self, started: BlockStarted, event: BlockEnded) -> Json:
        part = started.part
        assert isinstance(part, ReasoningPart)
        signature = event.signature or part.signature
        if signature is None:
            return {}
        secret, number = self._context.wrap(signature), self._places[started.block]
        native = event.native or part.native
        if part.form == "summary":
            entry = encode_entry(ReasoningPart("", "hidden"), number, secret)
        else:
            entry = encode_entry(ReasoningPart("", part.form, native=native), number, secret)
        if part.form == "text":
            del entry["text"]
        if part.form == "hidden":
            self._secrets[started.choice] = secret
        return {"reasoning_details": [entry]}

    def _close_call(self, started: BlockStarted, event: BlockEnded) -> Json:
        call = started.part
        assert isinstance(call, ToolCallPart)
        if event.block not in self._wrote and call.kind == "function":
            delta = self._arguments(started, "{}")
        else:
            delta = {}
        signature = event.signature or call.signature
        if signature is not None:
            signed = ToolCallPart(call.id, call.name, native=event.native or call.native)
            number = self._next(started.choice, "reasoning_details")
            delta["reasoning_details"] = [call_entry(signed, self._context.wrap(signature), number)]
        return delta

    def _close_audio(self, _: BlockStarted, event: BlockEnded) -> Json:
        own = own_members(event.native)
        return {"audio": {"expires_at": own["expires_at"]}} if "expires_at" in own else {}

    def _finished(self, event: Finished) -> list[Frame]:
        calls = self._counts.get(event.choice, 0) > 0
        word = encode_finish(event.finish, calls=calls, legacy=self._legacy)
        last = self._chunk(event.choice, {}, word)
        last.data["choices"][0] |= stop_details(event.finish)
        return [*self._role(event.choice), last]

    def _ended(self, event: Ended) -> list[Frame]:
        if not self._include_usage or event.usage is None:
            return [DONE]
        native = own_members(event.native)
        native.pop("choices", None)
        own = {k: v for k, v in native.items() if k not in _CHUNK and self._shown.get(k) != v}
        return [Frame(None, {**self._base, "choices": [], "usage": encode_usage(event.usage), **own}), DONE]

    def _failed(self, event: Failed) -> list[Frame]:
        return [Frame(None, {"error": event.error.body()})]


def _grow_nothing(_: ChatStreamEncoder, __: BlockStarted, ___: BlockDelta) -> Json:
    """Blocks without a form here (hosted tools' items) show nothing."""
    return {}


_WRITERS: Final[Mapping[type, Callable[[ChatStreamEncoder, Any], list[Frame]]]] = {
    Started: ChatStreamEncoder._started,
    BlockStarted: ChatStreamEncoder._block_started,
    BlockDelta: ChatStreamEncoder._block_delta,
    BlockEnded: ChatStreamEncoder._block_ended,
    Finished: ChatStreamEncoder._finished,
    Ended: ChatStreamEncoder._ended,
    Failed: ChatStreamEncoder._failed,
}

_OPENERS: Final[Mapping[type, Callable[[ChatStreamEncoder, BlockStarted], Json]]] = {
    ToolCallPart: ChatStreamEncoder._open_call,
    ReasoningPart: ChatStreamEncoder._open_thought,
    AudioPart: ChatStreamEncoder._open_audio,
    ImagePart: ChatStreamEncoder._open_image,
    OpaquePart: ChatStreamEncoder._open_opaque,
}

_GROWERS: Final[Mapping[type, Callable[[ChatStreamEncoder, BlockStarted, BlockDelta], Json]]] = {
    TextPart: ChatStreamEncoder._grow_text,
    RefusalPart: ChatStreamEncoder._grow_refusal,
    ReasoningPart: ChatStreamEncoder._grow_thought,
    ToolCallPart: ChatStreamEncoder._grow_call,
    AudioPart: ChatStreamEncoder._grow_audio,
}

_CLOSERS: Final[Mapping[type, Callable[[ChatStreamEncoder, BlockStarted, BlockEnded], Json]]] = {
    ReasoningPart: ChatStreamEncoder._close_thought,
    ToolCallPart: ChatStreamEncoder._close_call,
    AudioPart: ChatStreamEncoder._close_audio,
}
