"""Whole Messages answers, both ways: content, stop reasons, usage, errors.

Sources: contract/providers.md 3.4; the ``Message`` and ``Usage`` types of the anthropic SDK.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from app.canonical.request import (
    FilePart,
    ImagePart,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    TextPart,
    ToolCallPart,
)
from app.canonical.response import Billing, Choice, Finish, FinishReason, Response, Usage
from app.dialects.base import ClientContext, ServerContext
from app.dialects.messages.citations import citations_of
from app.dialects.messages.options import NAME
from app.dialects.messages.parts_in import BlockReader, sign_native
from app.dialects.shared import decoder_parts
from app.dialects.shared.claude import OMITTED
from app.dialects.shared.decoder_parts import counts_at, items_of, native_rest
from app.dialects.shared.failures import status_of_code, upstream_failure
from app.dialects.shared.lenient_json import as_dict, as_str, count, dicts, label, opt_str
from app.dialects.shared.rate_limits import LimitState
from app.dialects.shared.tool_forms import call_object, custom_tool_names
from app.dialects.shared.usage_repair import native_usage
from app.errors import GatewayError

Members = dict[str, Any]

_FINISHES: Final[Mapping[str, FinishReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",  # a long turn of hosted tools rests; what there is, is whole
    "compaction": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_STOPS: Final[Mapping[FinishReason, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "fault": "end_turn",
    "error": "end_turn",
}
_TIERS: Final = {"standard": "default", "priority": "priority", "batch": "batch"}
_KNOWN: Final = frozenset(
    {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage", "request_id"}
)


def reader_of(context: ClientContext) -> BlockReader:
    """Return a reader that signs with the target's realm and knows the custom tools asked for."""
    return BlockReader(
        lambda text: sign_native(text, context.realm), custom_tool_names(context.request), context.new_id
    )


def decode_response(body: Any, context: ClientContext) -> Response:
    """Return the answer that a Messages body is.

    Raises GatewayError ``upstream_invalid`` for a body without content, and the body's own
    error where a 200 holds one.
    """
    message = as_dict(body)
    if message.get("type") == "error":
        raise decode_error(status_of_code(label(as_dict(message.get("error")).get("type"))), message, {})
    if not isinstance(message.get("content"), list):
        raise GatewayError("upstream_invalid", "The provider's answer has no content.", raw=body)
    parts = reader_of(context).parts(message["content"])
    finish = finish_of(message, parts)
    parts += refusal_of(finish)
    return Response(
        opt_str(message.get("id")),
        opt_str(message.get("model")),
        (Choice(0, items_of(parts), finish),),
        decode_usage(message.get("usage")),
        service_tier=tier_of(message.get("usage")),
        native=native_of(message),
    )


def native_of(message: Mapping[str, Any]) -> tuple[str, Members] | None:
    """Return the top-level members that no canonical answer has, null ones left out."""
    return native_rest(NAME, message, _KNOWN)


def finish_of(message: Mapping[str, Any], parts: list[Part]) -> Finish:
    """Return why the answer ended, by its ``stop_…`` members. A ``tool_use`` of nothing but the
    tool that stands for a JSON answer, or of none, is a plain stop."""
    finish = decoder_parts.finish_of(
        message.get("stop_reason"), _FINISHES, parts, message.get("stop_sequence")
    )
    return replace(finish, details=as_dict(message.get("stop_details")) or None)


def refusal_of(finish: Finish) -> list[RefusalPart]:
    """Return the refusal that ``stop_details`` explains (``RefusalStopDetails`` of the anthropic
    SDK 2.14), for wires that show a refusal; this one shows the details themselves."""
    details = finish.details or {}
    text = as_str(details.get("explanation"))
    if not text and details.get("category"):
        text = f"The request was refused (category: {details['category']})."
    return [RefusalPart(text, native=(NAME, {"explains": "stop_details"}))] if text else []


