"""A chat-completions request as a client writes it, read into the canonical Request.

MemberTable every member of the API's own schema (its edition of 2026), the forms of seed page
003, tools in chat nesting and in the flat Responses form, and the old ``functions``.
Members that are none of these stay in ``extra``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.request import (
    Native,
    Origin,
    Output,
    Reasoning,
    Request,
    Sampling,
    State,
    Tool,
    ToolChoice,
)
from app.dialects.base import ServerContext
from app.dialects.chat.messages_in import MessageReader
from app.dialects.chat.native import as_native
from app.dialects.shared.lenient_json import rest, without_nulls
from app.dialects.shared.sampling import decode_sampling
from app.dialects.shared.strict_json import ClientObject, missing, wrong_type, wrong_value

_HINTS: Final = (
    "service_tier",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "prediction",
    "web_search_options",
    "moderation",
)
_READ: Final = frozenset(
    {
        *_HINTS,
        "model",
        "messages",
        "tools",
        "functions",
        "tool_choice",
        "function_call",
        "parallel_tool_calls",
        "max_completion_tokens",
        "max_tokens",
        "temperature",
        "top_p",
        "top_k",
        "stop",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "n",
        "response_format",
        "verbosity",
        "modalities",
        "audio",
        "reasoning_effort",
        "reasoning",
        "stream",
        "stream_options",
        "metadata",
        "store",
        "fallbacks",  # the gateway's own: consumed by the router
    }
)
_CHOICE_MODES: Final = {
    "auto": "auto",
    "none": "none",
    "required": "required",
    "any": "required",
    "tool": "required",
}


def decode_request(body: Mapping[str, Any], context: ServerContext) -> Request:
    """Return the canonical request of a chat-completions body.

    Raises ``bad_request`` that names the member (``messages[0].content``) for any shape
    that the API does not have.
    """
    members = ClientObject(body)
    reader = MessageReader(context.unwrap)
    if members.items("messages") is None:
        raise missing("messages")
    output, native = _output(members)
    return Request(
        model=members.text("model") or "",
        messages=tuple(reader.read(message) for message in members.objects("messages")),
        tools=_tools(members),
        tool_choice=_tool_choice(members),
        parallel_tool_calls=members.flag("parallel_tool_calls"),
        sampling=_sampling(members),
        output=output,
        reasoning=_reasoning(members),
        stream=members.flag("stream") or False,
        metadata=members.mapping("metadata"),
        state=State(store=members.flag("store")),
        hints={name: body[name] for name in _HINTS if body.get(name) is not None},
        extra={**native, **_stream_options(members), **rest(body, _READ)},
        origin=Origin("chat", body),
    )


def _sampling(members: ClientObject) -> Sampling:
    limit = members.integer("max_completion_tokens")
    common = decode_sampling(members)
    return replace(
        common,
        max_tokens=common.max_tokens if limit is None else limit,
        logprobs=members.flag("logprobs"),
        top_logprobs=members.integer("top_logprobs"),
    )


def _output(members: ClientObject) -> tuple[Output, dict[str, Any]]:
    """Return the form of the answer, and response_format itself where its type is a vendor's."""
    shared: dict[str, Any] = {
        "verbosity": members.text("verbosity"),
        "modalities": members.texts("modalities"),
        "audio": members.mapping("audio"),
    }
    wanted = members.object("response_format")
    if wanted is None:
        return Output(**shared), {}
    kind = wanted.text("type") or "text"
    if kind == "json_schema":
        nested = wanted.object("json_schema") or wanted  # the flat Responses form is taken too
        return _schema(nested, shared), {}
    if kind in {"json_object", "text"}:
        return Output("json" if kind == "json_object" else "text", **shared), {}
    return Output(**shared), {"response_format": dict(wanted.members)}


def _schema(members: ClientObject, shared: Mapping[str, Any]) -> Output:
    return Output(
        "schema",
        members.mapping("schema"),
        members.text("name"),
        members.flag("strict"),
        members.text("description"),
        **shared,
    )


def _reasoning(members: ClientObject) -> Reasoning | None:
    effort = members.text("reasoning_effort")
    wanted = members.object("reasoning")
    if wanted is None:
        return None if effort is None else Reasoning(effort)
    remainder = rest(wanted.members, frozenset({"effort", "max_tokens", "summary"}))
    effort = wanted.text("effort") or effort
    if effort is None and remainder.get("enabled") is False:
        effort = "none"
    return Reasoning(effort, wanted.integer("max_tokens"), wanted.text("summary"), as_native(remainder))


