"""Canonical events to chunks of streamGenerateContent (server half).

Each chunk is a whole GenerateContentResponse with what is new. A function call comes whole.
The last chunk has why it ended, the grounding and the usage. A broken stream ends with an
error in place of a chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from app.canonical.events import (
    BlockDelta,
    BlockEnded,
    BlockStarted,
    Ended,
    Event,
    Failed,
    Finished,
    Started,
)
from app.canonical.request import (
    AudioPart,
    ImagePart,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    TextPart,
    ToolCallPart,
)
from app.canonical.response import Finish
from app.dialects.base import Frame, ServerContext
from app.dialects.gemini.parts_out import PartWriter
from app.dialects.gemini.response_out import (
    Grounding,
    candidate_native,
    encode_error,
    encode_usage,
    finish_word,
    head,
    logprobs_members,
    own_members,
)
from app.dialects.shared.block_sequence import BlockSequence

Members = dict[str, Any]


@dataclass(slots=True)
class _Open:
    """A block as it grows: what must wait for its end."""

    part: Part
    choice: int
    pieces: list[str] = field(default_factory=list)
    notes: list[Mapping[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class _Candidate:
    """One candidate: its writer, its sources, whether it refused, and why it ended."""

    writer: PartWriter
    grounding: Grounding = field(default_factory=Grounding)
    refused: bool = False
    finish: Finish | None = None


class GeminiEncoder:
    """Events of one answer to chunks."""

    def __init__(self, request: Request, context: ServerContext) -> None:
        self._request = request
        self._context = context
        self._sequence = BlockSequence(choices=True)
        self._head: Members = {}
        self._native: Mapping[str, Any] = {}
        self._tier: str | None = None
        self._open: dict[int, _Open] = {}
        self._candidates: dict[int, _Candidate] = {}

    def feed(self, event: Event) -> list[Frame]:
        """Return the chunks that the event makes."""
        return [frame for one in self._sequence.feed(event) for frame in _TAKERS[type(one)](self, one)]

    def _start(self, event: Started) -> list[Frame]:
        self._head = head(event.id, event.model, self._context)
        self._native, self._tier = own_members(event.native), event.service_tier
        return []

    def _candidate(self, choice: int) -> _Candidate:
        if choice not in self._candidates:
            self._candidates[choice] = _Candidate(PartWriter(self._request, self._context))
        return self._candidates[choice]

    def _block_started(self, event: BlockStarted) -> list[Frame]:
        self._open[event.block] = _Open(event.part, event.choice)
        candidate = self._candidate(event.choice)
        candidate.refused = candidate.refused or isinstance(event.part, RefusalPart)
        return []

    def _block_delta(self, event: BlockDelta) -> list[Frame]:
        block = self._open[event.block]
        if event.annotation is not None:
            block.notes.append(event.annotation)
        if not event.text and not event.logprobs:
            return []
        grow = _GROWERS.get(type(block.part))
        return [] if grow is None else grow(self, block, event)

    def _text_delta(self, block: _Open, event: BlockDelta) -> list[Frame]:
        candidate = self._candidate(block.choice)
        block.pieces.append(event.text)
        parts = candidate.writer.place({"text": event.text}) if event.text else []
        return self._chunk(block.choice, parts, logprobs_members(event.logprobs or ()))

    def _thought(self, block: _Open, event: BlockDelta) -> list[Frame]:
        block.pieces.append(event.text)
        return self._chunk(block.choice, self._candidate(block.choice).writer.thought(event.text))

    def _buffer(self, block: _Open, event: BlockDelta) -> list[Frame]:
        block.pieces.append(event.text)
        return []

    def _sound(self, block: _Open, event: BlockDelta) -> list[Frame]:
        """A transcript beside its sound is not said again: Google's wire has no place for it."""
        if not isinstance(block.part, AudioPart):
            return []
        piece = replace(block.part, data=event.text, transcript=None)
        return self._chunk(block.choice, self._candidate(block.choice).writer.write(piece))

    def _block_ended(self, event: BlockEnded) -> list[Frame]:
        block = self._open.pop(event.block)
        candidate = self._candidate(block.choice)
        part = event.part or block.part
        if isinstance(part, ReasoningPart):
            whole = part.text + "".join(block.pieces)
            signed = replace(part, text=whole, signature=event.signature or part.signature)
            return self._chunk(block.choice, candidate.writer.write_signature(signed))
        if isinstance(part, ToolCallPart):
            whole = part.arguments + "".join(block.pieces)
            part = replace(part, arguments=whole, signature=event.signature or part.signature)
        elif isinstance(part, TextPart | RefusalPart):
            if isinstance(part, TextPart):
                candidate.grounding.add("".join(block.pieces), block.notes)
            return []
        elif not isinstance(part, ImagePart | OpaquePart):
            return []
        return self._chunk(block.choice, candidate.writer.write(part))

    def _finished(self, event: Finished) -> list[Frame]:
        self._candidate(event.choice).finish = event.finish
        return []

    def _ended(self, event: Ended) -> list[Frame]:
        native = {**self._native, **own_members(event.native)}
        answers = [self._last(index, one, native) for index, one in sorted(self._candidates.items())]
        chunk: Members = {
            "candidates": answers,
            **{name: value for name, value in native.items() if name != "candidates"},
        }
        if event.usage is not None:
            chunk["usageMetadata"] = encode_usage(event.usage, event.service_tier or self._tier)
        return [Frame(None, {**chunk, **self._head})]

    def _last(self, index: int, candidate: _Candidate, native: Mapping[str, Any]) -> Members:
        parts = candidate.writer.close() or [{"text": ""}]
        return {
            "content": {"parts": parts, "role": "model"},
            "finishReason": finish_word(candidate.finish, refused=candidate.refused),
            "index": index,
            **(candidate_native(native, index) or candidate.grounding.members()),
        }

    def _failed(self, event: Failed) -> list[Frame]:
        return [Frame(None, encode_error(event.error))]

    def _chunk(self, choice: int, parts: list[Members], further: Members | None = None) -> list[Frame]:
        if not parts and not further:
            return []
        candidate = {"content": {"parts": parts, "role": "model"}, "index": choice, **(further or {})}
        return [Frame(None, {"candidates": [candidate], **self._head})]


_TAKERS: Final[Mapping[type, Callable[[GeminiEncoder, Any], list[Frame]]]] = {
    Started: GeminiEncoder._start,
    BlockStarted: GeminiEncoder._block_started,
    BlockDelta: GeminiEncoder._block_delta,
    BlockEnded: GeminiEncoder._block_ended,
    Finished: GeminiEncoder._finished,
    Ended: GeminiEncoder._ended,
    Failed: GeminiEncoder._failed,
}

_GROWERS: Final[Mapping[type, Callable[[GeminiEncoder, _Open, BlockDelta], list[Frame]]]] = {
    TextPart: GeminiEncoder._text_delta,
    RefusalPart: GeminiEncoder._text_delta,
    ReasoningPart: GeminiEncoder._thought,
    ToolCallPart: GeminiEncoder._buffer,
    AudioPart: GeminiEncoder._sound,
}
