"""Encode canonical events as the event stream of Cohere v2 chat (server half).

Content blocks and tool calls are numbered separately; citations are sent before their text
ends. The stream ends with ``message-end`` and ``[DONE]``; after a failure ``message-end`` has
``finish_reason: "ERROR"``. Source: recorded traffic.
"""

from __future__ import annotations

from app.canonical.events import (
    BlockDelta,
    BlockEnded,
    Ended,
    Failed,
    Started,
)
from app.canonical.request import OpaquePart, ReasoningPart, Request, TextPart, ToolCallPart
from app.canonical.response import Usage
from app.dialects.base import DONE, Frame, ServerContext
from app.dialects.cohere.options import NAME
from app.dialects.cohere.response_out import (
    answer_id,
    citations_at,
    citations_of,
    content_block,
    encode_call,
    encode_usage,
    finish_word,
    is_plan,
    logprob_item,
)
from app.dialects.shared.block_encoder import BlockEncoder, StreamBlock
from app.dialects.shared.lenient_json import JSON


class CohereEncoder(BlockEncoder):
    """Encode the events of one response. A block without an index is not shown."""

    def __init__(self, request: Request, context: ServerContext) -> None:
        super().__init__(request, context)
        self._logprobs = bool(request.sampling.logprobs)
        self._calls = self._citations = self._texts = 0

    def _started(self, event: Started) -> list[Frame]:
        message = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        frame = _frame("message-start", None, message)
        return [Frame(frame.event, {"id": answer_id(event.id, self._context), **frame.data})]

    def _open(self, block: StreamBlock) -> list[Frame]:
        part = block.part
        if isinstance(part, ToolCallPart):
            block.index, self._calls = self._calls, self._calls + 1
            return [_frame("tool-call-start", block.index, {"tool_calls": encode_call(part)})]
        content = content_block(part)
        return [] if content is None else [_frame("content-start", self._number(block), {"content": content})]

    def _grow(self, block: StreamBlock, event: BlockDelta) -> list[Frame]:
        if not event.text and not (event.logprobs and self._logprobs):
            return []
        if isinstance(block.part, ToolCallPart):
            call = {"function": {"arguments": event.text}}
            return [_frame("tool-call-delta", block.index, {"tool_calls": call})]
        if is_plan(block.part):
            return [_frame("tool-plan-delta", None, {"tool_plan": event.text})]
        if block.index is None or isinstance(block.part, OpaquePart):
            return []
        return [self._text_delta(block, event)]

    def _text_delta(self, block: StreamBlock, event: BlockDelta) -> Frame:
        member = "thinking" if isinstance(block.part, ReasoningPart) else "text"
        frame = _frame("content-delta", block.index, {"content": {member: event.text}})
        if event.logprobs and self._logprobs:
            frame.data["logprobs"] = logprob_item(event.logprobs)
        return frame

    def _close(self, block: StreamBlock, event: BlockEnded) -> list[Frame]:
        if block.index is None:
            return []
        if isinstance(block.part, ToolCallPart):
            return [_frame("tool-call-end", block.index)]
        return [*self._encode_citations(block, event), _frame("content-end", block.index)]

    def _encode_citations(self, block: StreamBlock, event: BlockEnded) -> list[Frame]:
        if not isinstance(block.part, TextPart):
            return []
        citations = block.citations(event, NAME, citations_of)
        frames: list[Frame] = []
        for citation in citations_at(citations, block.index or 0, first=not self._texts):
            frames += [
                _frame("citation-start", self._citations, {"citations": citation}),
                _frame("citation-end", self._citations),
            ]
            self._citations += 1
        self._texts += 1
        return frames

    def _ended(self, event: Ended) -> list[Frame]:
        return _end({"finish_reason": finish_word(self._finish, refused=self._refused)}, event.usage)

    def _failed(self, event: Failed) -> list[Frame]:
        return _end({"finish_reason": "ERROR", "usage": {}, "error": event.error.message}, event.usage)


def _frame(kind: str, index: int | None, message: JSON | None = None) -> Frame:
    place = {} if index is None else {"index": index}
    delta = {} if message is None else {"delta": {"message": message}}
    return Frame(kind, {"type": kind, **place, **delta})


def _end(delta: JSON, usage: Usage | None) -> list[Frame]:
    if usage is not None:
        delta["usage"] = encode_usage(usage)
    return [Frame("message-end", {"type": "message-end", "delta": delta}), DONE]
