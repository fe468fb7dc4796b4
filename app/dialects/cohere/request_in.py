"""A Cohere v2 chat body to the canonical request (server half).

``documents`` become text of the last user message, so that every model can read them; a
Cohere target is given them as they came. Members that only this API has stay in
``extra``. Source of the shapes: the request types of the cohere SDK's ``V2Client.chat``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.request import (
    Message,
    Origin,
    Output,
    Reasoning,
    Request,
    Sampling,
    TextPart,
    Tool,
    ToolChoice,
)
from app.dialects.base import ServerContext
from app.dialects.cohere.messages_in import document_text, read_message
from app.dialects.cohere.options import NAME
from app.dialects.shared.lenient_json import as_dict, opt_str, rest
from app.dialects.shared.strict_json import ClientObject, missing, wrong_type, wrong_value

_READ: Final = frozenset(
    {
        "model",
        "messages",
        "tools",
        "strict_tools",
        "tool_choice",
        "documents",
        "response_format",
        "max_tokens",
        "temperature",
        "p",
        "k",
        "stop_sequences",
        "seed",
        "frequency_penalty",
        "presence_penalty",
        "logprobs",
        "thinking",
        "stream",
        "fallbacks",  # the gateway's own: consumed by the router
    }
)
_MODES: Final = {"REQUIRED": ToolChoice("required"), "NONE": ToolChoice("none")}


def decode_request(body: Mapping[str, Any], context: ServerContext) -> Request:
    """Return what a v2 chat body asks for.

    Raises ``bad_request`` that names the member (``messages[0].content``) for any shape
    that the API does not have.
    """
    members = ClientObject(body)
    if members.items("messages") is None:
        raise missing("messages")
    messages = [read_message(entry) for entry in members.objects("messages")]
    return Request(
        model=members.text("model") or "",
        messages=tuple(_with_documents(messages, members)),
        tools=_tools(members),
        tool_choice=_tool_choice(members),
        sampling=_sampling(members),
        output=_output(members),
        reasoning=_reasoning(members),
        stream=members.flag("stream") or False,
        extra=rest(body, _READ),
        origin=Origin(NAME, body),
    )


def _with_documents(messages: list[Message], members: ClientObject) -> list[Message]:
    """Return the messages, the documents in front of what the last user message says."""
    documents = members.items("documents") or []
    parts = tuple(_document(entry, index) for index, entry in enumerate(documents))
    if not parts:
        return messages
    for at in range(len(messages) - 1, -1, -1):
        if messages[at].role == "user":
            messages[at] = replace(messages[at], parts=parts + messages[at].parts)
            return messages
    return [*messages, Message("user", parts)]


def _document(value: Any, index: int) -> TextPart:
    if not isinstance(value, str | dict):
        raise wrong_type(f"documents[{index}]", "a string or an object", value)
    label = opt_str(as_dict(value).get("id")) or str(index)
    text = f"Document {label}:\n{document_text(value, f'documents[{index}]')}\n\n"
    return TextPart(text, native=(NAME, {"as_document": value}))


def _tools(members: ClientObject) -> tuple[Tool, ...]:
    strict = members.flag("strict_tools")
    return tuple(_tool(entry, strict) for entry in members.objects("tools"))


def _tool(entry: ClientObject, strict: bool | None) -> Tool:
    if (kind := entry.text("type") or "function") != "function":
        raise wrong_value(entry.at("type"), kind, "'function'")
    function = entry.object("function")
    if function is None:
        raise missing(entry.at("function"))
    return Tool(
        "function",
        function.required_text("name"),
        function.text("description"),
        function.mapping("parameters"),
        strict,
    )


def _tool_choice(members: ClientObject) -> ToolChoice | None:
    mode = members.text("tool_choice")
    if mode is not None and mode not in _MODES:
        raise wrong_value("tool_choice", mode, "'REQUIRED' and 'NONE'")
    return _MODES[mode] if mode else None


def _sampling(members: ClientObject) -> Sampling:
    return Sampling(
        max_tokens=members.integer("max_tokens"),
        temperature=members.number("temperature"),
        top_p=members.number("p"),
        top_k=members.integer("k") or None,  # 0 turns it off
        stop=members.texts("stop_sequences"),
        seed=members.integer("seed"),
        frequency_penalty=members.number("frequency_penalty"),
        presence_penalty=members.number("presence_penalty"),
        logprobs=members.flag("logprobs"),
    )


def _output(members: ClientObject) -> Output:
    form = members.object("response_format")
    kind = "text" if form is None else form.text("type") or "text"
    if form is None or kind == "text":
        return Output()
    if kind != "json_object":
        raise wrong_value(form.at("type"), kind, "'text' and 'json_object'")
    schema = form.mapping("json_schema") or form.mapping("schema")
    return Output("json") if schema is None else Output("schema", schema=schema)


def _reasoning(members: ClientObject) -> Reasoning | None:
    thinking = members.object("thinking")
    if thinking is None:
        return None
    kind = thinking.text("type") or "enabled"
    if kind not in {"enabled", "disabled"}:
        raise wrong_value(thinking.at("type"), kind, "'enabled' and 'disabled'")
    budget = thinking.integer("token_budget")
    if kind == "disabled":
        return Reasoning("none")
    return Reasoning(budget=-1 if budget is None else budget)
