"""A client's chat-completions request decoded as the canonical Request.

Decodes all members of OpenAI's API description (2026 edition), TrueFoundry's variants, tools nested as in
chat or flat as in Responses, and the deprecated ``functions``. Other members remain in ``extra``.
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
from app.dialects.chat.options import as_native
from app.dialects.shared.lenient_json import rest, without_nulls
from app.dialects.shared.sampling_paths import decode_sampling
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
_KNOWN: Final = frozenset(
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
        "fallbacks",  # the gateway's own, for its router
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

    Raises ``bad_request`` with the path of a member whose type is wrong, e.g. ``messages[0].content``.
    """
    members = ClientObject(body)
    reader = MessageReader(context.unwrap)
    members.required_items("messages")
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
        extra={**native, **_stream_options(members), **rest(body, _KNOWN)},
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
    """Return the output options, and ``{"response_format": …}`` if its type is a vendor's."""
    shared: dict[str, Any] = {
        "verbosity": members.text("verbosity"),
        "modalities": members.texts("modalities"),
        "audio": members.mapping("audio"),
    }
    form = members.object("response_format")
    kind = form and (form.text("type") or "text")
    if form is not None and kind == "json_schema":
        nested = form.object("json_schema") or form  # the flat form of Responses is accepted, too
        return _schema(nested, shared), {}
    extra = {} if form is None or kind in {"json_object", "text"} else {"response_format": dict(form.members)}
    return Output("json" if kind == "json_object" else "text", **shared), extra


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
    reasoning = members.object("reasoning")
    if reasoning is None:
        return None if effort is None else Reasoning(effort)
    extras = rest(reasoning.members, frozenset({"effort", "max_tokens", "summary"}))
    effort = reasoning.text("effort") or effort
    if effort is None and extras.get("enabled") is False:
        effort = "none"
    return Reasoning(effort, reasoning.integer("max_tokens"), reasoning.text("summary"), as_native(extras))


def _stream_options(members: ClientObject) -> dict[str, Any]:
    """Return the stream options except ``include_usage``, which the stream encoder reads from the original body."""
    options = members.mapping("stream_options") or {}
    ClientObject(options, "stream_options").flag("include_usage")
    options.pop("include_usage", None)
    return {"stream_options": options} if options else {}


def _tools(members: ClientObject) -> tuple[Tool, ...]:
    functions = (_function(function, None) for function in members.objects("functions"))
    return (*map(_tool, members.objects("tools")), *functions)


def _tool(tool: ClientObject) -> Tool:
    kind = tool.text("type") or ("custom" if "custom" in tool.members else "function")
    reader = _TOOLS.get(kind)
    return Tool("hosted", kind, native=("chat", dict(tool.members))) if reader is None else reader(tool)


def _nested_object(holder: ClientObject, kind: str) -> ClientObject | None:
    """Return the object that is nested under the tool's type; None for the flat form, which has a ``name``."""
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
        members["function"] = inner
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
    """Return the format of a custom tool in the flat form of Responses."""
    form = custom.object("format")
    grammar = form and form.object("grammar")
    if grammar is not None:
        return {"type": "grammar", **grammar.members}
    return None if form is None else dict(form.members)


_TOOLS: Final[Mapping[str, Callable[[ClientObject], Tool]]] = {
    "function": _function_tool,
    "custom": _custom_tool,
}


def _tool_choice(members: ClientObject) -> ToolChoice | None:
    value, legacy = members.members.get("tool_choice"), members.members.get("function_call")
    if value is None:  # the deprecated member: a mode, or {"name": …}
        value = {"type": "function", **legacy} if isinstance(legacy, Mapping) else legacy
    if value is None:
        return None
    if isinstance(value, str):
        if value not in _CHOICE_MODES:
            raise wrong_value("tool_choice", value, "'none', 'auto', 'required' and 'any'")
        return ToolChoice(_CHOICE_MODES[value])  # type: ignore[arg-type]
    if not isinstance(value, Mapping):
        raise wrong_type("tool_choice", "a string or an object", value)
    return _object_choice(ClientObject(value, "tool_choice"))


def _object_choice(choice: ClientObject) -> ToolChoice:
    kind = choice.text("type") or "function"
    if kind in {"function", "custom"}:
        nested = _nested_object(choice, kind) or choice
        return ToolChoice("named", nested.required_text("name"), kind)  # type: ignore[arg-type]
    if kind == "allowed_tools":
        members = choice.object("allowed_tools") or choice
        tools = tuple(_flat_tool(tool) for tool in members.objects("tools"))
        return ToolChoice("allowed", allowed=tools, required=members.text("mode") == "required")
    if kind in _CHOICE_MODES and len(choice.members) == 1:
        return ToolChoice(_CHOICE_MODES[kind])  # type: ignore[arg-type]
    return ToolChoice("named", kind, "hosted", native=("chat", dict(choice.members)))


def _flat_tool(tool: ClientObject) -> dict[str, Any]:
    kind = tool.text("type") or "function"
    nested = tool.object(kind)
    return {"type": kind, **(rest(tool.members, frozenset({"type"})) if nested is None else nested.members)}
