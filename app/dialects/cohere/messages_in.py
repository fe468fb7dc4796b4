"""Decode the messages of a Cohere v2 chat request (server half)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.request import (
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from app.dialects.cohere.options import NAME, PLAN
from app.dialects.shared.lenient_json import json_text, split_data_url
from app.dialects.shared.strict_json import ClientObject, missing, wrong_type


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


def _thinking(block: ClientObject) -> Part:
    return ReasoningPart(block.required_text("thinking"))


def _image(block: ClientObject) -> Part:
    image = block.required_object("image_url")
    url, detail = image.required_text("url"), image.text("detail")
    inline = split_data_url(url)
    if inline is None:
        return ImagePart(url=url, detail=detail)
    return ImagePart(inline[1], inline[0], detail=detail)


def _document(block: ClientObject) -> Part:
    document = block.required_object("document")
    text = document_text(document.members, document.path)
    return TextPart(text, native=(NAME, {"as_document": dict(document.members)}))


_READERS: Final[Mapping[str, Mapping[str, _Reader]]] = {
    "system": {"text": _text},
    "user": {"text": _text, "image_url": _image},
    "assistant": {"text": _text, "thinking": _thinking},
    "tool": {"text": _text, "document": _document},
}
"""The content blocks that a message of each role may hold."""
