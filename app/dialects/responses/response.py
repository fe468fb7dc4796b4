"""Whole answers: the canonical Response as a response object (server half), and back (client half).

Members and statuses are those of OpenAI's API description and recorded answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.request import Native, Request, Signature, ToolCallPart
from app.canonical.response import Billing, Choice, Finish, FinishReason, Response, Usage
from app.dialects.base import ClientContext, ServerContext
from app.dialects.chat.errors import decode_error
from app.dialects.responses.echo import RESOLVED, response_shell
from app.dialects.responses.items_in import NAME, Sign, decode_output
from app.dialects.responses.items_out import ItemWriter
from app.dialects.responses.request_in import ENCRYPTED
from app.dialects.responses.tools_in import places_of
from app.dialects.shared.decoder_parts import decode_cost, name_of_call
from app.dialects.shared.failures import status_of_code
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
from app.dialects.shared.members import as_native, own_members
from app.dialects.shared.plain_counts import OF_RESPONSES
from app.dialects.shared.usage_sides import sides
from app.errors import GatewayError

STATUSES: Final[Mapping[FinishReason, tuple[str, str | None]]] = {
    "stop": ("completed", None),
    "tool_calls": ("completed", None),
    "length": ("incomplete", "max_output_tokens"),
    "content_filter": ("incomplete", "content_filter"),
    "fault": ("failed", None),
    "error": ("failed", None),
}
"""The status of a response and the reason in its ``incomplete_details``, by finish reason."""

BROKEN_OFF: Final = {"code": "server_error", "message": "The model ended its answer in an error."}

CUTTABLE: Final = frozenset({"message", "function_call", "custom_tool_call"})
"""Items whose status may say that they are cut off."""

_SHARED_NATIVE: Final = ("citations", "search_results", "videos", "images", "related_questions")
_CANONICAL: Final = frozenset(
    {
        "id", "object", "created_at", "status", "model", "output", "usage", "error",
        "incomplete_details", "service_tier",
    }
)  # fmt: skip
_EXCLUDED: Final = frozenset(
    {"conversation", "output_text", "prompt", "prompt_cache_options", "extra_fields"}
)


# --- server half -----------------------------------------------------------------------


def output_writer(request: Request, context: ServerContext) -> ItemWriter:
    """Return the writer of the output items of an answer."""
    summary = request.reasoning.summary if request.reasoning is not None else None
    return ItemWriter(
        context.wrap,
        context.new_id,
        places_of(request.tools) or None,
        summarises=summary not in (None, "none"),
        seals_open=ENCRYPTED in as_list(client_body(request).get("include")),
    )


def client_body(request: Request) -> Mapping[str, Any]:
    """Return the body to echo: the client's own if it is a Responses body."""
    if request.origin is not None and request.origin.dialect == NAME:
        return request.origin.body
    return {"model": request.model}


def encode_response(response: Response, request: Request, context: ServerContext) -> dict[str, Any]:
    """Return the response object of the first choice, including ``encrypted_content``."""
    choice = response.first
    status, reason = STATUSES["stop" if choice.finish is None else choice.finish.reason]
    output = [*map(dict, context.leading), *output_writer(request, context).items(choice.messages)]
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
    """Set the status of the last item to ``incomplete`` if it is a message or a call."""
    if output and output[-1].get("type") in CUTTABLE:
        output[-1]["status"] = "incomplete"


