"""Content blocks of Anthropic Messages to canonical parts, for requests and answers alike.

Members that no canonical part has stay with it as native members; a block of a kind we
do not know is opaque. Source of the shapes: the content block types of the anthropic SDK.
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
from app.dialects.shared.decoder_parts import call_part, native_rest
from app.dialects.shared.lenient_json import as_dict, as_str, dicts, json_text, opt_str
from app.dialects.shared.tool_forms import ANSWER_TOOL

Block = Mapping[str, Any]
Sign = Callable[[str], Signature]


def sign_native(text: str, realm: str | None = None) -> Signature:
    """Return a signature as this wire's own models make it."""
    return Signature(text, NAME, realm)


def block_native(block: Block, *known: str) -> Native | None:
    """Return the block's members beside ``known`` and null ones as native, or None."""
    return native_rest(NAME, block, frozenset(known))


@record
class BlockReader:
    """Reads blocks: ``sign`` makes a signature of its text, ``customs`` names free-text tools,
    ``mint`` makes an id for a call that came without one."""

    sign: Sign = sign_native
    customs: frozenset[str] = frozenset()
    mint: Callable[[str], str] = str

    def parts(self, content: Any) -> list[Part]:
        """Return the parts of a content member: a string, or a list of blocks."""
        if isinstance(content, str):
            return [TextPart(content)] if content else []
        return [self.part(block) for block in dicts(content)]

    def part(self, block: Block) -> Part:
        """Return the part that one block is."""
        reader = _READERS.get(as_str(block.get("type")))
        part = reader(self, block) if reader is not None else None
        return part if part is not None else opaque(block)

    def thinking(self, text: str, signature: str) -> ReasoningPart:
        """Return shown thinking; withheld thinking is marked in its signature's value."""
        if not signature:
            return ReasoningPart(text)
        signed = self.sign(signature)
        if not text and signed.dialect == NAME and not signed.value.startswith(OMITTED):
            signed = replace(signed, value=OMITTED + signed.value)
        return ReasoningPart(text, signature=signed)

    def stands_for_text(self, block: Block) -> bool:
        """Tell whether a started block is the tool that stands for a JSON answer."""
        return block.get("type") == "tool_use" and block.get("name") == ANSWER_TOOL

    def _text(self, block: Block) -> Part:
        text = as_str(block.get("text"))
        annotations = annotations_of(block.get("citations"), text)
        native = block_native({**block, "citations": block.get("citations") or None}, "type", "text")
        return TextPart(text, annotations, native=native)

    def _image(self, block: Block) -> Part | None:
        source = as_dict(block.get("source"))
        native = block_native(block, "type", "source")
        kind = source.get("type")
        if kind == "base64":
            return ImagePart(as_str(source.get("data")), opt_str(source.get("media_type")), native=native)
        if kind == "url":
            return ImagePart(url=as_str(source.get("url")), native=native)
        if kind == "file":
            return ImagePart(file_id=as_str(source.get("file_id")), native=native)
        return None

    def _document(self, block: Block) -> Part | None:
        source = as_dict(block.get("source"))
        member = _DOCUMENT_MEMBERS.get(as_str(source.get("type")))
        if member is None:
            return self._text_document(block, source)
        wire, ours = member
        return FilePart(
            filename=opt_str(block.get("title")),
            media_type=opt_str(source.get("media_type")),
            native=block_native(block, "type", "source", "title"),
            **{ours: as_str(source.get(wire))},
        )

    def _text_document(self, block: Block, source: Block) -> Part | None:
        """Return a document given in pieces as its text; its source goes back to a Claude."""
        content = source.get("content")
        texts = (
            [content] if isinstance(content, str) else [as_str(piece.get("text")) for piece in dicts(content)]
        )
        if source.get("type") != "content" or not all(texts):
            return None
        own = {name: value for name, value in block.items() if name not in {"type", "title", "source"}}
        return FilePart(
            text="\n".join(texts),
            filename=opt_str(block.get("title")),
            media_type="text/plain",
            native=(NAME, {**own, "as_source": source}),
        )

    def _thinking(self, block: Block) -> Part:
        return self.thinking(as_str(block.get("thinking")), as_str(block.get("signature")))

    def _redacted_thinking(self, block: Block) -> Part:
        return ReasoningPart("", "hidden", self.sign(as_str(block.get("data"))))

    def _tool_use(self, block: Block) -> Part:
        native = block_native(block, "type", "id", "name", "input")
        input_value = block.get("input")
        arguments = input_value if isinstance(input_value, str) else json_text(as_dict(input_value))
        call_id = opt_str(block.get("id")) or self.mint("toolu")
        return call_part(call_id, as_str(block.get("name")), arguments, self.customs, native)

    def _tool_result(self, block: Block) -> Part:
        return ToolResultPart(
            as_str(block.get("tool_use_id")),
            tuple(self.parts(block.get("content"))),
            is_error=block.get("is_error") is True,
            native=block_native(
                block, "type", "tool_use_id", "content", *(["is_error"] if block.get("is_error") else [])
            ),
        )


_DOCUMENT_MEMBERS: Final[Mapping[str, tuple[str, str]]] = {
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
