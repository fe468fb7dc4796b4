"""Encode canonical parts as content blocks of a Messages request (client half).

What a Claude does not take is reported. Sources: docs/contract/providers.md (Claude), the block
types of the anthropic SDK.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from app.canonical.record import record
from app.canonical.request import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    Native,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)
from app.dialects.base import ClientContext
from app.dialects.messages.options import NAME, MessagesOptions
from app.dialects.shared.alternation import merge_blank_texts
from app.dialects.shared.claude import OMITTED
from app.dialects.shared.lenient_json import decode_base64
from app.dialects.shared.media_types import media_type_of
from app.dialects.shared.members import CACHE_MARKS, cache_mark, own_members, pick_members
from app.dialects.shared.tool_forms import ANTHROPIC_ID, call_input, fit_tool_id
from app.dialects.shared.unmapped_members import own_block, own_signature, report_call_signature

Block = dict[str, Any]

_IMAGE_TYPES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_IMAGE_STARTS: Final = (
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
)
_TEXT_TYPES: Final = frozenset({"application/json", "application/xml", "application/javascript"})
_PDF: Final = "application/pdf"
_PDF_START: Final = "JVBERi"

PART_MEMBERS: Final = {
    object: CACHE_MARKS,
    FilePart: frozenset({"citations", "context"}),
    Tool: frozenset({"defer_loading", "eager_input_streaming", "input_examples", "allowed_callers"}),
}
"""Members of Anthropic's API that clients of other APIs write on parts and tools."""


def native_members(native: Native | None, kind: type = object) -> Block:
    """Return the members to send of a part or tool of ``kind``.

    All those of a Messages client; of another API's client those in ``PART_MEMBERS``.
    """
    if native is not None and native[0] == NAME:
        return dict(native[1])
    members = pick_members(native, PART_MEMBERS[kind]) if kind is not object else {}
    mark = cache_mark(native)
    return members if mark is None else {**members, "cache_control": mark}


