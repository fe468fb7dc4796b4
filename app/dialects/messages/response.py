"""Decode and encode Messages responses: content, stop reasons, usage, errors.

Sources: docs/contract/providers.md (Claude), the ``Message`` and ``Usage`` types of the anthropic SDK.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from app.canonical.request import (
    AudioPart,
    Native,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    TextPart,
    ToolCallPart,
)
from app.canonical.response import Billing, Choice, Finish, FinishReason, Response, Usage
from app.dialects.base import ClientContext, ServerContext, status_of_error
from app.dialects.messages.citations import citations_of
from app.dialects.messages.options import NAME, THREAD_REFUSED
from app.dialects.messages.parts_in import BlockReader, sign_native
from app.dialects.shared import decoder_parts
from app.dialects.shared.claude import OMITTED
from app.dialects.shared.decoder_parts import counts_at, groups_of, items_of
from app.dialects.shared.failures import status_of_code, upstream_failure
from app.dialects.shared.lenient_json import JSON, as_dict, as_str, count, dicts, label, opt_str
from app.dialects.shared.members import native_rest, own_members
from app.dialects.shared.tool_forms import call_object, custom_tool_names
from app.dialects.shared.usage_repair import native_usage
from app.dialects.shared.usage_sides import sides
from app.errors import GatewayError

_FINISHES: Final[Mapping[str, FinishReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",  # a long turn of hosted tools pauses; its blocks are complete
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
_CANONICAL: Final = frozenset(
    {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage", "request_id"}
)


def reader_of(context: ClientContext) -> BlockReader:
    """Return a reader for the response to the context's request."""
    return BlockReader(
        lambda text: sign_native(text, context.realm), custom_tool_names(context.request), context.new_id
    )


def decode_response(body: Any, context: ClientContext) -> Response:
    """Return the canonical response of a body.

    Raises ``upstream_invalid`` for a body without content, and the error of a body of type ``error``.
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


def native_of(message: Mapping[str, Any]) -> Native | None:
    """Return the top-level members that a canonical response does not have, without null ones."""
    return native_rest(NAME, message, _CANONICAL)


def finish_of(message: Mapping[str, Any], parts: list[Part]) -> Finish:
    """Return why the response ended, from its ``stop_…`` members.

    ``tool_use`` without a call of a client's tool is a plain stop.
    """
    finish = decoder_parts.finish_of(
        message.get("stop_reason"), _FINISHES, parts, message.get("stop_sequence")
    )
    return replace(finish, details=as_dict(message.get("stop_details")) or None)


def refusal_of(finish: Finish) -> list[RefusalPart]:
    """Return the explanation in ``stop_details`` as a refusal, for formats that have refusals
    (``RefusalStopDetails`` of the anthropic SDK 2.14)."""
    details = finish.details or {}
    text = as_str(details.get("explanation"))
    if not text and details.get("category"):
        text = f"The request was refused (category: {details['category']})."
    return [RefusalPart(text, native=(NAME, {"explains": "stop_details"}))] if text else []


def decode_usage(value: Any) -> Usage | None:
    """Return the usage, None if neither input nor output tokens are reported.

    ``input_tokens`` excludes tokens read from and written to the cache.
    """
    raw = as_dict(value)
    uncached, output = count(raw.get("input_tokens")), count(raw.get("output_tokens"))
    if uncached is None and output is None:
        return None
    cached = count(raw.get("cache_read_input_tokens")) or 0
    cache_writes = count(raw.get("cache_creation_input_tokens")) or 0
    return Usage(
        input_tokens=(uncached or 0) + cached + cache_writes,
        output_tokens=output or 0,
        missing=sides(uncached, output).missing,
        cached_tokens=cached,
        cache_write_tokens=cache_writes,
        reasoning_tokens=count(as_dict(raw.get("output_tokens_details")).get("thinking_tokens")) or 0,
        details=counts_at(raw, _DETAILS),
        billing=_billing(raw),
        native=native_usage(NAME, raw),
    )


def _billing(raw: JSON) -> Billing:
    """Return what affects the price: searches, speed, region, and runs that the counts leave out.

    Recorded traffic: the counts are the sum of the ``message`` entries of ``iterations``.
    """
    searches = count(as_dict(raw.get("server_tool_use")).get("web_search_requests"))
    terms = {name: word for name in ("speed", "inference_geo") if (word := opt_str(raw.get(name)))}
    further = [
        (opt_str(entry.get("model")), usage)
        for entry in dicts(raw.get("iterations"))
        if entry.get("type") in _SEPARATE_RUNS and (usage := decode_usage(entry)) is not None
    ]
    return Billing(
        {"web_searches": searches} if searches else {},
        {name: word for name, word in terms.items() if word not in _DEFAULT_TERMS},
        tuple(further),
    )


_SEPARATE_RUNS: Final = frozenset({"compaction", "advisor_message"})
_DEFAULT_TERMS: Final = frozenset({"standard", "global", "not_available"})

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
    """Return the error of a response with status 400 or above.

    Hosts of Claude send Anthropic's error body, Google's list, AWS's bare ``message`` or plain text
    (recorded traffic).
    """
    members = next(iter(dicts(body)), as_dict(body))
    error = members if members.get("error") is None else members["error"]
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


def encode_response(response: Response, request: Request, context: ServerContext) -> JSON:
    """Return a Messages response with the first choice."""
    choice = response.first
    return {
        **own_members(response.native, NAME),
        **head(response.id, response.model, context),
        "content": [block for part in choice.parts if (block := encode_part(part, context)) is not None],
        **stop_members(choice.finish, refused=choice.refused),
        "usage": encode_usage(response.usage, response.service_tier),
    }


def head(answer_id: str | None, model: str | None, context: ServerContext) -> JSON:
    """Return the first members of a response."""
    return {
        "id": context.response_id or answer_id or context.new_id("msg"),
        "type": "message",
        "role": "assistant",
        "model": model or context.model or "",
    }


def stop_members(finish: Finish | None, *, refused: bool = False) -> JSON:
    """Return ``stop_reason`` and ``stop_sequence``; Claude's own stop reason is kept.

    A stop with a refusal has the reason ``refusal``.
    """
    if finish is None:
        return {"stop_reason": None, "stop_sequence": None}
    if refused and finish.reason == "stop":
        return {"stop_reason": "refusal", "stop_sequence": None}
    own = finish.raw if finish.raw in _FINISHES else None
    reason = own or ("stop_sequence" if finish.stop_sequence else _STOPS[finish.reason])
    members = {"stop_reason": reason, "stop_sequence": finish.stop_sequence}
    return {**members, "stop_details": dict(finish.details)} if finish.details else members


def encode_usage(usage: Usage | None, tier: str | None = None) -> JSON:
    """Return the usage; ``input_tokens`` excludes tokens read from and written to the cache."""
    if usage is None:
        return {"input_tokens": 0, "output_tokens": 0}
    own = own_members(usage.native, NAME)
    if own and not usage.estimated:
        return dict(own)
    cached = min(usage.cached_tokens, usage.input_tokens)  # xAI reports more than the whole input
    cache_writes = min(usage.cache_write_tokens, usage.input_tokens - cached)
    members: JSON = {
        **own,
        "input_tokens": usage.input_tokens - cached - cache_writes,
        "cache_creation_input_tokens": cache_writes,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.output_tokens,
        **groups_of(usage.details, _DETAILS),
    }
    if usage.reasoning_tokens:
        members["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    word = next((word for word, canonical in _TIERS.items() if canonical == tier), None)
    return {**members, "service_tier": word} if word else members


def encode_part(part: Part, context: ServerContext) -> JSON | None:
    """Return the block of a response's part, None if Messages has no block for it."""
    encoder = _ENCODERS.get(type(part))
    return encoder(part, context) if encoder is not None else None


