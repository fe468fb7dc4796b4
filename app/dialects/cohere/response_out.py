"""Canonical answers as Cohere v2 chat answers (server half): content, plans, calls,
citations, usage, errors.

This wire has no slot for signatures and no media; they are left out. Source of the
shapes: the cohere SDK's ``V2ChatResponse`` and the recorded exchanges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from app.canonical.request import (
    Native,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    TextPart,
    ToolCallPart,
)
from app.canonical.response import Choice, Finish, FinishReason, Response, Usage
from app.dialects.base import ServerContext
from app.dialects.cohere.options import NAME
from app.dialects.cohere.response_in import FINISHES
from app.dialects.shared.lenient_json import as_str, count, dicts
from app.dialects.shared.tool_forms import object_text
from app.errors import GatewayError

Members = dict[str, Any]

# Of what v2's enum has (cohere 7.3.1: COMPLETE, STOP_SEQUENCE, MAX_TOKENS, TOOL_CALL, ERROR, TIMEOUT) no word
# fits filtered content; ERROR would say that the call failed. Cohere's own word is v1's ERROR_TOXIC, and its
# SDK hands on words that it does not know (read 2026-11-28).
_FINISH_REASONS: Final[Mapping[FinishReason, str]] = {
    "stop": "COMPLETE",
    "length": "MAX_TOKENS",
    "tool_calls": "TOOL_CALL",
    "content_filter": "ERROR_TOXIC",
    "fault": "ERROR",
    "error": "ERROR",
}


def encode_response(response: Response, request: Request, context: ServerContext) -> Members:
    """Return a v2 chat answer; of several choices the first."""
    choice = response.choices[0] if response.choices else Choice(0, ())
    parts = [part for message in choice.messages for part in message.parts]
    answer: Members = {
        **own_members(response.native),
        "id": answer_id(response.id, context),
        "message": _message(parts),
        "finish_reason": finish_word(choice.finish, refused=any(isinstance(p, RefusalPart) for p in parts)),
    }
    if response.usage is not None:
        answer["usage"] = encode_usage(response.usage)
    rows = [row for part in parts if isinstance(part, TextPart) for row in part.logprobs or ()]
    if rows and request.sampling.logprobs:
        answer["logprobs"] = [logprob_item([row]) for row in rows]
    return answer


def answer_id(upstream: str | None, context: ServerContext) -> str:
    """Return the id of the answer as the client sees it."""
    return context.response_id or upstream or context.new_id("chat")


def own_members(native: Native | None) -> Mapping[str, Any]:
    """Return native members of this dialect, else none."""
    return native[1] if native is not None and native[0] == NAME else {}


def _message(parts: Sequence[Part]) -> Members:
    message: Members = {"role": "assistant"}
    content: list[Members] = []
    citations: list[Members] = []
    for part in parts:
        block = content_block(part)
        if block is None:
            continue
        if isinstance(part, TextPart):
            cited = citations_of(part.native, part.annotations, part.text)
            citations += citations_at(cited, len(content), first=_first_text(content))
        content.append(block)
    if plan := "".join(part.text for part in parts if is_plan(part) and isinstance(part, ReasoningPart)):
        message["tool_plan"] = plan
    if calls := [encode_call(part) for part in parts if isinstance(part, ToolCallPart)]:
        message["tool_calls"] = calls
    if content:
        message["content"] = content
    if citations:
        message["citations"] = citations
    return message


def _first_text(content: Iterable[Members]) -> bool:
    return not any(block["type"] == "text" for block in content)


def is_plan(part: Part) -> bool:
    """Tell whether a part is what this wire calls a tool plan."""
    return isinstance(part, ReasoningPart) and bool(own_members(part.native).get("plan"))


def content_block(part: Part) -> Members | None:
    """Return a part as a block of ``content``, None for what is none."""
    if isinstance(part, TextPart | RefusalPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, ReasoningPart) and part.form != "hidden" and not is_plan(part):
        return {"type": "thinking", "thinking": part.text}
    if isinstance(part, OpaquePart) and part.native[0] == NAME:
        return dict(part.native[1])
    return None


def encode_call(part: ToolCallPart) -> Members:
    """Return a tool call."""
    is_opening = part.kind == "function" and not part.arguments
    function = {"name": part.name, "arguments": "" if is_opening else object_text(part)}
    return {"id": part.id, "type": "function", "function": function}


def citations_of(native: Native | None, notes: Sequence[Mapping[str, Any]], text: str) -> list[Members]:
    """Return a text's citations: this wire's own, else what annotations of others stand for."""
    own = dicts(own_members(native).get("citations"))
    return own or [_citation(note, text) for note in notes]


def citations_at(citations: Iterable[Members], index: int, *, first: bool) -> list[Members]:
    """Return citations that name their block, as all must but those of the first text."""
    return [
        {**citation, "content_index": index} if "content_index" in citation or not first else citation
        for citation in citations
    ]


def _citation(note: Mapping[str, Any], text: str) -> Members:
    url, title = as_str(note.get("url")), as_str(note.get("title")) or as_str(note.get("filename"))
    start, end = count(note.get("start_index")), count(note.get("end_index"))
    start, end = start or 0, len(text) if end is None else end
    identity = url or as_str(note.get("file_id"))
    document = {"id": identity, "title": title, **({"url": url} if url else {})}
    return {
        "start": start,
        "end": end,
        "text": text[start:end],
        "sources": [{"type": "document", "id": identity, "document": document}],
        "type": "TEXT_CONTENT",
    }


def logprob_item(rows: Sequence[Mapping[str, Any]]) -> Members:
    """Return OpenAI token objects as one piece; ids of tokens are known to their maker alone."""
    return {
        "text": "".join(as_str(row.get("token")) for row in rows),
        "token_ids": [],
        "logprobs": [row.get("logprob") for row in rows],
    }


def finish_word(finish: Finish | None, *, refused: bool = False) -> str:
    """Return the finish reason, the wire's own word where it is one of this wire; a refusal is
    what filtered content is."""
    if finish is None:
        return "COMPLETE"
    if refused and finish.reason == "stop":
        return _FINISH_REASONS["content_filter"]
    if finish.raw is not None and FINISHES.get(finish.raw) == finish.reason:
        return finish.raw
    return "STOP_SEQUENCE" if finish.stop_sequence else _FINISH_REASONS[finish.reason]


def encode_usage(usage: Usage) -> Members:
    """Return the usage: billed units and tokens are one where the upstream tells no bill."""
    if usage.native is not None and usage.native[0] == NAME:
        return dict(usage.native[1])
    counted = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    thought = {"reasoning_tokens": usage.reasoning_tokens} if usage.reasoning_tokens else {}
    return {
        "billed_units": counted,
        "tokens": {**counted, **thought},
        "cached_tokens": usage.cached_tokens,
    }


def error_status(error: GatewayError) -> int:
    """Return the HTTP status of an error at this door: a model that is not there is 404."""
    return 404 if error.kind.name == "model_not_found" else error.status


def encode_error(error: GatewayError, *, request_id: str | None = None) -> Members:
    """Return Cohere's error body; ``id`` is the request's, where it is given."""
    return {"message": error.message, **({"id": request_id} if request_id else {})}
