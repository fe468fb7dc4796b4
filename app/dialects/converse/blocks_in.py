"""Decode the content blocks of a Converse request (server half).

Bytes are base64 text. A cache point marks the part before it. Blocks that only Converse
knows (guarded content, search results, video) are opaque.
"""

from __future__ import annotations

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
from app.dialects.converse.options import IMAGE_FORMATS, NAME
from app.dialects.shared.alternation import split_results
from app.dialects.shared.claude import OMITTED
from app.dialects.shared.lenient_json import decode_base64, dicts, json_text, without_nulls
from app.dialects.shared.members import own_members
from app.dialects.shared.strict_json import ClientObject, missing, wrong_type, wrong_value

Native = tuple[str, Mapping[str, Any]]

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
_DOCUMENT_FORMATS: Final = ", ".join(f"'{name}'" for name in _DOCUMENT_TYPES)
_OPAQUE: Final = ("video", "guardContent", "searchResult", "toolAddition", "toolRemoval")


def with_cache_mark(native: Native | None, point: ClientObject) -> Native:
    """Return the native members of a part or tool with the cache mark of the cache point after it."""
    ttl = point.text("ttl")
    mark = {"type": "ephemeral", **({"ttl": ttl} if ttl else {})}
    return (NAME, {**own_members(native, NAME), "cache_control": mark})


class BlockReader:
    """Decode the blocks of one request; ``unwrap`` opens signatures that the gateway sealed."""

    def __init__(self, unwrap: Callable[[str], Signature | None]) -> None:
        self._unwrap = unwrap

    def turns(self, role: str, blocks: Iterable[ClientObject]) -> list[Message]:
        """Return one turn as messages: tool results are a message of their own."""
        return split_results(role, self.parts(blocks))  # type: ignore[arg-type]

    def parts(self, blocks: Iterable[ClientObject]) -> list[Part]:
        """Return the parts of a list of blocks."""
        parts: list[Part] = []
        for block in blocks:
            point = block.object("cachePoint")
            if point is None:
                parts.append(self._part(block))
            elif parts and not isinstance(last := parts[-1], OpaquePart):
                parts[-1] = replace(last, native=with_cache_mark(last.native, point))
        return parts

    def _part(self, block: ClientObject) -> Part:
        for kind, reader in _READERS.items():
            if block.members.get(kind) is not None:
                return reader(self, block)
        for kind in _OPAQUE:
            if kind in block.members:
                return OpaquePart(kind, (NAME, dict(block.members)))
        names = ", ".join(f"'{name}'" for name in (*_READERS, "cachePoint", *_OPAQUE))
        raise wrong_value(block.path, next(iter(block.members), "{}"), names)

    def _image(self, block: ClientObject) -> Part:
        image = block.required_object("image")
        kind = image.required_word("format", IMAGE_FORMATS.values(), "'png', 'jpeg', 'gif' and 'webp'")
        source = image.required_object("source")
        data, url = source.text("bytes"), _source_url(source)
        if data is None and url is None:
            raise missing(source.at("bytes"))
        return ImagePart(data, f"image/{kind}", None if data else url)

    def _document(self, block: ClientObject) -> Part:
        document = block.required_object("document")
        kind = document.word("format", ("", *_DOCUMENT_TYPES), _DOCUMENT_FORMATS) or "txt"
        source = document.required_object("source")
        data, text, url = source.text("bytes"), _document_text(source), _source_url(source)
        if data is None and text is None and url is None:
            raise missing(source.at("bytes"))
        own = without_nulls({name: document.members.get(name) for name in ("context", "citations")})
        return FilePart(
            data,
            None if data else text,
            None if data or text is not None else url,
            filename=f"{document.text('name') or 'document'}.{kind}",
            media_type=_DOCUMENT_TYPES[kind],
            native=(NAME, own) if own else None,
        )

    def _audio(self, block: ClientObject) -> Part:
        audio = block.required_object("audio")
        data = audio.required_object("source").text("bytes")
        if data is None:
            return OpaquePart("audio", (NAME, dict(block.members)))
        return AudioPart(data, audio.required_text("format"))

    def _tool_use(self, block: ClientObject) -> Part:
        call = block.required_object("toolUse")
        if call.text("type") == "server_tool_use":
            return OpaquePart("server_tool_use", (NAME, dict(block.members)))
        arguments = json_text(call.mapping("input") or {})
        return ToolCallPart(call.required_text("toolUseId"), call.required_text("name"), arguments)

    def _tool_result(self, block: ClientObject) -> Part:
        result = block.required_object("toolResult")
        if result.text("type") is not None:
            return OpaquePart("tool_result", (NAME, dict(block.members)))
        content = tuple(self._result_content(inner) for inner in result.objects("content"))
        is_error = result.text("status") == "error"
        return ToolResultPart(result.required_text("toolUseId"), content, is_error=is_error)

    def _result_content(self, block: ClientObject) -> Part:
        if block.members.get("json") is not None:
            return TextPart(json_text(block.members["json"]))
        return self._part(block)

    def _reasoning(self, block: ClientObject) -> Part:
        thought = block.required_object("reasoningContent")
        redacted = thought.text("redactedContent")
        if redacted is not None:
            token = decode_base64(redacted, "ascii")
            signature = self._unwrap(token) if token is not None else None
            return ReasoningPart(form="hidden", signature=signature or Signature(redacted, NAME))
        reasoning = thought.required_object("reasoningText")
        text, value = reasoning.text("text") or "", reasoning.text("signature")
        if not value:
            return ReasoningPart(text)
        signature = self._unwrap(value) or Signature(value if text else OMITTED + value, NAME)
        return ReasoningPart(text, signature=signature)

    def _text_with_citations(self, block: ClientObject) -> Part:
        content = block.required_object("citationsContent")
        text = "".join(piece.text("text") or "" for piece in content.objects("content"))
        citations = dicts(content.items("citations"))
        return TextPart(text, native=(NAME, {"citations": citations}) if citations else None)


_READERS: Final[Mapping[str, Callable[[BlockReader, ClientObject], Part]]] = {
    "text": lambda _, block: TextPart(block.required_text("text")),
    "image": BlockReader._image,
    "document": BlockReader._document,
    "audio": BlockReader._audio,
    "toolUse": BlockReader._tool_use,
    "toolResult": BlockReader._tool_result,
    "reasoningContent": BlockReader._reasoning,
    "citationsContent": BlockReader._text_with_citations,
}


def _source_url(source: ClientObject) -> str | None:
    location = source.object("s3Location")
    return location.required_text("uri") if location is not None else None


def _document_text(source: ClientObject) -> str | None:
    """Return the text of a document given as text, in one piece or several; None for any other."""
    pieces = source.items("content")
    if pieces is None:
        return source.text("text")
    texts = [piece.text("text") for piece in source.objects("content")]
    for index, text in enumerate(texts):
        if text is None:
            raise wrong_type(f"{source.at('content')}[{index}].text", "a string", text)
    return "".join(text for text in texts if text is not None)