def _text(part: TextPart, context: ServerContext) -> JSON:
    block = {**own_members(part.native, NAME), "type": "text", "text": part.text}
    if "citations" not in block and (citations := citations_of(part.annotations, part.text)):
        block["citations"] = citations
    return block


def _refusal(part: RefusalPart, context: ServerContext) -> JSON | None:
    return None if own_members(part.native, NAME) else {"type": "text", "text": part.text}


def _reasoning(part: ReasoningPart, context: ServerContext) -> JSON | None:
    slot = context.wrap(part.signature) if part.signature is not None else ""
    withheld = part.signature is not None and part.signature.value.startswith(OMITTED)
    if part.form == "hidden" and not withheld:
        return {"type": "redacted_thinking", "data": slot} if slot else None
    return {"type": "thinking", "thinking": part.text, "signature": slot.removeprefix(OMITTED)}


def _tool_call(part: ToolCallPart, context: ServerContext) -> JSON:
    return {
        **own_members(part.native, NAME),
        "type": "tool_use",
        "id": part.id,
        "name": part.name,
        "input": call_object(part),
    }


_ENCODERS: Final[Mapping[type, Callable[[Any, ServerContext], JSON | None]]] = {
    TextPart: _text,
    RefusalPart: _refusal,
    AudioPart: lambda part, _: {"type": "text", "text": part.transcript} if part.transcript else None,
    ReasoningPart: _reasoning,
    ToolCallPart: _tool_call,
    OpaquePart: lambda part, _: dict(part.native[1]) if part.native[0] == NAME else None,
}


def error_status(error: GatewayError) -> int:
    """Return the HTTP status of an error: an overload is 529, a model that does not exist 404."""
    status = status_of_error(error)
    return _OVERLOADED if status == 503 else status


def encode_error(error: GatewayError) -> JSON:
    """Return Anthropic's error body."""
    status = error_status(error)
    kind = _ERRORS.get(status, "api_error" if status >= 500 else "invalid_request_error")
    body: JSON = {"type": kind, "message": error.message}
    if error.code == THREAD_REFUSED:
        body["details"] = {"error_code": error.code, "unsupported": ["thread"]}
    elif code := _error_code(error.raw):
        body["details"] = {"error_code": code}
    return {"type": "error", "error": body}


def _error_code(raw: Any) -> str | None:
    """Return the word by which clients know the cause of an error of this API, None if it has none."""
    code = as_dict(as_dict(as_dict(raw).get("error")).get("details")).get("error_code")
    return code if isinstance(code, str) and _WORD.fullmatch(code) else None


_WORD: Final = re.compile(r"[a-z_]{1,64}")


def limit_headers(kind: str, limit: int, remaining: int, reset: float, now: float) -> dict[str, str]:
    """Return Anthropic's headers of a limit; the time of its reset is RFC 3339."""
    time = datetime.fromtimestamp(math.ceil(now + reset), UTC)
    return {
        f"anthropic-ratelimit-{kind}-limit": str(limit),
        f"anthropic-ratelimit-{kind}-remaining": str(remaining),
        f"anthropic-ratelimit-{kind}-reset": time.isoformat().replace("+00:00", "Z"),
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
