"""A whole answer: canonical to a response object (server half), and back (client half).

Members and statuses: contract/responses.md 3 and 5.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.request import Message, Native, Request, Signature, ToolCallPart
from app.canonical.response import Billing, Choice, Finish, FinishReason, Response, Usage
from app.dialects.base import ClientContext, ServerContext
from app.dialects.responses.echo import RESOLVED, response_shell
from app.dialects.responses.items_in import NAME, Sign, decode_item
from app.dialects.responses.items_out import ItemWriter
from app.dialects.responses.request_in import ENCRYPTED
from app.dialects.responses.tools_in import places_of
from app.dialects.shared.decoder_parts import name_of_call
from app.dialects.shared.failures import status_of_code, upstream_failure
from app.dialects.shared.lenient_json import (
    as_dict,
    as_list,
    count,
    dicts,
    label,
    opt_str,
    rest,
    without_nulls,
)
from app.dialects.shared.reported_cost import decode_cost
from app.errors import GatewayError

STATUSES: Final[Mapping[FinishReason, tuple[str, str | None]]] = {
    "stop": ("completed", None),
    "tool_calls": ("completed", None),
    "length": ("incomplete", "max_output_tokens"),
    "content_filter": ("incomplete", "content_filter"),
    "fault": ("failed", None),
    "error": ("failed", None),
}
"""Finish reason to (response status, incomplete reason)."""

BROKEN_OFF: Final = {"code": "server_error", "message": "The model ended its answer in an error."}

CUTTABLE: Final = frozenset({"message", "function_call", "custom_tool_call"})
"""Items whose status says that the answer broke off in them."""

_SHARED_NATIVE: Final = ("citations", "search_results", "videos", "images", "related_questions")
_CANONICAL: Final = frozenset(
    {
        "id", "object", "created_at", "status", "model", "output", "usage", "error",
        "incomplete_details", "service_tier",
    }
)  # fmt: skip
_NOT_OURS: Final = frozenset(
    {"conversation", "output_text", "prompt", "prompt_cache_options", "extra_fields"}
)


# --- server half -----------------------------------------------------------------------


def output_writer(request: Request, context: ServerContext) -> ItemWriter:
    """Return the writer of this answer's output items."""
    summary = request.reasoning.summary if request.reasoning is not None else None
    return ItemWriter(
        context.wrap,
        context.new_id,
        places_of(request.tools) or None,
        summarises=summary not in (None, "none"),
        seals_open=ENCRYPTED in as_list(client_body(request).get("include")),
    )


def client_body(request: Request) -> Mapping[str, Any]:
    """Return the body to echo: the client's own when it wrote Responses."""
    if request.origin is not None and request.origin.dialect == NAME:
        return request.origin.body
    return {"model": request.model}


def encode_response(response: Response, request: Request, context: ServerContext) -> dict[str, Any]:
    """Return the response object of the first choice, ``encrypted_content`` included."""
    choice = response.choices[0] if response.choices else Choice(0, ())
    finish = choice.finish or Finish("stop")
    status, reason = STATUSES[finish.reason]
    output = output_writer(request, context).items(choice.messages)
    if status != "completed":
        mark_incomplete(output)
    body = client_body(request)
    shell = response_shell(
        body,
        id=context.response_id or context.new_id("resp"),
        created_at=context.now,
        model=response.model or context.model or request.model,
        status=status,
        output=output,
        usage=encode_usage(response.usage),
        error=BROKEN_OFF if status == "failed" else None,
        incomplete_reason=reason,
        completed_at=context.now,
        service_tier=response.service_tier,
    )
    return with_native(shell, response.native, body)


def mark_incomplete(output: list[dict[str, Any]]) -> None:
    """Give the last item, a message or a call, the status ``incomplete``."""
    if output and output[-1].get("type") in CUTTABLE:
        output[-1]["status"] = "incomplete"


