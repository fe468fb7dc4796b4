"""A chat-shaped body on a Responses door, rewritten as the Responses body it stands for.

One surface (TrueFoundry, seed page 002) takes ``messages`` where others take ``input``.
The rewritten body is then read like any other; members of chat that no Responses body has
(stop, seed, logit_bias …) stay in it and keep their meaning for targets that speak chat.

Rules: contract/surfaces.md 3 ("TrueFoundry surface") and contract/responses.md 5.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.request import Message, OpaquePart, Part, Signature, ToolResultPart
from app.dialects.chat.messages_in import MessageReader
from app.dialects.responses.echo import flat_tool
from app.dialects.responses.items_in import NAME
from app.dialects.responses.items_out import ItemWriter
from app.dialects.shared.lenient_json import as_dict, as_list, as_str, dicts
from app.dialects.shared.strict_json import ClientObject, wrong_type
from app.errors import GatewayError

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
"""Members of chat that are left out, and named, where a target cannot take them."""

_CONSUMED: Final = frozenset(
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
    """Tell whether a body brings ``messages``."""
    return "messages" in body


def to_responses_body(body: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the Responses body of a chat-shaped one, and the names of its members that may
    be left out with a warning.

    Responses members beside ``messages`` stay and win over their chat twins; ``input``
    beside them follows the messages. Raises GatewayError ``bad_request`` for messages that
    are none, and for ``n`` above 1.
    """
    _refuse_several(body.get("n"))
    shaped = {name: value for name, value in body.items() if name not in _CONSUMED}
    shaped["input"] = _input(body)
    tools = _tools(body)
    if tools:
        shaped["tools"] = tools
    for rewrite in (_limit, _legacy_choice, _text, _effort):
        rewrite(body, shaped)
    return shaped, [name for name in MAY_BE_LEFT_OUT if body.get(name) is not None]


def _refuse_several(n: Any) -> None:
    if isinstance(n, int) and not isinstance(n, bool) and n > 1:
        raise GatewayError(
            "bad_request",
            f"Invalid 'n': integer above maximum value. Expected a value <= 1, but got {n} instead.",
            param="n",
            code="integer_above_max_value",
        )


# --- messages --------------------------------------------------------------------------


def _input(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    items = input_items(body.get("messages"))
    beside = body.get("input")
    if isinstance(beside, str):
        return [*items, {"type": "message", "role": "user", "content": beside}]
    return [*items, *as_list(beside)]


def input_items(messages: Any) -> list[dict[str, Any]]:
    """Return the input items of chat messages: a system message stays an item, an
    assistant's tool calls become items of their own."""
    if not isinstance(messages, list):
        raise wrong_type("messages", "an array", messages)
    reader = MessageReader(_no_unwrap)
    writer = ItemWriter(_unwrap_nothing)
    items: list[dict[str, Any]] = []
    for message in ClientObject({"messages": messages}).objects("messages"):
        read = _rename(reader.read(message))
        items += _with_name(list(writer.split(read)), _name(message))
    return items


def _rename(message: Message) -> Message:
    """Keep what parts carry beside their own (cache marks) as members of the new parts."""
    return replace(message, parts=tuple(_with_members(part) for part in message.parts))


def _with_members(part: Part) -> Part:
    if isinstance(part, ToolResultPart):
        part = replace(part, content=tuple(_with_members(piece) for piece in part.content))
    if isinstance(part, OpaquePart) or part.native is None:
        return part
    return replace(part, native=(NAME, part.native[1]))


def _name(message: ClientObject) -> str | None:
    return message.text("name") if message.members.get("role") not in ("tool", "function") else None


def _with_name(items: list[dict[str, Any]], name: str | None) -> list[dict[str, Any]]:
    """Keep a speaker's name on the message item: chat targets have it, others say it is lost."""
    return [{**item, "name": name} if name and item["type"] == "message" else item for item in items]


def _no_unwrap(text: str) -> None:
    return None


def _unwrap_nothing(signature: Signature) -> str:
    """Leave a reasoning secret as the client sent it; reading the body will unwrap it."""
    return signature.value


# --- the other members -----------------------------------------------------------------


def _limit(body: Mapping[str, Any], shaped: dict[str, Any]) -> None:
    for name in ("max_completion_tokens", "max_tokens"):
        if body.get(name) is not None and shaped.get("max_output_tokens") is None:
            shaped["max_output_tokens"] = body[name]


def _tools(body: Mapping[str, Any]) -> list[Any]:
    """Return the tools in flat form; ``strict`` is said, because chat's default is the other."""
    tools = [*as_list(body.get("tools"))]
    tools += [{"type": "function", "function": function} for function in dicts(body.get("functions"))]
    return [_tool(tool) if isinstance(tool, dict) else tool for tool in tools]


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    nested = isinstance(tool.get(as_str(tool.get("type")) or "function"), dict)
    flat = flat_tool(tool)
    if flat["type"] == "custom":
        return {**flat, "format": _grammar(as_dict(flat.get("format")))} if "format" in flat else flat
    return {"strict": False, **flat} if nested and flat["type"] == "function" else flat


def _grammar(form: Mapping[str, Any]) -> dict[str, Any]:
    """Return a custom tool's format flat: chat nests ``grammar`` once more."""
    return {"type": form.get("type"), **as_dict(form.get("grammar"))}


def _legacy_choice(body: Mapping[str, Any], shaped: dict[str, Any]) -> None:
    choice = body.get("function_call")
    if choice is None or shaped.get("tool_choice") is not None:
        return
    shaped["tool_choice"] = {"type": "function", **choice} if isinstance(choice, dict) else choice


def _text(body: Mapping[str, Any], shaped: dict[str, Any]) -> None:
    text: dict[str, Any] = {}
    form = as_dict(body.get("response_format"))
    if form:
        nested = as_dict(form.get("json_schema"))
        flat = {name: value for name, value in form.items() if name != "json_schema"}
        text["format"] = {**flat, **nested}
    if body.get("verbosity") is not None:
        text["verbosity"] = body["verbosity"]
    text_options = as_dict(shaped.get("text"))
    if text:
        shaped["text"] = {**text, **text_options}


def _effort(body: Mapping[str, Any], shaped: dict[str, Any]) -> None:
    if body.get("reasoning_effort") is not None:
        shaped["reasoning"] = {"effort": body["reasoning_effort"], **as_dict(shaped.get("reasoning"))}