def decode_usage(value: Any) -> Usage | None:
    """Return the usage, cached and written tokens added to the input; None without counts."""
    raw = as_dict(value)
    fresh, output = count(raw.get("input_tokens")), count(raw.get("output_tokens"))
    if fresh is None and output is None:
        return None
    cached = count(raw.get("cache_read_input_tokens")) or 0
    written = count(raw.get("cache_creation_input_tokens")) or 0
    return Usage(
        input_tokens=(fresh or 0) + cached + written,
        output_tokens=output or 0,
        cached_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=count(as_dict(raw.get("output_tokens_details")).get("thinking_tokens")) or 0,
        details=counts_at(raw, _DETAILS),
        billing=_billing(raw),
        native=native_usage(NAME, raw),
    )


def _billing(raw: Members) -> Billing:
    """Return what the usage tells of the price: searches, speed and place, and the runs of a
    model that the counts leave out (recorded: their sum is that of the ``message`` entries)."""
    searches = count(as_dict(raw.get("server_tool_use")).get("web_search_requests"))
    terms = {name: word for name in ("speed", "inference_geo") if (word := opt_str(raw.get(name)))}
    further = [
        (opt_str(entry.get("model")), usage)
        for entry in dicts(raw.get("iterations"))
        if entry.get("type") in _APART and (usage := decode_usage(entry)) is not None
    ]
    return Billing(
        {"web_searches": searches} if searches else {},
        {name: word for name, word in terms.items() if word not in _USUAL_TERMS},
        tuple(further),
    )


_APART: Final = frozenset({"compaction", "advisor_message"})
_USUAL_TERMS: Final = frozenset({"standard", "global", "not_available"})

_DETAILS: Final[Mapping[tuple[str, str], str]] = {
    ("cache_creation", "ephemeral_5m_input_tokens"): "input.cache_write_5m_tokens",
    ("cache_creation", "ephemeral_1h_input_tokens"): "input.cache_write_1h_tokens",
    ("server_tool_use", "web_search_requests"): "output.num_search_queries",
    ("server_tool_use", "web_fetch_requests"): "output.num_fetch_requests",
}


def tier_of(usage: Any) -> str | None:
    """Return the service tier in OpenAI's words."""
    tier = opt_str(as_dict(usage).get("service_tier"))
    return _TIERS.get(tier, tier) if tier else None


def decode_error(status: int, body: Any, headers: Mapping[str, str]) -> GatewayError:
    """Read any error body seen on a host of Claude: Anthropic's own, Google's list, AWS's
    bare ``message``, plain text."""
    holder = dicts(body)[0] if dicts(body) else as_dict(body)
    error = holder.get("error", holder)
    if not isinstance(error, dict):
        return upstream_failure(status, opt_str(error), headers=headers, raw=body)
    message = opt_str(error.get("message")) or opt_str(error.get("Message"))
    return upstream_failure(
        status,
        message or opt_str(body),
        code=label(error.get("code")) if not isinstance(error.get("code"), int) else None,
        type=label(error.get("type")) or label(error.get("status")),
        headers=headers,
        raw=body,
    )


# server half


def encode_response(response: Response, request: Request, context: ServerContext) -> Members:
    """Return a Messages answer; of several choices the first."""
    choice = response.choices[0] if response.choices else Choice(0, ())
    parts = [part for message in choice.messages for part in message.parts]
    native = response.native[1] if response.native and response.native[0] == NAME else {}
    return {
        **native,
        **head(response.id, response.model, context),
        "content": [block for part in parts if (block := encode_part(part, context)) is not None],
        **stop_members(choice.finish, refused=any(isinstance(part, RefusalPart) for part in parts)),
        "usage": encode_usage(response.usage, response.service_tier),
    }


def head(answer_id: str | None, model: str | None, context: ServerContext) -> Members:
    """Return the members that open an answer."""
    return {
        "id": context.response_id or answer_id or context.new_id("msg"),
        "type": "message",
        "role": "assistant",
        "model": model or context.model or "",
    }


def stop_members(finish: Finish | None, *, refused: bool = False) -> Members:
    """Return ``stop_reason`` and ``stop_sequence``, the wire's own word where it is one of ours.

    A refusal in words, which other makers tell by a part, is a reason of its own here.
    """
    if finish is None:
        return {"stop_reason": None, "stop_sequence": None}
    if refused and finish.reason == "stop":
        return {"stop_reason": "refusal", "stop_sequence": None}
    own = finish.raw if finish.raw in _FINISHES else None
    met = "stop_sequence" if finish.stop_sequence else None
    members = {"stop_reason": own or met or _STOPS[finish.reason], "stop_sequence": finish.stop_sequence}
    return {**members, "stop_details": dict(finish.details)} if finish.details else members


