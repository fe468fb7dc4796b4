"""Canonical events encoded as ``chat.completion.chunk`` frames.

Each choice begins with a chunk that has the role. Usage has a chunk of its own without choices, only if
the client requested it. ``[DONE]`` ends a stream that did not fail.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from app.canonical.events import BlockDelta, BlockEnded, BlockStarted, Ended, Failed, Finished, Started
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
from app.dialects.base import Frame, ServerContext
from app.dialects.chat.annotations import nested_annotation
from app.dialects.chat.chunks import ChunkEncoder
from app.dialects.chat.options import own_members
from app.dialects.chat.reasoning import call_entry, encode_entry
from app.dialects.chat.response_in import CHOICE_MEMBERS
from app.dialects.chat.response_out import (
    encode_image,
    opaque_entry,
    split_choices,
    stop_details,
    uses_functions,
)
from app.dialects.chat.usage import encode_finish
from app.dialects.shared.lenient_json import JSON, as_dict, rest
from app.dialects.shared.members import drawn_picture

_REPEATED: Final = frozenset({"system_fingerprint", "citations", "search_results", "videos", "provider"})
"""Native top-level members that providers send in every chunk."""

_CHUNK: Final = frozenset({"id", "object", "created", "model", "usage", "service_tier"})


class ChatStreamEncoder(ChunkEncoder):
    """Encodes the events of one stream as chunks."""

    object_type = "chat.completion.chunk"
    id_prefix = "chatcmpl-"

    def __init__(self, request: Request, context: ServerContext) -> None:
        body = request.origin.body if request.origin is not None else {}
        options = body.get("stream_options")
        include_usage = isinstance(options, Mapping) and options.get("include_usage") is True
        super().__init__(context, request.model, include_usage=include_usage)
        self._base["system_fingerprint"] = None  # as whole answers have it
        self._legacy = uses_functions(request)
        self._native: JSON = {}  # of the first chunk
        self._blocks: dict[int, BlockStarted] = {}
        self._indexes: dict[int, int] = {}  # of each block in its list
        self._counts: dict[tuple[int, str], int] = {}  # entries of each choice's lists, by member
        self._choices: set[int] = set()  # that have their role
        self._ends: dict[int, JSON] = {}  # of each choice
        self._blocks_with_text: set[int] = set()
        self._choices_with_reasoning: set[int] = set()
        self._lengths: dict[int, int] = {}  # characters of each choice's content
        self._text_offsets: dict[int, int] = {}  # characters before each text block
        self._secrets: dict[int, str] = {}  # the signature that ended last, in case an image follows

    def _started(self, event: Started) -> list[Frame]:
        native = self._native = own_members(event.native)
        self._identify(event)
        if event.service_tier is not None:
            self._base["service_tier"] = event.service_tier
        self._base |= {name: value for name, value in native.items() if name in _REPEATED}
        frames = self._role(0)
        frames[0].data.update(rest(native, _REPEATED | frames[0].data.keys()))
        return frames

    def _role(self, choice: int) -> list[Frame]:
        """Return the chunk that opens a choice, nothing if it is already open."""
        if choice in self._choices:
            return []
        self._choices.add(choice)
        return [self._chunk(choice, {"role": "assistant", "content": "", "refusal": None})]

    def _chunk(self, choice: int, delta: JSON, finish: str | None = None, logprobs: Any = None) -> Frame:
        row = {"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return Frame(None, {**self._base, "choices": [row], **self._no_usage})

    def _block_started(self, event: BlockStarted) -> list[Frame]:
        self._blocks[event.block] = event
        self._text_offsets[event.block] = self._lengths.get(event.choice, 0)
        frames = self._role(event.choice)
        opener = _OPENERS.get(type(event.part))
        delta = None if opener is None else opener(self, event, event.part)
        self._secrets.pop(event.choice, None)
        if delta:
            frames.append(self._chunk(event.choice, delta))
        return frames

    def _open_call(self, event: BlockStarted, call: ToolCallPart) -> JSON:
        index = self._indexes[event.block] = self._next_index(event.choice, "tool_calls")
        if self._legacy:
            return {} if index else {"function_call": {"name": call.name, "arguments": ""}}
        member = {"name": call.name, "input" if call.kind == "custom" else "arguments": ""}
        return {"tool_calls": [{"index": index, "id": call.id, "type": call.kind, call.kind: member}]}

    def _open_thought(self, event: BlockStarted, part: ReasoningPart) -> JSON:
        """Number the entry; a summary that follows other reasoning begins with a blank line."""
        self._indexes[event.block] = self._next_index(event.choice, "reasoning_details")
        needs_gap = part.form == "summary" and event.choice in self._choices_with_reasoning
        return {"reasoning": "\n\n"} if needs_gap else {}

    def _next_index(self, choice: int, member: str) -> int:
        """Return the ``index`` of the next entry of a list; OpenAI's SDKs merge the entries of chunks by it."""
        index = self._counts.get((choice, member), 0)
        self._counts[choice, member] = index + 1
        return index

    def _open_image(self, event: BlockStarted, part: ImagePart) -> JSON:
        image = encode_image(part, self._secrets.get(event.choice))
        return {"images": [{**image, "index": self._next_index(event.choice, "images")}]}

    def _open_opaque(self, _: BlockStarted, part: OpaquePart) -> JSON:
        entry = opaque_entry(part)
        return {"reasoning_details": [entry]} if entry else {}

    def _block_delta(self, event: BlockDelta) -> list[Frame]:
        block = self._blocks[event.block]
        grower = _GROWERS.get(type(block.part))
        delta = {} if grower is None else grower(self, block, block.part, event)
        logprobs = None
        if event.logprobs is not None:
            logprobs = {"content": [dict(row) for row in event.logprobs], "refusal": None}
        if event.text:
            self._blocks_with_text.add(event.block)
        if not delta and logprobs is None:
            return []
        return [self._chunk(block.choice, delta, logprobs=logprobs)]

    def _grow_text(self, block: BlockStarted, _: TextPart, event: BlockDelta) -> JSON:
        delta: JSON = {"content": event.text} if event.text else {}
        self._lengths[block.choice] = self._lengths.get(block.choice, 0) + len(event.text)
        if event.annotation is not None:
            nested = nested_annotation(event.annotation, self._text_offsets[event.block])
            if nested is not None:
                nested["index"] = self._next_index(block.choice, "annotations")
                delta["annotations"] = [nested]
        return delta

    def _grow_thought(self, block: BlockStarted, part: ReasoningPart, event: BlockDelta) -> JSON:
        if not event.text or part.form == "hidden":
            return {}
        self._choices_with_reasoning.add(block.choice)
        piece = ReasoningPart(event.text, part.form, native=part.native)
        entry = encode_entry(piece, self._indexes[block.block], None)
        return {"reasoning": event.text, "reasoning_details": [entry]}

    def _grow_call(self, block: BlockStarted, call: ToolCallPart, event: BlockDelta) -> JSON:
        return self._arguments(block, call, event.text) if event.text else {}

    def _arguments(self, block: BlockStarted, call: ToolCallPart, text: str) -> JSON:
        index = self._indexes[block.block]
        if self._legacy:
            return {} if index else {"function_call": {"arguments": text}}
        member = {"input" if call.kind == "custom" else "arguments": text}
        return {"tool_calls": [{"index": index, call.kind: member}]}

    def _grow_audio(self, _: BlockStarted, __: AudioPart, event: BlockDelta) -> JSON:
        members = {"data": event.text, "transcript": event.transcript}
        audio = {name: text for name, text in members.items() if text}
        return {"audio": audio} if audio else {}

    def _block_ended(self, event: BlockEnded) -> list[Frame]:
        block = self._blocks[event.block]
        closer = _CLOSERS.get(type(block.part))
        delta = {} if closer is None else closer(self, block, block.part, event)
        return [self._chunk(block.choice, delta)] if delta else []

    def _close_thought(self, block: BlockStarted, part: ReasoningPart, event: BlockEnded) -> JSON:
        signature = event.signature or part.signature
        if signature is None:
            return {}
        secret = self._context.wrap(signature)
        ending = ReasoningPart("", part.form, native=event.native or part.native)
        if part.form == "summary":  # has no place for a signature
            ending = ReasoningPart("", "hidden")
        entry = encode_entry(ending, self._indexes[block.block], secret)
        if part.form == "text":
            del entry["text"]
        if part.form == "hidden":
            self._secrets[block.choice] = secret
        return {"reasoning_details": [entry]}

    def _close_call(self, block: BlockStarted, call: ToolCallPart, event: BlockEnded) -> JSON:
        lacks_arguments = event.block not in self._blocks_with_text and call.kind == "function"
        delta = self._arguments(block, call, "{}") if lacks_arguments else {}
        signature = event.signature or call.signature
        if signature is not None:
            part = ToolCallPart(call.id, call.name, native=event.native or call.native)
            index = self._next_index(block.choice, "reasoning_details")
            delta["reasoning_details"] = [call_entry(part, self._context.wrap(signature), index)]
        return delta

    def _close_opaque(self, block: BlockStarted, part: OpaquePart, event: BlockEnded) -> JSON:
        last = event.part or part
        picture = drawn_picture(last) if isinstance(last, OpaquePart) else None
        return {} if picture is None else self._open_image(block, picture)

    def _close_audio(self, _: BlockStarted, __: AudioPart, event: BlockEnded) -> JSON:
        own = own_members(event.native)
        return {"audio": {"expires_at": own["expires_at"]}} if "expires_at" in own else {}

    def _finished(self, event: Finished) -> list[Frame]:
        calls = (event.choice, "tool_calls") in self._counts
        word = encode_finish(event.finish, calls=calls, legacy=self._legacy)
        self._ends[event.choice] = {"finish_reason": word, **stop_details(event.finish)}
        return self._role(event.choice)

    def _ended(self, event: Ended) -> list[Frame]:
        """Return the last chunk of each choice, with its native members, in the last one those of the answer, and the end."""
        native, rows = split_choices({**self._native, **own_members(event.native)})
        frames: list[Frame] = []
        for choice in {**self._ends, **rows}:
            row, end = rows.get(choice, {}), self._ends.get(choice, {})
            frames += [*self._role(choice), self._chunk(choice, row.pop("message", {}))]
            frames[-1].data["choices"][0] |= rest(row, CHOICE_MEMBERS) | end
        late = {k: v for k, v in rest(native, _CHUNK).items() if self._native.get(k) != v}
        return [*self._with_late(frames, late), *self._end(event)]

    @staticmethod
    def join(frames: list[Frame]) -> list[Frame]:
        """Put the input of a call into the chunk that opens it, if both came in one frame of the provider.

        Clients of Mistral expect each entry of ``tool_calls`` to be a whole call, as Mistral sends it.
        """
        result: list[Frame] = []
        last = None
        for frame in frames:
            place, entry = _call_entry(frame)
            if last is not None and "id" not in entry and place == last[0]:
                for name, text in entry[last[1]["type"]].items():
                    last[1][last[1]["type"]][name] += text
                continue
            result.append(frame)
            last = (place, entry) if "id" in entry else None
        return result

    methods = {
        Started: _started,
        BlockStarted: _block_started,
        BlockDelta: _block_delta,
        BlockEnded: _block_ended,
        Finished: _finished,
        Ended: _ended,
        Failed: ChunkEncoder._fail,
    }


