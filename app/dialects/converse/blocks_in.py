"""Content blocks of a Converse request to canonical parts (server half).

Bytes are base64 text on the wire. A cache point marks the part before it. Blocks that only
this API knows (guarded content, search results, video) are opaque.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.request import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    Signature,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from app.dialects.converse.options import NAME
from app.dialects.shared.claude import OMITTED
from app.dialects.shared.lenient_json import dicts, json_text
from app.dialects.shared.strict_json import ClientObject, missing, wrong_type, wrong_value

Native = tuple[str, Mapping[str, Any]]

_IMAGE_FORMATS: Final = frozenset({"png", "jpeg", "gif", "webp"})
_DOCUMENT_TYPES: Final[Mapping[str, str]] = {
    "pdf": "application/pdf",
    "csv": "text/csv",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "html": "text/html",
    "txt": "text/plain",
    "md": "text/markdown",
}
_OPAQUE: Final = ("video", "guardContent", "searchResult", "toolAddition", "toolRemoval")


def cache_mark(point: ClientObject) -> Native:
    """Return a cache point as the mark of the part before it."""
    ttl = point.text("ttl")
    return (NAME, {"cache_control": {"type": "ephemeral", **({"ttl": ttl} if ttl else {})}})


class BlockReader:
    """Reads the blocks of one request; ``unwrap`` opens the tokens that we sealed."""

    def __init__(self, unwrap: Callable[[str], Signature | None]) -> None:
        self._unwrap = unwrap

    def turns(self, role: str, blocks: Iterable[ClientObject]) -> list[Message]:
        """Return one turn as messages: a user's tool results are a message of their own."""
        parts = self.parts(blocks)
        results = tuple(part for part in parts if isinstance(part, ToolResultPart))
        others = tuple(part for part in parts if not isinstance(part, ToolResultPart))
        split = [Message("tool", results)] if results else []
        if others or not results:
            split.append(Message(role, others or (TextPart(""),)))  # type: ignore[arg-type]
        return split

    def parts(self, blocks: Iterable[ClientObject]) -> list[Part]:
        """Return the parts of a list of blocks."""
        parts: list[Part] = []
        for block in blocks:
            point = block.object("cachePoint")
            if point is None:
                parts.append(self._part(block))
            elif parts and not isinstance(parts[-1], OpaquePart):
                parts[-1] = _with_mark(parts[-1], cache_mark(point))
        return parts

    def _part(self, block: ClientObject) -> Part:
        for kind, reader in _READERS.items():
            if block.members.get(kind) is not None:
                return reader(self, block)
        for kind in _OPAQUE:
            if kind in block.members:
                return OpaquePart(kind, (NAME, dict(block.members)))
        known = ", ".join(f"'{name}'" for name in (*_READERS, "cachePoint", *_OPAQUE))
        raise wrong_value(block.path, next(iter(block.members), "{}"), known)

    def _text(self, block: ClientObject) -> Part:
        return TextPart(block.required_text("text"))

    def _image(self, block: ClientObject) -> Part:
        image = _object(block, "image")
        kind = image.required_text("format")
        if kind not in _IMAGE_FORMATS:
            raise wrong_value(image.at("format"), kind, "'png', 'jpeg', 'gif' and 'webp'")
        source = _object(image, "source")
        data, place = source.text("bytes"), _source_name(source)
        if data is None and place is None:
            raise missing(source.at("bytes"))
        return ImagePart(data, f"image/{kind}", None if data else place)

    def _document(self, block: ClientObject) -> Part:
        document = _object(block, "document")
        kind, source = document.text("format") or "txt", _object(document, "source")
        if kind not in _DOCUMENT_TYPES:
            raise wrong_value(document.at("format"), kind, ", ".join(f"'{k}'" for k in _DOCUMENT_TYPES))
        data, text, place = source.text("bytes"), _document_text(source), _source_name(source)
        if data is None and text is None and place is None:
            raise missing(source.at("bytes"))
        own = {
            k: document.members[k] for k in ("context", "citations") if document.members.get(k) is not None
        }
        return FilePart(
            data,
            None if data else text,
            None if data or text is not None else place,
            filename=f"{document.text('name') or 'document'}.{kind}",
            media_type=_DOCUMENT_TYPES[kind],
            native=(NAME, own) if own else None,
        )

    def _audio(self, block: ClientObject) -> Part:
        audio = _object(block, "audio")
        data = _object(audio, "source").text("bytes")
        if data is None:
            return OpaquePart("audio", (NAME, dict(block.members)))
        return AudioPart(data, audio.required_text("format"))

    def _tool_use(self, block: ClientObject) -> Part:
        call = _object(block, "toolUse")
        if call.text("type") == "server_tool_use":
            return OpaquePart("server_tool_use", (NAME, dict(block.members)))
        arguments = json_text(call.mapping("input") or {})
        return ToolCallPart(call.required_text("toolUseId"), call.required_text("name"), arguments)

    def _tool_result(self, block: ClientObject) -> Part:
        result = _object(block, "toolResult")
        if result.text("type") is not None:
            return OpaquePart("tool_result", (NAME, dict(block.members)))
        content = tuple(self._result_content(inner) for inner in result.objects("content"))
        failed = result.text("status") == "error"
        return ToolResultPart(result.required_text("toolUseId"), content, is_error=failed)

    def _result_content(self, block: ClientObject) -> Part:
        if block.members.get("json") is not None:
            return TextPart(json_text(block.members["json"]))
        return self._part(block)

    def _reasoning(self, block: ClientObject) -> Part:
        thought = _object(block, "reasoningContent")
        redacted = thought.text("redactedContent")
        if redacted is not None:
            token = unpack(redacted)
            opened = self._unwrap(token) if token is not None else None
            return ReasoningPart(form="hidden", signature=opened or Signature(redacted, NAME))
        shown = _object(thought, "reasoningText")
        text, value = shown.text("text") or "", shown.text("signature")
        if not value:
            return ReasoningPart(text)
        opened = self._unwrap(value)
        if opened is None:
            return ReasoningPart(text, signature=Signature(value if text else OMITTED + value, NAME))
        return ReasoningPart(text, signature=opened)

    def _cited_text(self, block: ClientObject) -> Part:
        cited = _object(block, "citationsContent")
        text = "".join(piece.text("text") or "" for piece in cited.objects("content"))
        citations = dicts(cited.items("citations"))
        return TextPart(text, native=(NAME, {"citations": citations}) if citations else None)


