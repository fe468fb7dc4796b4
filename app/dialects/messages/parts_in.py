"""Decode content blocks of Anthropic's Messages, in requests and in responses.

Members that no canonical part has become its native members; a block of an unknown type is
opaque. Source: the content block types of the anthropic SDK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.record import record
from app.canonical.request import (
    FilePart,
    ImagePart,
    Native,
    OpaquePart,
    Part,
    ReasoningPart,
    Signature,
    TextPart,
    ToolResultPart,
)
from app.dialects.messages.citations import annotations_of
from app.dialects.messages.options import NAME
from app.dialects.shared.claude import OMITTED
from app.dialects.shared.decoder_parts import call_part
from app.dialects.shared.lenient_json import as_dict, as_str, dicts, json_text, opt_str, rest
from app.dialects.shared.members import native_rest

Block = Mapping[str, Any]
Sign = Callable[[str], Signature]


def sign_native(text: str, realm: str | None = None) -> Signature:
    """Return a signature that a Claude made."""
    return Signature(text, NAME, realm)


def block_native(block: Block, *known: str) -> Native | None:
    """Return the block's members that are not ``known`` and not null as native members, or None."""
    return native_rest(NAME, block, frozenset(known))


@record
class BlockReader:
    """Decode blocks.

    ``sign`` makes a signature of its text, ``customs`` are the names of free-text tools,
    ``new_id`` makes the id of a call without one.
    """

    sign: Sign = sign_native
    customs: frozenset[str] = frozenset()
    new_id: Callable[[str], str] = str

    def parts(self, content: Any) -> list[Part]:
        """Return the parts of a content member: a string, or a list of blocks."""
        if isinstance(content, str):
            return [TextPart(content)] if content else []
        return [self.part(block) for block in dicts(content)]

    def part(self, block: Block) -> Part:
        """Return the part of one block."""
        reader = _READERS.get(as_str(block.get("type")))
        part = reader(self, block) if reader is not None else None
        return part if part is not None else opaque(block)

    def thinking(self, text: str, signature: str) -> ReasoningPart:
        """Return thinking; if its text was withheld, the signature's value begins with ``OMITTED``."""
        if not signature:
            return ReasoningPart(text)
        own = self.sign(signature)
        if not text and own.dialect == NAME and not own.value.startswith(OMITTED):
            own = replace(own, value=OMITTED + own.value)
        return ReasoningPart(text, signature=own)

    def _text(self, block: Block) -> Part:
        text = as_str(block.get("text"))
        annotations = annotations_of(block.get("citations"), text)
        native = block_native({**block, "citations": block.get("citations") or None}, "type", "text")
        return TextPart(text, annotations, native=native)

    def _image(self, block: Block) -> Part | None:
        source = as_dict(block.get("source"))
        field = _IMAGE_SOURCES.get(as_str(source.get("type")))
        if field is None:
            return None
        media_type = opt_str(source.get("media_type")) if field == "data" else None
        native = block_native(block, "type", "source")
        return ImagePart(media_type=media_type, native=native, **{field: as_str(source.get(field))})

    def _document(self, block: Block) -> Part | None:
        source = as_dict(block.get("source"))
        members = _DOCUMENT_SOURCES.get(as_str(source.get("type")))
        if members is None:
            return self._text_document(block, source)
        member, field = members
        return FilePart(
            filename=opt_str(block.get("title")),
            media_type=opt_str(source.get("media_type")),
            native=block_native(block, "type", "source", "title"),
            **{field: as_str(source.get(member))},
        )

    def _text_document(self, block: Block, source: Block) -> Part | None:
        """Return a document of text blocks as their text; its source is sent back to a Claude unchanged."""
        content = source.get("content")
        blocks = [{"text": content}] if isinstance(content, str) else dicts(content)
        texts = [as_str(inner.get("text")) for inner in blocks]
        if source.get("type") != "content" or not all(texts):
            return None
        return FilePart(
            text="\n".join(texts),
            filename=opt_str(block.get("title")),
            media_type="text/plain",
            native=(NAME, {**rest(block, frozenset({"type", "title", "source"})), "as_source": source}),
        )

    def _thinking(self, block: Block) -> Part:
        return self.thinking(as_str(block.get("thinking")), as_str(block.get("signature")))

    def _redacted_thinking(self, block: Block) -> Part:
        return ReasoningPart("", "hidden", self.sign(as_str(block.get("data"))))

    def _tool_use(self, block: Block) -> Part:
        native = block_native(block, "type", "id", "name", "input")
        value = block.get("input")
        arguments = value if isinstance(value, str) else json_text(as_dict(value))
        call_id = opt_str(block.get("id")) or self.new_id("toolu")
        return call_part(call_id, as_str(block.get("name")), arguments, self.customs, native)

    def _tool_result(self, block: Block) -> Part:
        error = ("is_error",) if block.get("is_error") else ()
        return ToolResultPart(
            as_str(block.get("tool_use_id")),
            tuple(self.parts(block.get("content"))),
            is_error=block.get("is_error") is True,
            native=block_native(block, "type", "tool_use_id", "content", *error),
        )


_IMAGE_SOURCES: Final = {"base64": "data", "url": "url", "file": "file_id"}
"""The member that holds an image, which has the same name in ``ImagePart``, by type of source."""

_DOCUMENT_SOURCES: Final[Mapping[str, tuple[str, str]]] = {
    # type of source: its member, the field of FilePart
    "base64": ("data", "data"),
    "text": ("data", "text"),
    "url": ("url", "url"),
    "file": ("file_id", "file_id"),
}

_READERS: Final[Mapping[str, Callable[[BlockReader, Block], Part | None]]] = {
    "text": BlockReader._text,
    "image": BlockReader._image,
    "document": BlockReader._document,
    "thinking": BlockReader._thinking,
    "redacted_thinking": BlockReader._redacted_thinking,
    "tool_use": BlockReader._tool_use,
    "tool_result": BlockReader._tool_result,
}


def opaque(block: Block) -> OpaquePart:
    """Return a block as an opaque part of this dialect."""
    return OpaquePart(as_str(block.get("type"), "unknown") or "unknown", (NAME, dict(block)))