def _call_entry(frame: Frame) -> tuple[tuple[int, int] | None, JSON]:
    """Return the entry of a chunk that has a piece of a call and nothing else, after its choice and index."""
    choices = as_dict(frame.data).get("choices")
    if not choices or choices[0]["delta"].keys() != {"tool_calls"}:
        return None, {}
    (entry,) = choices[0]["delta"]["tool_calls"]
    return (choices[0]["index"], entry["index"]), entry


# parts without a row (hosted tools' items) are not written

_OPENERS: Final[Mapping[type, Callable[[ChatStreamEncoder, BlockStarted, Any], JSON]]] = {
    ToolCallPart: ChatStreamEncoder._open_call,
    ReasoningPart: ChatStreamEncoder._open_thought,
    AudioPart: lambda _, __, part: {"audio": {"id": part.audio_id}} if part.audio_id else {},
    ImagePart: ChatStreamEncoder._open_image,
    OpaquePart: ChatStreamEncoder._open_opaque,
}

_GROWERS: Final[Mapping[type, Callable[[ChatStreamEncoder, BlockStarted, Any, BlockDelta], JSON]]] = {
    TextPart: ChatStreamEncoder._grow_text,
    RefusalPart: lambda _, __, ___, event: {"refusal": event.text} if event.text else {},
    ReasoningPart: ChatStreamEncoder._grow_thought,
    ToolCallPart: ChatStreamEncoder._grow_call,
    AudioPart: ChatStreamEncoder._grow_audio,
}

_CLOSERS: Final[Mapping[type, Callable[[ChatStreamEncoder, BlockStarted, Any, BlockEnded], JSON]]] = {
    OpaquePart: ChatStreamEncoder._close_opaque,
    ReasoningPart: ChatStreamEncoder._close_thought,
    ToolCallPart: ChatStreamEncoder._close_call,
    AudioPart: ChatStreamEncoder._close_audio,
}