def with_native(shell: dict[str, Any], native: Native | None, body: Mapping[str, Any]) -> dict[str, Any]:
    """Add what a Responses upstream said beyond our keys, or what surfaces show of others
    (Perplexity's citations and search results)."""
    if native is None:
        return shell
    dialect, members = native
    if dialect == NAME:
        return overlay(shell, members, body)
    return shell | {name: members[name] for name in _SHARED_NATIVE if name in members}


def overlay(shell: Mapping[str, Any], upstream: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``shell`` with the upstream's own additions (content_filters, billing …).

    Of the echoed members only those in ``RESOLVED`` are taken, and only where the client
    left them out.
    """
    shown = dict(shell)
    for name in RESOLVED:
        if body.get(name) is None and upstream.get(name) is not None:
            shown[name] = upstream[name]
    for name, value in upstream.items():
        if name not in _NOT_OURS and (name not in shown or name == "moderation"):
            shown[name] = value
    return shown


def encode_usage(usage: Usage | None) -> dict[str, Any] | None:
    """Return the ``usage`` member; further counts of ``details`` join their side's details."""
    if usage is None:
        return None
    before = {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens}
    after = {"reasoning_tokens": usage.reasoning_tokens}
    for name, value in usage.details.items():
        side, _, key = name.partition(".")
        (before if side == "input" else after).setdefault(key or side, value)
    native = usage.native[1] if usage.native is not None and usage.native[0] == NAME else {}
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": before,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": after,
        "total_tokens": usage.total,
        **native,
    }


# --- client half -----------------------------------------------------------------------


def signer(context: ClientContext) -> Sign:
    """Return what makes this target's ``encrypted_content`` a signature of its realm."""

    def sign(text: str) -> Signature:
        return Signature(text, NAME, context.realm)

    return sign


def decode_response(body: Any, context: ClientContext) -> Response:
    """Return the canonical answer of a response object.

    Raises the upstream's own failure for a failed response (also one in a 200), and
    GatewayError ``upstream_invalid`` for what is no response object.
    """
    found = as_dict(body)
    if found.get("status") == "failed" or ("output" not in found and found.get("error")):
        raise failed_response(found)
    if not isinstance(found.get("output"), list):
        raise GatewayError("upstream_invalid", "The provider's answer is not a response object.", raw=body)
    sign = signer(context)
    messages = tuple(
        replace(decode_item(item, sign), role="assistant") for item in dicts(found.get("output"))
    )
    for part in (part for message in messages for part in message.parts):
        if isinstance(part, ToolCallPart):
            name_of_call(part.name)
    return Response(
        id=opt_str(found.get("id")),
        model=opt_str(found.get("model")),
        choices=(Choice(0, messages, finish_of(found, calls_tools(messages))),),
        usage=usage_of(found),
        created=count(found.get("created_at")),
        service_tier=opt_str(found.get("service_tier")),
        native=(NAME, top_level_native(found)),
    )


def top_level_native(response: Mapping[str, Any]) -> dict[str, Any]:
    """Return a response object's members that have no canonical place."""
    return rest(response, _CANONICAL)


def calls_tools(messages: Iterable[Message]) -> bool:
    """Tell whether the answer calls a tool of the client's."""
    return any(isinstance(part, ToolCallPart) for message in messages for part in message.parts)


def finish_of(response: Mapping[str, Any], calls: bool) -> Finish | None:
    """Return why a response ended by its status; None while it has not."""
    stored_status = opt_str(response.get("status"))
    status = stored_status or "completed"
    if status in ("queued", "in_progress"):
        return None
    if status == "incomplete":
        reason = opt_str(as_dict(response.get("incomplete_details")).get("reason"))
        filtered = reason == "content_filter"
        return Finish("content_filter" if filtered else "length", reason or status)
    if status in ("cancelled", "failed"):
        return Finish("error", status)
    return Finish("tool_calls" if calls else "stop", stored_status)


