"""Canonical events to the event stream of Cohere v2 chat (server half).

Content blocks and tool calls are numbered apart, as on the wire; citations go out before
their text ends. The stream ends with ``message-end`` and ``[DONE]``, a broken one with
``finish_reason: "ERROR"`` in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    TextPart,
    ToolCallPart,
)
from app.canonical.response import Finish
from app.dialects.base import DONE, Frame, ServerContext
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
from app.dialects.shared.block_sequence import CallSequence

Members = dict[str, Any]


@dataclass(slots=True)
class _Block:
    """The open block: its number on the wire (None: it is not shown), and what to cite of it."""

    part: Part
    index: int | None
    pieces: list[str] = field(default_factory=list)
    notes: list[Mapping[str, Any]] = field(default_factory=list)


class CohereEncoder:
    """Events of one answer to frames."""

    def __init__(self, request: Request, context: ServerContext) -> None:
        self._context = context
        self._logprobs = bool(request.sampling.logprobs)
        self._sequence = CallSequence()
        self._blocks: dict[int, _Block] = {}
        self._contents = self._calls = self._citations = 0
        self._texts = 0
        self._finish: Finish | None = None
        self._refused = False

    def feed(self, event: Event) -> list[Frame]:
        """Return the frames that the event makes."""
        return [frame for one in self._sequence.feed(event) for frame in _TAKERS[type(one)](self, one)]

    def _start(self, event: Started) -> list[Frame]:
        message = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        identity = answer_id(event.id, self._context)
        return [Frame("message-start", {"id": identity, **_typed_delta("message-start", message)})]

    def _block_started(self, event: BlockStarted) -> list[Frame]:
        part = event.part
        self._refused = self._refused or isinstance(part, RefusalPart)
        if isinstance(part, ToolCallPart):
            index, self._calls = self._calls, self._calls + 1
            self._blocks[event.block] = _Block(part, index)
            return [_frame("tool-call-start", index, {"tool_calls": encode_call(part)})]
        content = content_block(part)
        if content is None:
            self._blocks[event.block] = _Block(part, None)
            return []
        index, self._contents = self._contents, self._contents + 1
        self._blocks[event.block] = _Block(part, index)
        return [_frame("content-start", index, {"content": content})]

    def _block_delta(self, event: BlockDelta) -> list[Frame]:
        block = self._blocks[event.block]
        if event.annotation is not None:
            block.notes.append(event.annotation)
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

    def _text_delta(self, block: _Block, event: BlockDelta) -> Frame:
        member = "thinking" if isinstance(block.part, ReasoningPart) else "text"
        frame = _frame("content-delta", block.index, {"content": {member: event.text}})
        if event.logprobs and self._logprobs:
            frame.data["logprobs"] = logprob_item(event.logprobs)
        if isinstance(block.part, TextPart):
            block.pieces.append(event.text)
        return frame

    def _block_ended(self, event: BlockEnded) -> list[Frame]:
        block = self._blocks.pop(event.block)
        if block.index is None:
            return []
        if isinstance(block.part, ToolCallPart):
            return [_frame("tool-call-end", block.index)]
        cited = self._write_citations(block, event) if isinstance(block.part, TextPart) else []
        return [*cited, _frame("content-end", block.index)]

    def _write_citations(self, block: _Block, event: BlockEnded) -> list[Frame]:
        text = "".join(block.pieces) if block.notes else ""
        native = event.native or (block.part.native if isinstance(block.part, TextPart) else None)
        citations = citations_at(
            citations_of(native, block.notes, text), block.index or 0, first=not self._texts
        )
        self._texts += 1
        frames: list[Frame] = []
        for citation in citations:
            frames += [
                _frame("citation-start", self._citations, {"citations": citation}),
                _frame("citation-end", self._citations),
            ]
            self._citations += 1
        return frames

    def _finished(self, event: Finished) -> list[Frame]:
        self._finish = event.finish
        return []

    def _ended(self, event: Ended) -> list[Frame]:
        usage = {} if event.usage is None else {"usage": encode_usage(event.usage)}
        return _end({"finish_reason": finish_word(self._finish, refused=self._refused), **usage})

    def _failed(self, event: Failed) -> list[Frame]:
        usage = {} if event.usage is None else {"usage": encode_usage(event.usage)}
        return _end({"finish_reason": "ERROR", "error": event.error.message, **usage})


_TAKERS: Final[Mapping[type, Callable[[CohereEncoder, Any], list[Frame]]]] = {
    Started: CohereEncoder._start,
    BlockStarted: CohereEncoder._block_started,
    BlockDelta: CohereEncoder._block_delta,
    BlockEnded: CohereEncoder._block_ended,
    Finished: CohereEncoder._finished,
    Ended: CohereEncoder._ended,
    Failed: CohereEncoder._failed,
}


def _typed_delta(kind: str, message: Members) -> Members:
    return {"type": kind, "delta": {"message": message}}


def _frame(kind: str, index: int | None, message: Members | None = None) -> Frame:
    numbered = {} if index is None else {"index": index}
    delta = {} if message is None else {"delta": {"message": message}}
    return Frame(kind, {"type": kind, **numbered, **delta})


def _end(delta: Members) -> list[Frame]:
    return [Frame("message-end", {"type": "message-end", "delta": delta}), DONE]
