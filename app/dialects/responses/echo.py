"""The response object without its output: an echo of the client's request, completed with defaults.

``response_shell`` returns all snapshots that a client may see (queued, in progress, completed, cancelled,
failed), so translated, passed and stored answers look alike. The echo comes from the client's body, never
from a provider. Keys and their order are those of OpenAI's recorded answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from app.dialects.shared.lenient_json import (
    as_dict,
    as_list,
    as_str,
    count,
    dicts,
    number,
    opt_str,
    rest,
    without_nulls,
)

REDACTED: Final = "<redacted>"

RESOLVED: Final = (
    "frequency_penalty",
    "presence_penalty",
    "prompt_cache_retention",
    "temperature",
    "top_p",
)
"""Echoed members for which a provider may have other defaults."""

_RUNNING: Final = frozenset({"queued", "in_progress"})


def response_shell(
    body: Mapping[str, Any],
    *,
    id: str,
    created_at: int,
    model: str | None,
    status: str,
    output: Sequence[Mapping[str, Any]] = (),
    usage: Mapping[str, Any] | None = None,
    error: Mapping[str, Any] | None = None,
    incomplete_reason: str | None = None,
    completed_at: int | None = None,
    service_tier: str | None = None,
) -> dict[str, Any]:
    """Return a response object with all its keys in order.

    ``body`` is the client's create request, ``model`` the resolved model. Times are Unix seconds.
    ``completed_at`` is shown only for ``completed``, ``error`` (``{code, message}``) only for ``failed``.
    ``service_tier`` is the tier that served the request, None if unknown.
    """
    shell: dict[str, Any] = {
        "id": id,
        "object": "response",
        "created_at": created_at,
        "status": status,
        "background": body.get("background") is True,
        "completed_at": completed_at if status == "completed" else None,
        "error": dict(error) if error is not None and status == "failed" else None,
        "frequency_penalty": _number(body, "frequency_penalty", 0.0),
        "incomplete_details": {"reason": incomplete_reason} if incomplete_reason else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": max_output_tokens(body),
        "max_tool_calls": count(body.get("max_tool_calls")),
        "model": model or as_str(body.get("model")),
        "moderation": None,  # results; the request's member of this name requests them
        "output": list(output),
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "presence_penalty": _number(body, "presence_penalty", 0.0),
        "previous_response_id": opt_str(body.get("previous_response_id")),
        "prompt_cache_key": opt_str(body.get("prompt_cache_key")),
        "prompt_cache_retention": opt_str(body.get("prompt_cache_retention")),
        "reasoning": {"effort": None, "summary": None, **as_dict(body.get("reasoning"))},
        "safety_identifier": opt_str(body.get("safety_identifier")),
        "service_tier": _tier(body, status, service_tier),
        "store": body.get("store") is not False,
        "temperature": _number(body, "temperature", 1.0),
        "text": echo_text(body.get("text")),
        "tool_choice": echo_tool_choice(body.get("tool_choice")),
        "tools": [echo_tool(tool) for tool in dicts(body.get("tools"))],
        "top_logprobs": count(body.get("top_logprobs")) or 0,
        "top_p": _number(body, "top_p", 1.0),
        "truncation": opt_str(body.get("truncation")) or "disabled",
        "usage": dict(usage) if usage is not None else None,
        "user": opt_str(body.get("user")),
        "metadata": as_dict(body.get("metadata")),
    }
    return shell | _used_members(body)


def _used_members(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members that are shown only if the client sent them."""
    conversation = conversation_id(body.get("conversation"))
    members = {
        "conversation": conversation and {"id": conversation},
        "prompt": body.get("prompt"),
        "prompt_cache_options": body.get("prompt_cache_options"),
    }
    return without_nulls(members)


def conversation_id(value: Any) -> str | None:
    """Return the id of a ``conversation`` member: a string or ``{id}``."""
    return opt_str(value.get("id")) if isinstance(value, dict) else opt_str(value)


def max_output_tokens(body: Mapping[str, Any]) -> int | None:
    """Return the client's output limit, or ``text.max_tokens``, which the gateway accepts in its place."""
    limit = count(body.get("max_output_tokens"))
    return limit if limit is not None else count(as_dict(body.get("text")).get("max_tokens"))


def _number(body: Mapping[str, Any], name: str, default: float) -> float:
    value = number(body.get(name))
    return default if value is None else value


def _tier(body: Mapping[str, Any], status: str, used: str | None) -> str:
    tier = opt_str(body.get("service_tier"))
    if status in _RUNNING:
        return tier or "auto"
    if used is not None:
        return used
    return tier if tier not in (None, "auto") else "default"


