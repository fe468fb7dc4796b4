"""Encode canonical events as chunks of streamGenerateContent (server half).

Each chunk is a GenerateContentResponse with what is new. A function call is complete in one
chunk. The last chunk has finish reasons, grounding and usage; after a failure it is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from app.canonical.events import (
    BlockDelta,
    BlockEnded,
    Ended,
    Failed,
    Finished,
    Started,
)
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
from app.canonical.response import Finish
from app.dialects.base import Frame, ServerContext
from app.dialects.gemini.options import NAME
from app.dialects.gemini.parts_out import PartWriter
from app.dialects.gemini.response_out import (
    Grounding,
    candidate_native,
    encode_error,
    finish_word,
    head,
    logprobs_members,
    usage_members,
)
from app.dialects.shared.block_encoder import BlockEncoder, BlockSequence, StreamBlock
from app.dialects.shared.lenient_json import JSON, rest
from app.dialects.shared.members import own_members


@dataclass(slots=True)
class _Candidate:
    """One candidate: its writer and sources, whether it has a refusal, and why it ended."""

    writer: PartWriter
    grounding: Grounding = field(default_factory=Grounding)
    refused: bool = False
    finish: Finish | None = None


class GeminiEncoder(BlockEncoder):
    """Encode the events of one response. Blocks keep the pieces of their text until they end."""

    def __init__(self, request: Request, context: ServerContext) -> None:
        super().__init__(request, context, BlockSequence(choices=True))
        self._head: JSON = {}
        self._native: Mapping[str, Any] = {}
        self._tier: str | None = None
        self._candidates: dict[int, _Candidate] = {}

    def _started(self, event: Started) -> list[Frame]:
        self._head = head(event.id, event.model, self._context)
        self._native, self._tier = own_members(event.native, NAME), event.service_tier
        return []

    def _candidate(self, choice: int) -> _Candidate:
        if choice not in self._candidates:
            self._candidates[choice] = _Candidate(PartWriter(self._request, self._context))
        return self._candidates[choice]

    def _open(self, block: StreamBlock) -> list[Frame]:
        candidate = self._candidate(block.choice)
        candidate.refused = candidate.refused or isinstance(block.part, RefusalPart)
        return []

    def _grow(self, block: StreamBlock, event: BlockDelta) -> list[Frame]:
        if not event.text and not event.logprobs and not event.transcript:
            return []
        encode = _DELTAS.get(type(block.part))
        return [] if encode is None else encode(self, block, event)

    def _text_delta(self, block: StreamBlock, event: BlockDelta) -> list[Frame]:
        parts = self._candidate(block.choice).writer.place({"text": event.text}) if event.text else []
        return self._chunk(block.choice, parts, logprobs_members(event.logprobs or ()))

    def _thought_delta(self, block: StreamBlock, event: BlockDelta) -> list[Frame]:
        return self._chunk(block.choice, self._candidate(block.choice).writer.thought(event.text))

    def _audio_delta(self, block: StreamBlock, event: BlockDelta) -> list[Frame]:
        """Return a chunk of audio and of its transcript, which is a text in Gemini's API."""
        form = getattr(block.part, "format", None)
        part = AudioPart(event.text, form, transcript=event.transcript, native=block.part.native)
        return self._chunk(block.choice, self._candidate(block.choice).writer.write(part))

    def _close(self, block: StreamBlock, event: BlockEnded) -> list[Frame]:
        candidate, text = self._candidate(block.choice), block.text
        part = event.part or block.part
        if isinstance(part, ReasoningPart):
            signature = event.signature or part.signature
            whole = replace(part, text=part.text + text, signature=signature)
            return self._chunk(block.choice, candidate.writer.write_signature(whole))
        if isinstance(part, TextPart):
            candidate.grounding.add(text, block.notes)
        if isinstance(part, ToolCallPart):
            signature = event.signature or part.signature
            part = replace(part, arguments=part.arguments + text, signature=signature)
        elif not isinstance(part, ImagePart | OpaquePart):
            return []
        return self._chunk(block.choice, candidate.writer.write(part))

    def _finished(self, event: Finished) -> list[Frame]:
        self._candidate(event.choice).finish = event.finish
        return []

    def _ended(self, event: Ended) -> list[Frame]:
        native = {**self._native, **own_members(event.native, NAME)}
        candidates = [self._last(index, one, native) for index, one in sorted(self._candidates.items())]
        usage = usage_members(event.usage, event.service_tier or self._tier)
        others = rest(native, frozenset({"candidates"}))
        return [Frame(None, {"candidates": candidates, **others, **usage, **self._head})]

    def _last(self, index: int, candidate: _Candidate, native: Mapping[str, Any]) -> JSON:
        parts = candidate.writer.close() or [{"text": ""}]
        return {
            "content": {"parts": parts, "role": "model"},
            "finishReason": finish_word(candidate.finish, refused=candidate.refused),
            "index": index,
            **(candidate_native(native, index) or candidate.grounding.members()),
        }

    def _failed(self, event: Failed) -> list[Frame]:
        return [Frame(None, encode_error(event.error))]

    def _chunk(self, choice: int, parts: list[JSON], further: JSON | None = None) -> list[Frame]:
        if not parts and not further:
            return []
        candidate = {"content": {"parts": parts, "role": "model"}, "index": choice, **(further or {})}
        return [Frame(None, {"candidates": [candidate], **self._head})]


_DELTAS: Final[Mapping[type, Callable[[GeminiEncoder, StreamBlock, BlockDelta], list[Frame]]]] = {
    TextPart: GeminiEncoder._text_delta,
    RefusalPart: GeminiEncoder._text_delta,
    ReasoningPart: GeminiEncoder._thought_delta,
    AudioPart: GeminiEncoder._audio_delta,
}
