"""The response object around its output: the client's own request, echoed and filled up.

``response_shell`` makes every snapshot that a client may see (queued, in progress, done,
cancelled, failed), so that a translated, a passed and a stored answer look alike. What
the echo says comes from the client's body, never from an upstream; defaults fill what the
client left out.

Keys, order and echo rules: contract/responses.md 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from app.dialects.shared.lenient_json import as_dict, as_list, as_str, count, dicts, number, opt_str

REDACTED: Final = "<redacted>"

RESOLVED: Final = (
    "frequency_penalty",
    "presence_penalty",
    "prompt_cache_retention",
    "temperature",
    "top_p",
)
"""Echoed members whose default a server may resolve otherwise when the client left them out."""

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
    """Return a whole response object with every key in wire order.

    ``body`` is the client's create request, ``model`` the resolved one. Times are Unix
    seconds; ``completed_at`` is shown for ``completed`` only, ``error`` (``{code,
    message}``) for ``failed`` only. ``service_tier`` is the tier that was used, where known.
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
        "moderation": None,  # results, which the request's member of that name only asks for
        "output": list(output),
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "presence_penalty": _number(body, "presence_penalty", 0.0),
        "previous_response_id": opt_str(body.get("previous_response_id")),
        "prompt_cache_key": opt_str(body.get("prompt_cache_key")),
        "prompt_cache_retention": opt_str(body.get("prompt_cache_retention")),
        "reasoning": echo_reasoning(body.get("reasoning")),
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
    """Members that are shown only where the client sent them."""
    used: dict[str, Any] = {}
    conversation = conversation_id(body.get("conversation"))
    if conversation is not None:
        used["conversation"] = {"id": conversation}
    for name in ("prompt", "prompt_cache_options"):
        if body.get(name) is not None:
            used[name] = body[name]
    return used


def conversation_id(value: Any) -> str | None:
    """Return the id of a ``conversation`` member: a string or ``{id}``."""
    return opt_str(value.get("id")) if isinstance(value, dict) else opt_str(value)


def max_output_tokens(body: Mapping[str, Any]) -> int | None:
    """Return the client's bound; ``text.max_tokens`` acts where the member itself is absent."""
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
    """Return the ``text`` member with a format and a verbosity."""
    text = as_dict(value)
    members = {name: member for name, member in text.items() if member is not None}
    return {"format": {}, "verbosity": "medium", **members} | {"format": _echo_format(text.get("format"))}


def _echo_format(value: Any) -> dict[str, Any]:
    format_ = as_dict(value)
    kind = opt_str(format_.get("type")) or "text"
    if kind != "json_schema":
        return {**format_, "type": kind}
    flat = {**as_dict(format_.get("json_schema")), **format_}
    flat.pop("json_schema", None)
    base = {"type": kind, "description": None, "name": "response", "schema": None, "strict": False}
    return {**base, **{name: member for name, member in flat.items() if member is not None}}


def echo_reasoning(value: Any) -> dict[str, Any]:
    """Return the ``reasoning`` member: the client's own, with effort and summary always there."""
    return {"effort": None, "summary": None, **as_dict(value)}


def echo_tool_choice(value: Any) -> Any:
    """Return ``tool_choice`` in its flat form; ``any`` and ``tool`` mean ``required``."""
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
    flat = {**nested, **{key: member for key, member in choice.items() if key != kind}}
    if kind == "allowed_tools":
        flat["tools"] = [_flat_reference(tool) for tool in dicts(flat.get("tools"))]
    return flat


def _word_choice(word: str, name: str | None) -> Any:
    if word == "tool" and name is not None:
        return {"type": "function", "name": name}
    return "required" if word in ("any", "tool") else word


def _flat_reference(tool: Mapping[str, Any]) -> dict[str, Any]:
    kind = as_str(tool.get("type"))
    nested = tool.get(kind)
    if not isinstance(nested, dict):
        return dict(tool)
    return {
        "type": kind,
        **nested,
        **{key: value for key, value in tool.items() if key not in ("type", kind)},
    }


def flat_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool without chat's nesting (``{type, function: {…}}`` becomes flat)."""
    kind = as_str(tool.get("type")) or "function"
    nested = tool.get(kind)
    if kind not in ("function", "custom") or not isinstance(nested, dict):
        return {**tool, "type": kind}
    outer = {name: value for name, value in tool.items() if name != kind}
    return {**nested, **outer, "type": kind}


def echo_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool as a server echoes it: flat, absent optional members filled, no secrets."""
    flat = flat_tool(tool)
    return _TOOL_ECHOES.get(flat["type"], dict)(flat)


def _echo_function(tool: Mapping[str, Any]) -> dict[str, Any]:
    base = {"type": "function", "description": None, "name": "", "parameters": None, "strict": True}
    members = {name: member for name, member in tool.items() if name != "strict" or member is not None}
    return {**base, **members}


def _echo_custom(tool: Mapping[str, Any]) -> dict[str, Any]:
    members = {name: member for name, member in tool.items() if member is not None}
    return {"type": "custom", "description": None, "format": {"type": "text"}, **members}


def _echo_namespace(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {**tool, "tools": [echo_tool(inner) for inner in dicts(tool.get("tools"))]}


def _echo_mcp(tool: Mapping[str, Any]) -> dict[str, Any]:
    base = {"type": "mcp", "allowed_tools": None, "headers": None, "require_approval": "always"}
    shown = {**base, **tool}
    if shown.get("authorization") is not None:
        shown["authorization"] = REDACTED
    if shown.get("headers") is not None:
        shown["headers"] = dict.fromkeys(as_dict(shown["headers"]), REDACTED)
    if isinstance(shown.get("server_url"), str):
        shown["server_url"] = _without_path(shown["server_url"])
    return shown


def _without_path(url: str) -> str:
    """Keep the host alone: keys ride in the path, the query or before the ``@``."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return REDACTED
    shown = f"{parts.scheme}://{host}{f':{port}' if port else ''}"
    return f"{shown}/{REDACTED}" if parts.path.strip("/") or parts.query else shown


_TOOL_ECHOES: Final[Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    "function": _echo_function,
    "custom": _echo_custom,
    "namespace": _echo_namespace,
    "mcp": _echo_mcp,
}


def strip_encrypted(value: Mapping[str, Any], include: Any) -> dict[str, Any]:
    """Return a response object, a stream event or an item without the ``encrypted_content``
    of reasoning, unless ``include`` (the caller's list) asks for it.

    Only what changes is copied; compaction keeps its content.
    """
    if "reasoning.encrypted_content" in as_list(include):
        return dict(value)
    return _strip(value)


def _strip(value: Mapping[str, Any]) -> dict[str, Any]:
    shown = dict(value)
    if value.get("type") == "reasoning":
        shown.pop("encrypted_content", None)
        return shown
    if isinstance(value.get("item"), dict):
        shown["item"] = _strip(value["item"])
    if isinstance(value.get("response"), dict):
        shown["response"] = _strip(value["response"])
    for name in ("output", "data"):
        if isinstance(value.get(name), list):
            shown[name] = [_strip(item) if isinstance(item, dict) else item for item in value[name]]
    return shown
