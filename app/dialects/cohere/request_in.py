"""Decode a Cohere v2 chat request (server half).

``documents`` become text of the last user message, so that every model can read them; a
Cohere target still receives them unchanged. Members that only this API has go into
``extra``. Source: the request types of the cohere SDK's ``V2Client.chat``.
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
from app.dialects.cohere.messages_in import decode_message, document_text
from app.dialects.cohere.options import NAME
from app.dialects.shared.lenient_json import as_dict, opt_str, rest
from app.dialects.shared.strict_json import ClientObject, wrong_type

_CANONICAL: Final = frozenset(
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
        "fallbacks",  # the gateway's own member, read by the router
    }
)
_FORMS: Final = ("text", "json_object")
_MODES: Final = {"REQUIRED": ToolChoice("required"), "NONE": ToolChoice("none")}


def decode_request(body: Mapping[str, Any], context: ServerContext) -> Request:
    """Return the canonical request of a v2 chat body.

    Raises ``bad_request`` with the path (``messages[0].content``) of a member that
    Cohere's API would refuse.
    """
    members = ClientObject(body)
    members.required_items("messages")
    messages = [decode_message(entry) for entry in members.objects("messages")]
    return Request(
        model=members.text("model") or "",
        messages=tuple(_with_documents(messages, members)),
        tools=_tools(members),
        tool_choice=_tool_choice(members),
        sampling=_sampling(members),
        output=_output(members),
        reasoning=_reasoning(members),
        stream=members.flag("stream") or False,
        extra=rest(body, _CANONICAL),
        origin=Origin(NAME, body),
    )


def _with_documents(messages: list[Message], members: ClientObject) -> list[Message]:
    """Return the messages, with the documents at the beginning of the last user message."""
    parts = tuple(_document(entry, index) for index, entry in enumerate(members.items("documents") or []))
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
    entry.word("type", ("function", ""), "'function'")
    function = entry.required_object("function")
    return Tool(
        "function",
        function.required_text("name"),
        function.text("description"),
        function.mapping("parameters"),
        strict,
    )


def _tool_choice(members: ClientObject) -> ToolChoice | None:
    mode = members.word("tool_choice", _MODES, "'REQUIRED' and 'NONE'")
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
    if form is None or form.word("type", ("", *_FORMS), "'text' and 'json_object'") in (None, "", "text"):
        return Output()
    schema = form.mapping("json_schema") or form.mapping("schema")
    return Output("json") if schema is None else Output("schema", schema=schema)


def _reasoning(members: ClientObject) -> Reasoning | None:
    thinking = members.object("thinking")
    if thinking is None:
        return None
    kind = thinking.word("type", ("enabled", "disabled", ""), "'enabled' and 'disabled'")
    budget = thinking.integer("token_budget")
    if kind == "disabled":
        return Reasoning("none")
    return Reasoning(budget=-1 if budget is None else budget)