_READERS: Final[Mapping[str, Callable[[BlockReader, ClientObject], Part]]] = {
    "text": BlockReader._text,
    "image": BlockReader._image,
    "document": BlockReader._document,
    "audio": BlockReader._audio,
    "toolUse": BlockReader._tool_use,
    "toolResult": BlockReader._tool_result,
    "reasoningContent": BlockReader._reasoning,
    "citationsContent": BlockReader._cited_text,
}


def _object(block: ClientObject, name: str) -> ClientObject:
    value = block.object(name)
    if value is None:
        raise missing(block.at(name))
    return value


def _with_mark(part: Part, mark: Native) -> Part:
    own = part.native[1] if part.native is not None and part.native[0] == NAME else {}
    return replace(part, native=(NAME, {**own, **mark[1]}))


def _source_name(source: ClientObject) -> str | None:
    location = source.object("s3Location")
    return location.required_text("uri") if location is not None else None


def _document_text(source: ClientObject) -> str | None:
    """Return a document's own text: whole, or in pieces."""
    pieces = source.items("content")
    if pieces is None:
        return source.text("text")
    texts = [piece.text("text") for piece in source.objects("content")]
    for index, text in enumerate(texts):
        if text is None:
            raise wrong_type(f"{source.at('content')}[{index}].text", "a string", text)
    return "".join(text for text in texts if text is not None)


def unpack(value: str) -> str | None:
    """Return the text in a member of bytes, None where it holds none."""
    try:
        return base64.b64decode(value, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return None
