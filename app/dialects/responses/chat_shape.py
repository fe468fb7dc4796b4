"""A chat-shaped body of a Responses request, rewritten as the equivalent Responses body.

TrueFoundry's surface accepts ``messages`` in place of ``input``. The result is decoded like any other
body. Members of chat completions that Responses does not have (stop, seed, logit_bias …) stay in it, for
targets that are called by chat completions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.request import OpaquePart, Part, ToolResultPart
from app.dialects.chat.messages_in import MessageReader
from app.dialects.responses.echo import flat_tool
from app.dialects.responses.items_in import NAME
from app.dialects.responses.items_out import ItemWriter
from app.dialects.responses.request_in import refuse_several
from app.dialects.shared.lenient_json import as_dict, as_list, as_str, dicts, rest, without_nulls
from app.dialects.shared.strict_json import ClientObject, wrong_type

MAY_BE_LEFT_OUT: Final = (
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "n",
)
"""Members of chat completions that are dropped with a warning if the target does not support them."""

_REPLACED: Final = frozenset(
    {
        "messages",
        "input",
        "max_tokens",
        "max_completion_tokens",
        "response_format",
        "verbosity",
        "reasoning_effort",
        "functions",
        "function_call",
        "tools",
    }
)


def is_chat_shaped(body: Mapping[str, Any]) -> bool:
    """Tell whether a body has ``messages``."""
    return "messages" in body


def to_responses_body(body: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the Responses body of a chat-shaped one, and its members that may be dropped with a warning.

    Members of Responses win over equivalent ones of chat; ``input`` follows the messages. Raises
    GatewayError ``bad_request`` for invalid messages, and for ``n`` above 1.
    """
    refuse_several(body)
    tools = _tools(body)
    members = {
        "input": _input(body),
        "tools": tools or None,
        "max_output_tokens": _limit(body),
        "tool_choice": _choice(body),
        "text": {**_text(body), **as_dict(body.get("text"))} or body.get("text"),
        "reasoning": _reasoning(body),
    }
    result = {**rest(body, _REPLACED), **without_nulls(members)}
    return result, [name for name in MAY_BE_LEFT_OUT if body.get(name) is not None]


# --- messages --------------------------------------------------------------------------


def _input(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    items = input_items(body.get("messages"))
    beside = body.get("input")
    if isinstance(beside, str):
        return [*items, {"type": "message", "role": "user", "content": beside}]
    return [*items, *as_list(beside)]


def input_items(messages: Any) -> list[dict[str, Any]]:
    """Return the input items of chat messages; the tool calls of an assistant message become separate items."""
    if not isinstance(messages, list):
        raise wrong_type("messages", "an array", messages)
    # signatures stay as the client sent them; they are opened when the result is decoded
    reader, writer = MessageReader(lambda text: None), ItemWriter(lambda signature: signature.value)
    items: list[dict[str, Any]] = []
    for message in ClientObject({"messages": messages}).objects("messages"):
        turn = reader.read(message)
        parts = tuple(map(_with_members, turn.parts))
        name = None if turn.role == "tool" else turn.name
        for item in writer.split(replace(turn, parts=parts)):
            # chat targets have the name of a message, others report its loss
            items.append({**item, "name": name} if name and item["type"] == "message" else item)
    return items


def _with_members(part: Part) -> Part:
    """Return a part whose native members, such as cache marks, become members of the Responses part."""
    if isinstance(part, ToolResultPart):
        part = replace(part, content=tuple(map(_with_members, part.content)))
    if isinstance(part, OpaquePart) or part.native is None:
        return part
    return replace(part, native=(NAME, part.native[1]))


# --- the other members -----------------------------------------------------------------


def _limit(body: Mapping[str, Any]) -> Any:
    names = ("max_output_tokens", "max_completion_tokens", "max_tokens")
    return next((body[name] for name in names if body.get(name) is not None), None)


def _tools(body: Mapping[str, Any]) -> list[Any]:
    """Return the tools in flat form, with ``strict``, whose default differs in Responses."""
    functions = [{"type": "function", "function": function} for function in dicts(body.get("functions"))]
    tools = [*as_list(body.get("tools")), *functions]
    return [_tool(tool) if isinstance(tool, dict) else tool for tool in tools]


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    nested = isinstance(tool.get(as_str(tool.get("type")) or "function"), dict)
    flat = flat_tool(tool)
    if flat["type"] == "custom":
        return {**flat, "format": _grammar(as_dict(flat.get("format")))} if "format" in flat else flat
    return {"strict": False, **flat} if nested and flat["type"] == "function" else flat


def _grammar(form: Mapping[str, Any]) -> dict[str, Any]:
    """Return the format of a custom tool in flat form; chat completions nest ``grammar``."""
    return {"type": form.get("type"), **as_dict(form.get("grammar"))}


def _choice(body: Mapping[str, Any]) -> Any:
    """Return the tool choice, otherwise the one of the deprecated ``function_call``."""
    choice, legacy = body.get("tool_choice"), body.get("function_call")
    if choice is not None:
        return choice
    return {"type": "function", **legacy} if isinstance(legacy, dict) else legacy


def _text(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of ``text`` that chat completions have at the top level."""
    form = as_dict(body.get("response_format"))
    flat = {**rest(form, frozenset({"json_schema"})), **as_dict(form.get("json_schema"))}
    return without_nulls({"format": flat or None, "verbosity": body.get("verbosity")})


def _reasoning(body: Mapping[str, Any]) -> Any:
    effort, reasoning = body.get("reasoning_effort"), body.get("reasoning")
    return reasoning if effort is None else {"effort": effort, **as_dict(reasoning)}