def _stream_options(members: ClientObject) -> dict[str, Any]:
    """Return the stream options beside ``include_usage``, which the encoder of the stream
    reads in the origin's body."""
    options = members.mapping("stream_options") or {}
    ClientObject(options, "stream_options").flag("include_usage")
    options.pop("include_usage", None)
    return {"stream_options": options} if options else {}


def _tools(members: ClientObject) -> tuple[Tool, ...]:
    tools = [_tool(tool) for tool in members.objects("tools")]
    tools += [_function(function, None) for function in members.objects("functions")]
    return tuple(tools)


def _tool(tool: ClientObject) -> Tool:
    kind = tool.text("type") or ("custom" if "custom" in tool.members else "function")
    reader = _TOOLS.get(kind)
    return Tool("hosted", kind, native=("chat", dict(tool.members))) if reader is None else reader(tool)


def _nested_object(holder: ClientObject, kind: str) -> ClientObject | None:
    """Return the object that chat nests a tool in; None for the flat form, which has a name."""
    nested = holder.object(kind)
    if nested is None and "name" not in holder.members:
        raise missing(holder.at(kind))
    return nested


def _function_tool(tool: ClientObject) -> Tool:
    nested = _nested_object(tool, "function")
    if nested is None:
        return _function(tool, as_native(without_nulls(rest(tool.members, _FUNCTION | {"type", "function"}))))
    members = without_nulls(rest(tool.members, frozenset({"type", "function", "custom"})))
    if inner := without_nulls(rest(nested.members, _FUNCTION)):
        members["function"] = inner  # a vendor's, written beside the function's own
    return _function(nested, as_native(members))


_FUNCTION: Final = frozenset({"name", "description", "parameters", "strict"})


def _function(function: ClientObject, native: Native | None) -> Tool:
    return Tool(
        "function",
        function.required_text("name"),
        function.text("description"),
        function.mapping("parameters"),
        function.flag("strict"),
        native=native,
    )


def _custom_tool(tool: ClientObject) -> Tool:
    custom = _nested_object(tool, "custom") or tool
    return Tool("custom", custom.required_text("name"), custom.text("description"), format=_format(custom))


def _format(custom: ClientObject) -> dict[str, Any] | None:
    """Return a custom tool's format in the flat form that Responses has."""
    wanted = custom.object("format")
    if wanted is None:
        return None
    grammar = wanted.object("grammar")
    if grammar is None:
        return dict(wanted.members)
    return {"type": "grammar", **grammar.members}


_TOOLS: Final[Mapping[str, Callable[[ClientObject], Tool]]] = {
    "function": _function_tool,
    "custom": _custom_tool,
}


def _tool_choice(members: ClientObject) -> ToolChoice | None:
    value = members.members.get("tool_choice")
    if value is None:
        value = _legacy_choice(members)
    if value is None:
        return None
    if isinstance(value, str):
        if value not in _CHOICE_MODES:
            raise wrong_value("tool_choice", value, "'none', 'auto', 'required' and 'any'")
        return ToolChoice(_CHOICE_MODES[value])  # type: ignore[arg-type]
    if not isinstance(value, Mapping):
        raise wrong_type("tool_choice", "a string or an object", value)
    return _chosen(ClientObject(value, "tool_choice"))


def _legacy_choice(members: ClientObject) -> Any:
    """The old ``function_call``: a mode, or ``{"name": …}``."""
    value = members.members.get("function_call")
    return {"type": "function", **value} if isinstance(value, Mapping) else value


def _chosen(choice: ClientObject) -> ToolChoice:
    kind = choice.text("type") or "function"
    if kind in {"function", "custom"}:
        nested = _nested_object(choice, kind) or choice
        return ToolChoice("named", nested.required_text("name"), kind)  # type: ignore[arg-type]
    if kind == "allowed_tools":
        allowed = choice.object("allowed_tools") or choice
        tools = tuple(_flat_tool(tool) for tool in allowed.objects("tools"))
        return ToolChoice("allowed", allowed=tools, required=allowed.text("mode") == "required")
    if kind in _CHOICE_MODES and len(choice.members) == 1:
        return ToolChoice(_CHOICE_MODES[kind])  # type: ignore[arg-type]
    return ToolChoice("named", kind, "hosted", native=("chat", dict(choice.members)))


def _flat_tool(tool: ClientObject) -> dict[str, Any]:
    kind = tool.text("type") or "function"
    nested = tool.object(kind)
    return {
        "type": kind,
        **(nested.members if nested is not None else rest(tool.members, frozenset({"type"}))),
    }
