"""Responses items and their content parts, decoded as canonical messages; ``items_out`` is the inverse.

One item is one message. A member of a wrong type reads as absent; ``request_in`` checks what a client must
send. Members without a canonical place become native: those of a part directly, those of its item
under ``item`` on the last part of the item, a content part of an unknown type under ``content_part``.

Source: the types of items and parts in OpenAI's API description.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from app.canonical.request import (
    AudioPart,
    FilePart,
    ImagePart,
    Item,
    Message,
    Native,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    Signature,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from app.dialects.shared.lenient_json import as_dict, as_list, as_str, dicts, opt_str, rest, split_data_url
from app.dialects.shared.members import as_native, own_members
from app.responses_form.items import item_type

NAME: Final = "responses"
OPEN: Final = "open"
"""The ``dialect`` of a sealed text that is no signature but the reasoning itself."""

Sign = Callable[[str], Signature]
"""Returns the signature in an ``encrypted_content``."""

_COMMON: Final = frozenset({"type", "id", "status"})
_MESSAGE: Final = _COMMON | {"role", "content", "phase", "name"}
_REASONING: Final = _COMMON | {"summary", "content", "encrypted_content"}
_CALL: Final = _COMMON | {"call_id", "name", "arguments", "input"}
_RESULT: Final = _COMMON | {"call_id", "output"}
_ROLES: Final[Mapping[str, Role]] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "developer",
}


def decode_item(item: Mapping[str, Any], sign: Sign) -> Message:
    """Return the message of an item; hosted and unknown items become opaque parts."""
    return _ITEM_DECODERS.get(item_type(item), _decode_opaque)(item, sign)


def decode_output(item: Mapping[str, Any], sign: Sign) -> Message:
    """Return the message of an item of an answer, in which the result of a call is the provider's own."""
    message = (decode_item if item_type(item) in CANONICAL_TYPES else _decode_opaque)(item, sign)
    return message if message.role == "assistant" else replace(message, role="assistant")


def identity(item: Mapping[str, Any]) -> Item | None:
    """Return the id, status and phase of an item, None if it has none of them."""
    info = Item(opt_str(item.get("id")), opt_str(item.get("status")), opt_str(item.get("phase")))
    return info if info != Item() else None


def _item_native(item: Mapping[str, Any], known: frozenset[str]) -> Native | None:
    """Return the members of an item that are not ``known`` as native members of its last part."""
    extras = rest(item, known)
    return (NAME, {"item": extras}) if extras else None


def _with_native(parts: Sequence[Part], native: Native | None) -> tuple[Part, ...]:
    """Return the parts of an item with its native members on the last one."""
    if native is None or not parts or isinstance(parts[-1], OpaquePart):
        return tuple(parts)
    members = {**own_members(parts[-1].native, NAME), **native[1]}
    return (*parts[:-1], replace(parts[-1], native=(NAME, members)))


def _decode_message(item: Mapping[str, Any], sign: Sign) -> Message:
    role = _ROLES.get(as_str(item.get("role")), "user")
    native = _item_native(item, _MESSAGE)
    parts = _with_native(decode_content(item.get("content")), native)
    name = opt_str(item.get("name"))
    return Message(role, parts, identity(item), name, native=None if parts else native)


def _decode_reasoning(item: Mapping[str, Any], sign: Sign) -> Message:
    parts = [_reasoning_part(part, "text") for part in dicts(item.get("content"))]
    summaries = [_reasoning_part(part, "summary") for part in dicts(item.get("summary"))]
    content = opt_str(item.get("encrypted_content"))
    signature = sign(content) if content is not None else None
    if signature is not None and signature.dialect == OPEN:
        parts = parts or [ReasoningPart(signature.value)]
        signature, summaries = None, []
    if [part.text for part in parts] != [part.text for part in summaries]:  # equal ones repeat the text
        parts += summaries
    if not parts:
        parts.append(ReasoningPart("", "hidden"))
    if signature is not None:
        parts[-1] = replace(parts[-1], signature=signature)
    parts_with_native = _with_native(parts, _item_native(item, _REASONING))
    return Message("assistant", parts_with_native, item=identity(item))


def _reasoning_part(part: Mapping[str, Any], form: Any) -> ReasoningPart:
    native = as_native(NAME, rest(part, frozenset({"type", "text"})))
    return ReasoningPart(as_str(part.get("text")), form, native=native)


def _decode_call(item: Mapping[str, Any], sign: Sign) -> Message:
    return Message("assistant", (call_part(item),), item=identity(item))


