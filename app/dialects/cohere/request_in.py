"""Decode a Cohere v2 chat request (server half).

``documents`` become text of the last user message, so that every model can read them; a
Cohere target still receives them unchanged. Members that only this API has go into
``extra``. Source: the request types of the cohere SDK's ``V2Client.chat``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.request import (
    Message,
    Origin,
    Output,
    Part,
    Reasoning,
    ReasoningPart,
    Request,
    Sampling,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)
from app.dialects.base import ServerContext
from app.dialects.cohere.options import NAME, PLAN
from app.dialects.shared.lenient_json import as_dict, image_of, json_text, opt_str, rest, without_nulls
from app.dialects.shared.strict_json import ClientObject, missing, wrong_type

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
        extra=without_nulls(rest(body, _CANONICAL)),
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


def decode_message(entry: ClientObject) -> Message:
    """Return one message; raises ``bad_request`` with the path of a member that Cohere's API would refuse."""
    return _ROLES[entry.required_word("role", _ROLES, "'user', 'assistant', 'system' and 'tool'")](entry)


def document_text(document: Any, path: str) -> str:
    """Return a document as plain text: its own text, or its fields one per line."""
    data = document if isinstance(document, str) else document.get("data", document)
    if isinstance(data, str):
        return data
    if not isinstance(data, dict):
        raise wrong_type(f"{path}.data", "a string or an object", data)
    texts = {name: value if isinstance(value, str) else json_text(value) for name, value in data.items()}
    return "\n".join(f"{name}: {text}" for name, text in texts.items())


def _message(entry: ClientObject) -> Message:
    role = entry.members["role"]
    return Message(role, _content(entry, _READERS[role]))


def _assistant(entry: ClientObject) -> Message:
    parts: list[Part] = []
    if plan := entry.text("tool_plan"):
        parts.append(ReasoningPart(plan, native=PLAN))
    if entry.members.get("content") is not None:
        parts += _content(entry, _READERS["assistant"])
    parts = _with_citations(parts, entry)
    parts += [_call(call) for call in entry.objects("tool_calls")]
    if not parts and entry.members.get("content") is None:
        raise missing(entry.at("content"))
    return Message("assistant", tuple(parts))


def _with_citations(parts: list[Part], entry: ClientObject) -> list[Part]:
    """Attach the message's citations to its first text."""
    citations = [dict(citation.members) for citation in entry.objects("citations")]
    for at, part in enumerate(parts):
        if citations and isinstance(part, TextPart):
            parts[at] = replace(part, native=(NAME, {"citations": citations}))
            break
    return parts


def _call(call: ClientObject) -> ToolCallPart:
    function = call.required_object("function")
    arguments = function.text("arguments") or "{}"
    return ToolCallPart(call.required_text("id"), function.required_text("name"), arguments)


def _result(entry: ClientObject) -> Message:
    call_id = entry.required_text("tool_call_id")
    return Message("tool", (ToolResultPart(call_id, _content(entry, _READERS["tool"])),))


_ROLES: Final[Mapping[str, Callable[[ClientObject], Message]]] = {
    "user": _message,
    "system": _message,
    "assistant": _assistant,
    "tool": _result,
}


# content

_Reader = Callable[[ClientObject], Part]


def _content(entry: ClientObject, readers: Mapping[str, _Reader]) -> tuple[Part, ...]:
    value = entry.members.get("content")
    if value is None:
        raise missing(entry.at("content"))
    if isinstance(value, str):
        return (TextPart(value),)
    if not isinstance(value, list):
        raise wrong_type(entry.at("content"), "a string or an array", value)
    return tuple(readers[block.required_word("type", readers)](block) for block in entry.objects("content"))


def _text(block: ClientObject) -> Part:
    return TextPart(block.required_text("text"))


def _image(block: ClientObject) -> Part:
    image = block.required_object("image_url")
    return image_of(image.required_text("url"), detail=image.text("detail"))


def _document_block(block: ClientObject) -> Part:
    document = block.required_object("document")
    text = document_text(document.members, document.path)
    return TextPart(text, native=(NAME, {"as_document": dict(document.members)}))


_READERS: Final[Mapping[str, Mapping[str, _Reader]]] = {
    "system": {"text": _text},
    "user": {"text": _text, "image_url": _image},
    "assistant": {"text": _text, "thinking": lambda block: ReasoningPart(block.required_text("thinking"))},
    "tool": {"text": _text, "document": _document_block},
}
"""The content blocks that a message of each role may hold."""
