"""Responses items and their content parts, read as canonical messages.

One item is one message. Reading is tolerant (a wrong shape reads as nothing); what a
client must have given is checked by ``request_in``. Members that we do not model
ride in ``native``: a part's own at its top level, its item's under ``"item"`` on the
item's last part, a content part of an unknown type whole under ``"content_part"``.
``items_out`` is the way back.

Item and part types: contract/responses.md 2.1 and 3.
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
from app.responses_form.items import item_type

NAME: Final = "responses"
OPEN: Final = "open"
"""The ``dialect`` of a cipher that holds open thoughts: nobody's proof, the text itself."""

Sign = Callable[[str], Signature]
"""Turns an ``encrypted_content`` into a signature."""

_COMMON: Final = frozenset({"type", "id", "status"})
_MESSAGE: Final = _COMMON | {"role", "content", "phase", "name"}
_REASONING: Final = _COMMON | {"summary", "content", "encrypted_content"}
_ROLES: Final[Mapping[str, Role]] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "developer",
}


def decode_item(item: Mapping[str, Any], sign: Sign) -> Message:
    """Return the message that ``item`` is; hosted and unknown items become opaque."""
    return _ITEM_DECODERS.get(item_type(item), _decode_opaque)(item, sign)


def identity(item: Mapping[str, Any]) -> Item | None:
    """Return the id, status and phase that ``item`` carries, None when it has none of them."""
    found = Item(opt_str(item.get("id")), opt_str(item.get("status")), opt_str(item.get("phase")))
    return found if found != Item() else None


def item_native(item: Mapping[str, Any], known: frozenset[str]) -> Native | None:
    """Return an item's unmodelled members as the native of its last part."""
    extras = rest(item, known)
    return (NAME, {"item": extras}) if extras else None


def with_item_native(part: Part, native: Native | None) -> Part:
    """Return ``part`` with its item's native members joined to its own."""
    if native is None or isinstance(part, OpaquePart):
        return part
    own = part.native[1] if part.native is not None and part.native[0] == NAME else {}
    return replace(part, native=(NAME, {**own, **native[1]}))


def _with_last(parts: Sequence[Part], native: Native | None) -> tuple[Part, ...]:
    if not parts:
        return ()
    return (*parts[:-1], with_item_native(parts[-1], native))


def _decode_message(item: Mapping[str, Any], sign: Sign) -> Message:
    role = _ROLES.get(as_str(item.get("role")), "user")
    native = message_native(item)
    parts = _with_last(decode_content(item.get("content")), native)
    name = opt_str(item.get("name"))
    return Message(role, parts, identity(item), name, native=None if parts else native)


def _decode_reasoning(item: Mapping[str, Any], sign: Sign) -> Message:
    parts = [_reasoning_part(part, "text") for part in dicts(item.get("content"))]
    summaries = [_reasoning_part(part, "summary") for part in dicts(item.get("summary"))]
    encrypted = opt_str(item.get("encrypted_content"))
    signature = sign(encrypted) if encrypted is not None else None
    if signature is not None and signature.dialect == OPEN:
        parts = parts or [ReasoningPart(signature.value)]
        signature, summaries = None, []
    if [part.text for part in parts] != [part.text for part in summaries]:  # else said twice
        parts += summaries
    if not parts:
        parts.append(ReasoningPart("", "hidden"))
    if signature is not None:
        parts[-1] = replace(parts[-1], signature=signature)
    return Message("assistant", _with_last(parts, reasoning_native(item)), item=identity(item))


def _reasoning_part(part: Mapping[str, Any], form: Any) -> ReasoningPart:
    return ReasoningPart(
        as_str(part.get("text")), form, native=_part_native(part, frozenset({"type", "text"}))
    )


def _decode_call(item: Mapping[str, Any], sign: Sign) -> Message:
    return Message("assistant", (call_part(item),), item=identity(item))