def call_part(item: Mapping[str, Any]) -> ToolCallPart:
    """Return the call of a ``function_call`` or ``custom_tool_call`` item.

    Its other members (``namespace``, ``caller``) are native.
    """
    custom = item.get("type") == "custom_tool_call"
    return ToolCallPart(
        id=as_str(item.get("call_id")) or as_str(item.get("id")),
        name=as_str(item.get("name")),
        arguments=as_str(item.get("input" if custom else "arguments")),
        kind="custom" if custom else "function",
        native=_item_native(item, _CALL),
    )


def _decode_result(item: Mapping[str, Any], sign: Sign) -> Message:
    part = ToolResultPart(
        call_id=as_str(item.get("call_id")),
        content=decode_content(item.get("output")),
        name=opt_str(item.get("name")),
        kind="custom" if item.get("type") == "custom_tool_call_output" else "function",
        native=_item_native(item, _RESULT),
    )
    return Message("tool", (part,), item=identity(item))


def _decode_opaque(item: Mapping[str, Any], sign: Sign) -> Message:
    """Return a hosted item as an assistant message, even one that the client sent (an approval, a result):
    so a provider without that tool drops all items of the tool with one warning."""
    part = OpaquePart(item_type(item), (NAME, item))
    return Message("assistant", (part,), item=identity(item))


_ITEM_DECODERS: Final[Mapping[str, Callable[[Mapping[str, Any], Sign], Message]]] = {
    "message": _decode_message,
    "reasoning": _decode_reasoning,
    "function_call": _decode_call,
    "custom_tool_call": _decode_call,
    "function_call_output": _decode_result,
    "custom_tool_call_output": _decode_result,
}

CANONICAL_TYPES: Final = frozenset({"message", "reasoning", "function_call", "custom_tool_call"})
"""Types of items of an answer that have canonical parts; all others become opaque parts."""


def decode_content(content: Any) -> tuple[Part, ...]:
    """Return the parts of a ``content`` or ``output`` member: a string or an array of parts."""
    if isinstance(content, str):
        return (TextPart(content),)
    return tuple(decode_part(part) for part in as_list(content) if isinstance(part, dict))


def decode_part(part: Mapping[str, Any]) -> Part:
    """Return one content part; an unknown type becomes an opaque part."""
    kind = as_str(part.get("type"))
    decoder = _PART_DECODERS.get(kind)
    return OpaquePart(kind, (NAME, {"content_part": part})) if decoder is None else decoder(part)


_TEXT: Final = frozenset({"type", "text", "annotations", "logprobs"})
_REFUSAL: Final = frozenset({"type", "refusal"})
_IMAGE: Final = frozenset({"type", "image_url", "file_id", "detail"})
_FILE: Final = frozenset({"type", "file_id", "file_data", "file_url", "filename"})
_AUDIO: Final = frozenset({"type", "input_audio"})


def _decode_text(part: Mapping[str, Any]) -> Part:
    return TextPart(
        as_str(part.get("text")),
        annotations=tuple(dicts(part.get("annotations"))),
        logprobs=tuple(dicts(part.get("logprobs"))) or None,
        native=as_native(NAME, rest(part, _TEXT)),
    )


def _decode_refusal(part: Mapping[str, Any]) -> Part:
    return RefusalPart(as_str(part.get("refusal")), native=as_native(NAME, rest(part, _REFUSAL)))


def _decode_image(part: Mapping[str, Any]) -> Part:
    url, detail = opt_str(part.get("image_url")), opt_str(part.get("detail"))
    inline = split_data_url(url or "")
    return ImagePart(
        data=inline[1] if inline else None,
        media_type=inline[0] if inline else None,
        url=None if inline else url,
        file_id=opt_str(part.get("file_id")),
        detail=None if detail == "auto" else detail,
        native=as_native(NAME, rest(part, _IMAGE)),
    )


def _decode_file(part: Mapping[str, Any]) -> Part:
    data = opt_str(part.get("file_data"))
    inline = split_data_url(data or "")
    return FilePart(
        data=inline[1] if inline else data,
        media_type=inline[0] if inline else None,
        url=opt_str(part.get("file_url")),
        file_id=opt_str(part.get("file_id")),
        filename=opt_str(part.get("filename")),
        native=as_native(NAME, rest(part, _FILE)),
    )


def _decode_audio(part: Mapping[str, Any]) -> Part:
    audio = as_dict(part.get("input_audio"))
    return AudioPart(
        data=opt_str(audio.get("data")),
        format=opt_str(audio.get("format")),
        native=as_native(NAME, rest(part, _AUDIO)),
    )


_PART_DECODERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Part]]] = {
    "input_text": _decode_text,
    "output_text": _decode_text,
    "text": _decode_text,
    "summary_text": _decode_text,
    "reasoning_text": _decode_text,
    "refusal": _decode_refusal,
    "input_image": _decode_image,
    "input_file": _decode_file,
    "input_audio": _decode_audio,
}