def encode_usage(usage: Usage | None, tier: str | None = None) -> Members:
    """Return the usage in this wire's sense: ``input_tokens`` without cached and written ones."""
    if usage is None:
        return {"input_tokens": 0, "output_tokens": 0}
    if usage.native is not None and usage.native[0] == NAME:
        return dict(usage.native[1])
    cached = min(usage.cached_tokens, usage.input_tokens)  # xAI tells more than the whole prompt
    stored = min(usage.cache_write_tokens, usage.input_tokens - cached)
    written: Members = {
        "input_tokens": usage.input_tokens - cached - stored,
        "cache_creation_input_tokens": stored,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.output_tokens,
    }
    if usage.reasoning_tokens:
        written["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    words = {ours: theirs for theirs, ours in _TIERS.items()}
    return {**written, "service_tier": words[tier]} if tier in words else written


def encode_part(part: Part, context: ServerContext) -> Members | None:
    """Return the block of an answer's part, None for what this wire cannot say."""
    writer = _WRITERS.get(type(part))
    return writer(part, context) if writer is not None else None


def _native(part: Any) -> Members:
    return dict(part.native[1]) if part.native is not None and part.native[0] == NAME else {}


def _text(part: TextPart, context: ServerContext) -> Members:
    block = {**_native(part), "type": "text", "text": part.text}
    if "citations" not in block and (citations := citations_of(part.annotations, part.text)):
        block["citations"] = citations
    return block


def _refusal(part: RefusalPart, context: ServerContext) -> Members | None:
    return None if _native(part) else {"type": "text", "text": part.text}


def _reasoning(part: ReasoningPart, context: ServerContext) -> Members:
    slot = context.wrap(part.signature) if part.signature is not None else ""
    withheld = part.signature is not None and part.signature.value.startswith(OMITTED)
    if part.form == "hidden" and not withheld:
        return {"type": "redacted_thinking", "data": slot}
    return {"type": "thinking", "thinking": part.text, "signature": slot.removeprefix(OMITTED)}


def _tool_call(part: ToolCallPart, context: ServerContext) -> Members:
    return {
        **_native(part),
        "type": "tool_use",
        "id": part.id,
        "name": part.name,
        "input": call_object(part),
    }


def _opaque(part: OpaquePart, context: ServerContext) -> Members | None:
    return dict(part.native[1]) if part.native[0] == NAME else None


_WRITERS: Final[Mapping[type, Callable[[Any, ServerContext], Members | None]]] = {
    TextPart: _text,
    RefusalPart: _refusal,
    ReasoningPart: _reasoning,
    ToolCallPart: _tool_call,
    OpaquePart: _opaque,
    ImagePart: lambda part, context: None,  # a Messages answer holds no media
    FilePart: lambda part, context: None,
}


def error_status(error: GatewayError) -> int:
    """Return the HTTP status of an error at this door: a model that is not there is 404, and an
    overload 529."""
    if error.kind.name == "model_not_found":
        return 404
    return _OVERLOADED if error.status == 503 else error.status


def encode_error(error: GatewayError, *, request_id: str | None = None) -> Members:
    """Return Anthropic's error body; ``request_id`` is the request's, where it is given."""
    status = error_status(error)
    kind = _ERRORS.get(status, "api_error" if status >= 500 else "invalid_request_error")
    body: Members = {"type": "error", "error": {"type": kind, "message": error.message}}
    return {**body, "request_id": request_id} if request_id else body


def limit_headers(kind: str, state: LimitState, now: float) -> dict[str, str]:
    """Return Anthropic's headers of a limit; it resets at a moment (RFC 3339)."""
    moment = datetime.fromtimestamp(math.ceil(now + state.reset), UTC)
    return {
        f"anthropic-ratelimit-{kind}-limit": str(state.limit),
        f"anthropic-ratelimit-{kind}-remaining": str(state.remaining),
        f"anthropic-ratelimit-{kind}-reset": moment.isoformat().replace("+00:00", "Z"),
    }


_OVERLOADED: Final = 529
_ERRORS: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