def decode_usage(value: Any) -> Usage | None:
    """Return the usage of a response object, None when it counts nothing; OpenRouter's
    ``cost`` is in US dollars."""
    raw = as_dict(value)
    if count(raw.get("input_tokens")) is None and count(raw.get("output_tokens")) is None:
        return None
    before, after = as_dict(raw.get("input_tokens_details")), as_dict(raw.get("output_tokens_details"))
    extras = rest(raw, _USAGE)
    return Usage(
        input_tokens=count(raw.get("input_tokens")) or 0,
        output_tokens=count(raw.get("output_tokens")) or 0,
        total_tokens=count(raw.get("total_tokens")),
        cached_tokens=count(before.get("cached_tokens")) or 0,
        cache_write_tokens=count(before.get("cache_write_tokens")) or 0,
        reasoning_tokens=count(after.get("reasoning_tokens")) or 0,
        details={**_counts("input", before), **_counts("output", after)},
        cost=decode_cost(raw),
        native=(NAME, extras) if extras else None,
    )


def usage_of(response: Mapping[str, Any]) -> Usage | None:
    """Return the usage of a response object, with what its hosted tools are charged for."""
    usage = decode_usage(response.get("usage"))
    if usage is None:
        return None
    units = {name: number for name, number in _units(response).items() if number}
    return replace(usage, billing=Billing(units)) if units else usage


def _units(response: Mapping[str, Any]) -> dict[str, int]:
    """Count the hosted tools' work: a search is charged, opening a page that it found is not."""
    items = dicts(response.get("output"))
    usage = as_dict(as_dict(response.get("tool_usage")).get("web_search"))
    searches = sum(1 for item in items if item.get("type") == "web_search_call" and _searches(item))
    number = count(usage.get("num_requests"))
    kinds = [item.get("type") for item in items]
    return {
        "web_searches": searches if number is None else number,
        **{unit: kinds.count(kind) for kind, unit in _CHARGED_ITEMS.items()},
    }


def _searches(item: Mapping[str, Any]) -> bool:
    return as_dict(item.get("action")).get("type", "search") == "search"


_CHARGED_ITEMS: Final[Mapping[str, str]] = {
    "file_search_call": "storage_searches",
    "code_interpreter_call": "code_executions",
    "image_generation_call": "generated_images",
}

_USAGE: Final = frozenset(
    {"input_tokens", "input_tokens_details", "output_tokens", "output_tokens_details", "total_tokens"}
)
_COUNTED: Final = frozenset({"cached_tokens", "cache_write_tokens", "reasoning_tokens"})


def _counts(side: str, details: Mapping[str, Any]) -> dict[str, int]:
    found = {f"{side}.{name}": count(value) for name, value in details.items() if name not in _COUNTED}
    return without_nulls(found)


# --- errors ----------------------------------------------------------------------------


def failed_response(response: Mapping[str, Any]) -> GatewayError:
    """Return the failure that a failed (or cancelled) response object tells of."""
    if response.get("status") == "cancelled":
        return GatewayError("upstream_error", "The provider cancelled the response.", raw=response)
    return failure_of(response.get("error"), raw=response)


def failure_of(error: Any, *, raw: Any = None) -> GatewayError:
    """Return the failure of an error value inside a 200: an object or a text."""
    found = as_dict(error)
    code, kind = label(found.get("code")), label(found.get("type"))
    return upstream_failure(
        status_of_code(code, kind),
        opt_str(found.get("message")) or opt_str(error),
        code=code,
        type=kind,
        param=opt_str(found.get("param")),
        raw=raw if raw is not None else error,
    )


def decode_error(status: int, body: Any, headers: Mapping[str, str]) -> GatewayError:
    """Return the failure of an HTTP error answer.

    Reads OpenAI's envelope, a flat error, a bare text, ``detail`` and a one-item list.
    """
    if isinstance(body, list):
        body = next(iter(as_list(body)), None)
    envelope = as_dict(body)
    error = envelope.get("error", envelope.get("detail", body))
    found = as_dict(error)
    return upstream_failure(
        status,
        opt_str(found.get("message")) or opt_str(error),
        code=label(found.get("code")),
        type=label(found.get("type")),
        param=opt_str(found.get("param")),
        headers=headers,
        raw=body,
    )