def echo_text(value: Any) -> dict[str, Any]:
    """Return the ``text`` member with its format and verbosity."""
    text = as_dict(value)
    members = {"format": {}, "verbosity": "medium", **without_nulls(text)}
    return members | {"format": _echo_format(text.get("format"))}


def _echo_format(value: Any) -> dict[str, Any]:
    form = as_dict(value)
    kind = opt_str(form.get("type")) or "text"
    if kind != "json_schema":
        return {**form, "type": kind}
    flat = {**as_dict(form.get("json_schema")), **rest(form, frozenset({"json_schema"}))}
    base = {"type": kind, "description": None, "name": "response", "schema": None, "strict": False}
    return {**base, **without_nulls(flat)}


def echo_tool_choice(value: Any) -> Any:
    """Return ``tool_choice`` in flat form; ``any`` and ``tool`` become ``required``."""
    if isinstance(value, str):
        return "required" if value in ("any", "tool") else value
    choice = as_dict(value)
    kind = opt_str(choice.get("type"))
    if kind is None:
        return "auto"
    nested = as_dict(choice.get(kind))
    name = opt_str(choice.get("name")) or opt_str(nested.get("name"))
    if kind in ("any", "tool", "auto", "none", "required"):
        return _word_choice(kind, name or opt_str(as_dict(choice.get("function")).get("name")))
    flat = {**nested, **rest(choice, frozenset({kind}))}
    if kind == "allowed_tools":
        flat["tools"] = [flat_tool(tool) for tool in dicts(flat.get("tools"))]
    return flat


def _word_choice(word: str, name: str | None) -> Any:
    if word == "tool" and name is not None:
        return {"type": "function", "name": name}
    return "required" if word in ("any", "tool") else word


def flat_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool in flat form, without the nesting of chat completions (``{type, function: {…}}``)."""
    kind = as_str(tool.get("type")) or "function"
    nested = tool.get(kind)
    if kind not in ("function", "custom") or not isinstance(nested, dict):
        return {**tool, "type": kind}
    return {**nested, **rest(tool, frozenset({kind})), "type": kind}


def echo_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool as OpenAI echoes it: flat, with all optional members, without secrets."""
    flat = flat_tool(tool)
    return _TOOL_ECHOES.get(flat["type"], dict)(flat)


def _echo_function(tool: Mapping[str, Any]) -> dict[str, Any]:
    base = {"type": "function", "description": None, "name": "", "parameters": None, "strict": True}
    members = {name: member for name, member in tool.items() if name != "strict" or member is not None}
    return {**base, **members}


def _echo_custom(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "custom", "description": None, "format": {"type": "text"}, **without_nulls(tool)}


def _echo_mcp(tool: Mapping[str, Any]) -> dict[str, Any]:
    base = {"type": "mcp", "allowed_tools": None, "headers": None, "require_approval": "always"}
    echo = {**base, **tool}
    if echo.get("authorization") is not None:
        echo["authorization"] = REDACTED
    if echo.get("headers") is not None:
        echo["headers"] = dict.fromkeys(as_dict(echo["headers"]), REDACTED)
    if isinstance(echo.get("server_url"), str):
        echo["server_url"] = _without_path(echo["server_url"])
    return echo


def _without_path(url: str) -> str:
    """Return a URL with its host only; path, query and user info may contain keys."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return REDACTED
    base = f"{parts.scheme}://{host}{f':{port}' if port else ''}"
    return f"{base}/{REDACTED}" if parts.path.strip("/") or parts.query else base


_TOOL_ECHOES: Final[Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    "function": _echo_function,
    "custom": _echo_custom,
    "namespace": lambda tool: {**tool, "tools": [echo_tool(inner) for inner in dicts(tool.get("tools"))]},
    "mcp": _echo_mcp,
}


def strip_encrypted(value: Mapping[str, Any], include: Any) -> dict[str, Any]:
    """Return a response object, stream event or item without the ``encrypted_content`` of reasoning.

    It stays if ``include`` (the client's list) requests it, and in compaction items. Only what changes
    is copied.
    """
    return dict(value) if "reasoning.encrypted_content" in as_list(include) else _strip(value)


def _strip(value: Mapping[str, Any]) -> dict[str, Any]:
    copy = dict(value)
    if value.get("type") == "reasoning":
        copy.pop("encrypted_content", None)
        return copy
    for name in ("item", "response"):
        if isinstance(value.get(name), dict):
            copy[name] = _strip(value[name])
    for name in ("output", "data"):
        if isinstance(value.get(name), list):
            copy[name] = [_strip(item) if _is_reasoning(item) else item for item in value[name]]
    return copy


def _is_reasoning(item: Any) -> bool:
    return isinstance(item, dict) and item.get("type") == "reasoning"