@record
class BlockWriter:
    """Write the content blocks of one request."""

    context: ClientContext
    options: MessagesOptions

    def turn(self, message: Message) -> Block:
        """Return one turn of the conversation, which may be empty."""
        return {"role": message.role, "content": self.blocks(message.parts, message.role)}

    def blocks(self, parts: Iterable[Part], role: str) -> list[Block]:
        """Return the blocks of one turn: tool results first in a user's, thinking first in an assistant's."""
        merged = merge_blank_texts(parts, self.context.losses)
        blocks = [block for part in merged if (block := self._block(part, role)) is not None]
        if role == "user":
            return sorted(blocks, key=lambda block: block["type"] != "tool_result")
        if any(block["type"] not in _SORTABLE for block in blocks) or starts_with_thinking(blocks):
            return blocks
        return sorted(blocks, key=lambda block: block["type"] not in _THINKING)

    def _block(self, part: Part, role: str) -> Block | None:
        if isinstance(part, OpaquePart):
            return own_block(part, role, NAME, self.context.losses)
        if isinstance(part, ImagePart) and role == "assistant":
            self._report("hosted_item", "Images that a model made cannot be sent to this one")
            return None
        return _WRITERS[type(part)](self, part)

    def _report(self, feature: str, message: str | None = None) -> None:
        self.context.losses.report(feature, message)

    def _text(self, part: TextPart | RefusalPart) -> Block:
        return {**native_members(part.native), "type": "text", "text": part.text}

    def _refusal(self, part: RefusalPart) -> Block | None:
        """Return the model's own words; the text of ``stop_details`` is not sent back."""
        return None if own_members(part.native, NAME) else self._text(part)

    def _audio(self, part: AudioPart) -> Block | None:
        if part.transcript and not part.data:
            return {"type": "text", "text": part.transcript}
        self._report("audio")
        return None

    def _image(self, part: ImagePart) -> Block | None:
        if part.detail not in (None, "auto"):
            self._report("image_detail", "Claude has no image detail; the image is sent as it is")
        return {**native_members(part.native), "type": "image", "source": self._image_source(part)}

    def _image_source(self, part: ImagePart) -> Block:
        if part.data is None:
            return self._reference(part.url, part.file_id, "image")
        media_type = part.media_type or _detect_type(part.data)
        if media_type == "image/jpg":
            media_type = "image/jpeg"
        if media_type not in _IMAGE_TYPES:
            warning = f"Images of type '{media_type}' are not supported (JPEG, PNG, GIF, WebP are)"
            self._report("image", warning)
        return {"type": "base64", "media_type": media_type, "data": part.data}

    def _reference(self, url: str | None, file_id: str | None, feature: str) -> Block:
        if file_id is None and not self.options.url_sources:
            self._report(feature, "Content by URL is not supported here; send the content itself")
        if file_id is not None and not self.options.files:
            self._report("file_id", "Files by id are not supported here; send the content itself")
        return {"type": "url", "url": url or ""} if file_id is None else {"type": "file", "file_id": file_id}

    def _file(self, part: FilePart) -> Block | None:
        title = {"title": part.filename} if part.filename else {}
        own = native_members(part.native, FilePart)
        source = own.pop("as_source", None) or self._document_source(part)
        return {**own, "type": "document", "source": source, **title}

    def _document_source(self, part: FilePart) -> Block:
        text = part.text
        if text is None and part.data is None:
            return self._reference(part.url, part.file_id, "file")
        if text is None and part.data is not None:
            media_type = part.media_type or media_type_of(part.filename)
            if media_type == _PDF or part.data.startswith(_PDF_START):
                return {"type": "base64", "media_type": _PDF, "data": part.data}
            text = decode_base64(part.data) if _may_be_text(media_type) else None
            if text is None:
                self._report("file", f"Documents of type '{media_type}' are not supported (PDF and text are)")
        return {"type": "text", "media_type": "text/plain", "data": text or ""}

    def _reasoning(self, part: ReasoningPart) -> Block | None:
        signature = own_signature(part, NAME, self.context)
        if signature is None:
            return None
        value = signature.value
        if value.startswith(OMITTED):
            return {"type": "thinking", "thinking": part.text, "signature": value[len(OMITTED) :]}
        if part.form == "hidden":
            return {"type": "redacted_thinking", "data": value}
        return {"type": "thinking", "thinking": part.text, "signature": value}

    def _tool_call(self, part: ToolCallPart) -> Block | None:
        report_call_signature(part, self.context.losses)
        return {
            **native_members(part.native),
            "type": "tool_use",
            "id": fit_tool_id(part.id, ANTHROPIC_ID),
            "name": part.name,
            "input": call_input(part, self.context.losses),
        }

    def _tool_result(self, part: ToolResultPart) -> Block | None:
        block: Block = {
            **native_members(part.native),
            "type": "tool_result",
            "tool_use_id": fit_tool_id(part.call_id, ANTHROPIC_ID),
        }
        content = self.blocks(part.content, "tool")
        if len(content) == 1 and content[0].keys() == {"type", "text"}:
            block["content"] = content[0]["text"]
        elif content:
            block["content"] = content
        if part.is_error:
            block["is_error"] = True
        return block


_THINKING: Final = frozenset({"thinking", "redacted_thinking"})
_SORTABLE: Final = _THINKING | {"text", "tool_use"}

_WRITERS: Final[Mapping[type, Callable[[BlockWriter, Any], Block | None]]] = {
    TextPart: BlockWriter._text,
    RefusalPart: BlockWriter._refusal,
    AudioPart: BlockWriter._audio,
    ImagePart: BlockWriter._image,
    FilePart: BlockWriter._file,
    ReasoningPart: BlockWriter._reasoning,
    ToolCallPart: BlockWriter._tool_call,
    ToolResultPart: BlockWriter._tool_result,
}


def starts_with_thinking(blocks: list[Block]) -> bool:
    """Tell whether the blocks of a turn begin with thinking."""
    return bool(blocks) and blocks[0]["type"] in _THINKING


def _detect_type(data: str) -> str | None:
    return next((kind for start, kind in _IMAGE_STARTS if data.startswith(start)), None)


def _may_be_text(media_type: str | None) -> bool:
    return media_type is None or media_type.startswith("text/") or media_type in _TEXT_TYPES