def call_part(item: Mapping[str, Any]) -> ToolCallPart:
    """Return the whole call that a function_call or custom_tool_call item is."""
    custom = item.get("type") == "custom_tool_call"
    slot = "input" if custom else "arguments"
    return ToolCallPart(
        id=as_str(item.get("call_id")) or as_str(item.get("id")),
        name=as_str(item.get("name")),
        arguments=as_str(item.get(slot)),
        kind="custom" if custom else "function",
        native=call_native(item),
    )


def _decode_result(item: Mapping[str, Any], sign: Sign) -> Message:
    output = item.get("output")
    part = ToolResultPart(
        call_id=as_str(item.get("call_id")),
        content=decode_content(output),
        name=opt_str(item.get("name")),
        kind="custom" if item.get("type") == "custom_tool_call_output" else "function",
        native=item_native(item, _COMMON | {"call_id", "output"}),
    )
    return Message("tool", (part,), item=identity(item))


def _decode_opaque(item: Mapping[str, Any], sign: Sign) -> Message:
    """A hosted item, also one that a client made (an approval, a result): part of the model's own
    doings, so that a wire without that tool leaves the whole of them out with one warning."""
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

MODELLED: Final = frozenset(_ITEM_DECODERS)
"""Item types that have canonical parts of their own; all others are opaque."""


def message_native(item: Mapping[str, Any]) -> Native | None:
    """Return a message item's unmodelled members."""
    return item_native(item, _MESSAGE)


def reasoning_native(item: Mapping[str, Any]) -> Native | None:
    """Return a reasoning item's unmodelled members (OpenRouter's ``format`` …)."""
    return item_native(item, _REASONING)


def call_native(item: Mapping[str, Any]) -> Native | None:
    """Return a call item's unmodelled members (``namespace``, ``caller``)."""
    return item_native(item, _COMMON | {"call_id", "name", "arguments", "input"})


def decode_content(content: Any) -> tuple[Part, ...]:
    """Return the parts of a content or output member: one text, or a list of parts."""
    if isinstance(content, str):
        return (TextPart(content),)
    return tuple(decode_part(part) for part in as_list(content) if isinstance(part, dict))


def decode_part(part: Mapping[str, Any]) -> Part:
    """Return one content part; one of an unknown type is opaque."""
    kind = as_str(part.get("type"))
    decoder = _PART_DECODERS.get(kind)
    if decoder is None:
        return OpaquePart(kind, (NAME, {"content_part": part}))
    return decoder(part)


def _part_native(part: Mapping[str, Any], known: frozenset[str]) -> Native | None:
    extras = rest(part, known)
    return (NAME, extras) if extras else None


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
        native=_part_native(part, _TEXT),
    )


def _decode_refusal(part: Mapping[str, Any]) -> Part:
    return RefusalPart(as_str(part.get("refusal")), native=_part_native(part, _REFUSAL))


def _decode_image(part: Mapping[str, Any]) -> Part:
    url = opt_str(part.get("image_url"))
    found = split_data_url(url) if url is not None else None
    detail = opt_str(part.get("detail"))
    return ImagePart(
        data=found[1] if found else None,
        media_type=found[0] if found else None,
        url=None if found else url,
        file_id=opt_str(part.get("file_id")),
        detail=None if detail == "auto" else detail,
        native=_part_native(part, _IMAGE),
    )


def _decode_file(part: Mapping[str, Any]) -> Part:
    data = opt_str(part.get("file_data"))
    found = split_data_url(data) if data is not None else None
    return FilePart(
        data=found[1] if found else data,
        media_type=found[0] if found else None,
        url=opt_str(part.get("file_url")),
        file_id=opt_str(part.get("file_id")),
        filename=opt_str(part.get("filename")),
        native=_part_native(part, _FILE),
    )


def _decode_audio(part: Mapping[str, Any]) -> Part:
    audio = as_dict(part.get("input_audio"))
    return AudioPart(
        data=opt_str(audio.get("data")),
        format=opt_str(audio.get("format")),
        native=_part_native(part, _AUDIO),
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
