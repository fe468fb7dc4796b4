"""Encode a canonical response as a Cohere v2 chat response (server half): content, plans, calls,
citations, usage, errors.

The format has no place for signatures or media; they are left out, but the transcript of speech is text. Sources: the cohere
SDK's ``V2ChatResponse``, recorded traffic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from app.canonical.request import (
    AudioPart,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    TextPart,
    ToolCallPart,
)
from app.canonical.response import Finish, FinishReason, Response, Usage
from app.dialects.base import ServerContext
from app.dialects.cohere.options import NAME
from app.dialects.cohere.response_in import FINISHES
from app.dialects.shared import block_encoder
from app.dialects.shared.lenient_json import JSON, as_str, dicts
from app.dialects.shared.members import own_members
from app.dialects.shared.tool_forms import object_text
from app.errors import GatewayError

# v2's enum (cohere 7.3.1: COMPLETE, STOP_SEQUENCE, MAX_TOKENS, TOOL_CALL, ERROR, TIMEOUT) has no value for
# filtered content; ERROR would mean that the call failed. v1's ERROR_TOXIC is used: Cohere's SDK passes on
# values that it does not know (read 2026-11-28).
_FINISH_REASONS: Final[Mapping[FinishReason, str]] = {
    "stop": "COMPLETE",
    "length": "MAX_TOKENS",
    "tool_calls": "TOOL_CALL",
    "content_filter": "ERROR_TOXIC",
    "fault": "ERROR",
    "error": "ERROR",
}


def encode_response(response: Response, request: Request, context: ServerContext) -> JSON:
    """Return a v2 chat response with the first choice."""
    choice, parts = response.first, response.first.parts
    answer: JSON = {
        **own_members(response.native, NAME),
        "id": answer_id(response.id, context),
        "message": _message(parts),
        "finish_reason": finish_word(choice.finish, refused=choice.refused),
    }
    if response.usage is not None:
        answer["usage"] = encode_usage(response.usage)
    tokens = [token for part in parts if isinstance(part, TextPart) for token in part.logprobs or ()]
    if tokens and request.sampling.logprobs:
        answer["logprobs"] = [logprob_item([token]) for token in tokens]
    return answer


def answer_id(upstream: str | None, context: ServerContext) -> str:
    """Return the id of the response as the client sees it."""
    return context.response_id or upstream or context.new_id("chat")


def _message(parts: Sequence[Part]) -> JSON:
    content: list[JSON] = []
    citations: list[JSON] = []
    for part in parts:
        block = content_block(part)
        if block is None:
            continue
        if isinstance(part, TextPart):
            own = dicts(own_members(part.native, NAME).get("citations"))
            is_first = not any(block["type"] == "text" for block in content)
            notes = own or citations_of(part.annotations, part.text)
            citations += citations_at(notes, len(content), first=is_first)
        content.append(block)
    optional = {
        "tool_plan": "".join(p.text for p in parts if isinstance(p, ReasoningPart) and is_plan(p)),
        "tool_calls": [encode_call(part) for part in parts if isinstance(part, ToolCallPart)],
        "content": content,
        "citations": citations,
    }
    return {"role": "assistant", **{name: value for name, value in optional.items() if value}}


def is_plan(part: Part) -> bool:
    """Tell whether a part is sent as ``tool_plan``."""
    return isinstance(part, ReasoningPart) and bool(own_members(part.native, NAME).get("plan"))


def content_block(part: Part) -> JSON | None:
    """Return a part as a block of ``content``, None if it has no place there."""
    if isinstance(part, TextPart | RefusalPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, AudioPart) and part.transcript:
        return {"type": "text", "text": part.transcript}
    if isinstance(part, ReasoningPart) and part.form != "hidden" and not is_plan(part):
        return {"type": "thinking", "thinking": part.text}
    if isinstance(part, OpaquePart) and part.native[0] == NAME:
        return dict(part.native[1])
    return None


def encode_call(part: ToolCallPart) -> JSON:
    """Return a tool call; a function's arguments are empty at the beginning of a stream."""
    is_opening = part.kind == "function" and not part.arguments
    function = {"name": part.name, "arguments": "" if is_opening else object_text(part)}
    return {"id": part.id, "type": "function", "function": function}


def citations_of(notes: Iterable[Mapping[str, Any]], text: str) -> list[JSON]:
    """Return another API's annotations of ``text`` as citations."""
    return list(map(_citation, block_encoder.citations_in(text, notes)))


def citations_at(citations: Iterable[JSON], index: int, *, first: bool) -> list[JSON]:
    """Return citations with the index of their block, which only those of the first text may omit."""
    return [
        {**citation, "content_index": index} if "content_index" in citation or not first else citation
        for citation in citations
    ]


def _citation(citation: block_encoder.Citation) -> JSON:
    note = citation.note
    url, title = as_str(note.get("url")), as_str(note.get("title")) or as_str(note.get("filename"))
    source_id = url or as_str(note.get("file_id"))
    document = {"id": source_id, "title": title, **({"url": url} if url else {})}
    return {
        "start": citation.start,
        "end": citation.end,
        "text": citation.span,
        "sources": [{"type": "document", "id": source_id, "document": document}],
        "type": "TEXT_CONTENT",
    }


def logprob_item(rows: Sequence[Mapping[str, Any]]) -> JSON:
    """Return OpenAI token objects as one entry; ``token_ids`` is empty since OpenAI's objects have no ids."""
    return {
        "text": "".join(as_str(row.get("token")) for row in rows),
        "token_ids": [],
        "logprobs": [row.get("logprob") for row in rows],
    }


def finish_word(finish: Finish | None, *, refused: bool = False) -> str:
    """Return the value of ``finish_reason``."""
    return block_encoder.finish_word(finish, _FINISH_REASONS, FINISHES, "STOP_SEQUENCE", refused=refused)


def encode_usage(usage: Usage) -> JSON:
    """Return the usage; billed units are the token counts where the upstream is not Cohere."""
    own = own_members(usage.native, NAME)
    if own and not usage.estimated:
        return dict(own)
    tokens = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    reasoning = {"reasoning_tokens": usage.reasoning_tokens} if usage.reasoning_tokens else {}
    return {
        **own,
        "billed_units": tokens,
        "tokens": {**tokens, **reasoning},
        "cached_tokens": usage.cached_tokens,
    }


def encode_error(error: GatewayError) -> JSON:
    """Return Cohere's error body."""
    return {"message": error.message}