def with_native(shell: dict[str, Any], native: Native | None, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``shell`` with the native members of the answer: all of a Responses provider's, and from
    others those of ``_SHARED_NATIVE`` (Perplexity's citations and search results)."""
    if native is None:
        return shell
    dialect, members = native
    if dialect == NAME:
        return overlay(shell, members, body)
    return shell | {name: members[name] for name in _SHARED_NATIVE if name in members}


def overlay(shell: Mapping[str, Any], upstream: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``shell`` with the provider's additional members (content_filters, billing …).

    Of the echoed members only those in ``RESOLVED`` are taken from the provider, and only if the
    client did not set them.
    """
    members = {
        name: value
        for name, value in upstream.items()
        if (name == "moderation" or name not in shell) and name not in _EXCLUDED
    }
    defaults = {
        name: upstream[name] for name in RESOLVED if body.get(name) is None and upstream.get(name) is not None
    }
    return {**shell, **defaults, **members}


def encode_usage(usage: Usage | None) -> dict[str, Any] | None:
    """Return the ``usage`` member; further counts are added to the details of input or output."""
    if usage is None:
        return None
    before = {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens}
    after = {"reasoning_tokens": usage.reasoning_tokens}
    for name, value in usage.details.items():
        side, _, key = name.partition(".")
        (before if side == "input" else after).setdefault(key or side, value)
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": before,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": after,
        "total_tokens": usage.total,
        **own_members(usage.native, NAME),
    }


def encode_count_response(tokens: int, *, estimated: bool = False) -> dict[str, Any]:
    """Return the answer of a token count (``POST /responses/input_tokens``); an estimate is marked as such."""
    mark = {"estimated": True} if estimated else {}
    return {"object": "response.input_tokens", "input_tokens": tokens, **mark}


# --- client half -----------------------------------------------------------------------


def signer(context: ClientContext) -> Sign:
    """Return the function from an ``encrypted_content`` of the target to a signature of its realm."""
    return lambda text: Signature(text, NAME, context.realm)


def decode_response(body: Any, context: ClientContext) -> Response:
    """Return the canonical answer of a response object.

    Raises the provider's error for a failed response (even in a 200), and GatewayError
    ``upstream_invalid`` for a body that is not a response object.
    """
    response = as_dict(body)
    if response.get("status") == "failed" or ("output" not in response and response.get("error")):
        raise failed_response(response)
    if not isinstance(response.get("output"), list):
        raise GatewayError("upstream_invalid", "The provider's answer is not a response object.", raw=body)
    sign = signer(context)
    messages = tuple(decode_output(item, sign) for item in dicts(response["output"]))
    parts = (part for message in messages for part in message.parts)
    calls = [name_of_call(part.name) for part in parts if isinstance(part, ToolCallPart)]
    return Response(
        id=opt_str(response.get("id")),
        model=opt_str(response.get("model")),
        choices=(Choice(0, messages, finish_of(response, bool(calls))),),
        usage=usage_of(response),
        created=count(response.get("created_at")),
        service_tier=opt_str(response.get("service_tier")),
        native=(NAME, top_level_native(response)),
    )


def top_level_native(response: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of a response object that have no canonical place."""
    return rest(response, _CANONICAL)


def status_of(response: Mapping[str, Any]) -> str:
    """Return the status of a response object. One without a status is complete, unless it says why it is not."""
    reason = as_dict(response.get("incomplete_details")).get("reason")
    return opt_str(response.get("status")) or ("incomplete" if reason else "completed")


def finish_of(response: Mapping[str, Any], calls: bool) -> Finish | None:
    """Return the finish of a response by its status, None if it has not ended; ``calls``: it has tool calls."""
    status = status_of(response)
    if status in ("queued", "in_progress"):
        return None
    if status == "incomplete":
        reason = opt_str(as_dict(response.get("incomplete_details")).get("reason"))
        return Finish("content_filter" if reason == "content_filter" else "length", reason or status)
    if status in ("cancelled", "failed"):
        return Finish("error", status)
    return Finish("tool_calls" if calls else "stop", opt_str(response.get("status")))


def decode_usage(value: Any) -> Usage | None:
    """Return the usage of a response object, None if it has no counts; ``cost`` is OpenRouter's, in US dollars."""
    raw = as_dict(value)
    if OF_RESPONSES.fit(raw):
        return _plain_usage(raw)
    if count(raw.get("input_tokens")) is None and count(raw.get("output_tokens")) is None:
        return None
    before, after = as_dict(raw.get("input_tokens_details")), as_dict(raw.get("output_tokens_details"))
    total = count(raw.get("total_tokens"))
    tokens = sides(count(raw.get("input_tokens")), count(raw.get("output_tokens")), total)
    return Usage(
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        total_tokens=total,
        cached_tokens=count(before.get("cached_tokens")) or 0,
        cache_write_tokens=count(before.get("cache_write_tokens")) or 0,
        reasoning_tokens=count(after.get("reasoning_tokens")) or 0,
        details={**_counts("input", before), **_counts("output", after)},
        cost=decode_cost(raw),
        missing=tokens.missing,
        native=as_native(NAME, rest(raw, _USAGE)),
    )


def _plain_usage(raw: Mapping[str, Any]) -> Usage:
    """Return a usage with plain counts. tests/dialects/test_plain_counts.py compares it with the full decoding."""
    before, after = raw.get("input_tokens_details") or {}, raw.get("output_tokens_details") or {}
    return Usage(
        input_tokens=raw["input_tokens"],
        output_tokens=raw["output_tokens"],
        total_tokens=raw["total_tokens"],
        cached_tokens=before.get("cached_tokens", 0),
        cache_write_tokens=before.get("cache_write_tokens", 0),
        reasoning_tokens=after.get("reasoning_tokens", 0),
        details={**_counts("input", before), **_counts("output", after)},
    )


def usage_of(response: Mapping[str, Any]) -> Usage | None:
    """Return the usage of a response object, with the charged work of its hosted tools."""
    usage = decode_usage(response.get("usage"))
    if usage is None:
        return None
    units = {name: number for name, number in _units(response).items() if number}
    return replace(usage, billing=Billing(units)) if units else usage


def _units(response: Mapping[str, Any]) -> dict[str, int]:
    """Return the counts of charged work: searches, but not the opening of pages (docs/contract/prices.md)."""
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
    return without_nulls({f"{side}.{name}": count(value) for name, value in rest(details, _COUNTED).items()})


# --- errors ----------------------------------------------------------------------------


def failed_response(response: Mapping[str, Any]) -> GatewayError:
    """Return the error of a failed or cancelled response object."""
    if response.get("status") == "cancelled":
        return GatewayError("upstream_error", "The provider cancelled the response.", raw=response)
    return failure_of(response.get("error"), raw=response)


def failure_of(error: Any, *, raw: Any) -> GatewayError:
    """Return the error for the ``error`` member of a 200 or of a stream's event: an object or a string."""
    status = status_of_code(label(as_dict(error).get("code")), label(as_dict(error).get("type")))
    failure = decode_error(status, {"error": error}, {})
    failure.raw = raw
    return failure
