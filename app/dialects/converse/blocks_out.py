"""Canonical parts to Converse content blocks.

Bytes travel as base64 text. Source: contract/providers.md 3.5 and botocore's service
model of ``bedrock-runtime``.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

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
    ToolCallPart,
    ToolResultPart,
)
from app.dialects.base import ClientContext
from app.dialects.converse.options import NAME, ConverseOptions
from app.dialects.shared.alternation import PLACEHOLDER_TEXT, merge_blank_texts
from app.dialects.shared.claude import OMITTED
from app.dialects.shared.media_types import media_type_of
from app.dialects.shared.members import CACHE_MARKS, MemberTable, cache_mark, flat_members, pick_members
from app.dialects.shared.tool_forms import call_input
from app.dialects.shared.tool_ids import CONVERSE_ID, fit_tool_id
from app.dialects.shared.tool_values import faithful_value
from app.dialects.shared.unmapped_members import own_block, own_signature, report_call_signature

Block = dict[str, Any]

_IMAGE_FORMATS: Final = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}
_DOCUMENT_FORMATS: Final = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/markdown": "md",
    "application/json": "txt",
    "application/xml": "txt",
}
_MAX_NAME: Final = 200
_FORBIDDEN_IN_NAME: Final = re.compile(r"[^A-Za-z0-9\s()\[\]-]+")
_THINKING: Final = "reasoningContent"


TAKES: Final[MemberTable] = {object: CACHE_MARKS, FilePart: frozenset({"citations", "context"})}
"""Members of this wire's own that clients of others write on parts."""


def cache_point(native: Native | None) -> Block | None:
    """Return the cache point that follows a part with a cache mark of any dialect."""
    mark = cache_mark(native)
    if mark is None:
        return None
    ttl = mark.get("ttl")
    return {"cachePoint": {"type": "default", **({"ttl": ttl} if ttl in ("5m", "1h") else {})}}


class BlockWriter:
    """Writes the blocks of one request; remembers the names its documents have taken."""

    def __init__(self, context: ClientContext, options: ConverseOptions) -> None:
        self.context = context
        self.options = options
        self._names: set[str] = set()

    def turn(self, message: Message) -> Block:
        """Return one turn; it may hold no block. The wire wants words beside a document."""
        content = self.blocks(message.parts, message.role)
        if message.role == "user" and _needs_words(content):
            content.append({"text": PLACEHOLDER_TEXT})
            warning = f"A document without words is not taken here; '{PLACEHOLDER_TEXT}' was sent beside it"
            self._report("message_text", warning)
        return {"role": message.role, "content": content}

    def blocks(self, parts: Iterable[Part], role: str) -> list[Block]:
        """Return the blocks of one turn: results first in a user's, thinking first in an assistant's."""
        spoken = merge_blank_texts(parts, self.context.losses)
        groups = [group for part in spoken if (group := self._with_cache_point(part, role))]
        if role == "user":
            groups.sort(key=lambda group: "toolResult" not in group[0])
        elif (
            not any(isinstance(part, OpaquePart) for part in spoken)
            and groups
            and _THINKING not in groups[0][0]
        ):
            groups.sort(key=lambda group: _THINKING not in group[0])
        return [block for group in groups for block in group]

    def _with_cache_point(self, part: Part, role: str) -> list[Block]:
        if isinstance(part, ImagePart) and role == "assistant":
            self._report("hosted_item", "Pictures that a model made cannot be shown to this one")
            return []
        block = self._opaque(part, role) if isinstance(part, OpaquePart) else _WRITERS[type(part)](self, part)
        if block is None:
            return []
        return [block, *self.cache_points(_cache_mark(part))]

    def cache_points(self, native: Native | None) -> list[Block]:
        """Return the cache point that a mark asks for, reported where the model has none."""
        point = cache_point(native)
        if point is None:
            return []
        if not self.options.caches:
            self._report("cache_control", "This model caches no prompts; the mark was left out")
            return []
        return [point]

    def _report(self, feature: str, message: str | None = None) -> None:
        self.context.losses.report(feature, message)

    def _opaque(self, part: OpaquePart, role: str) -> Block | None:
        return own_block(part, role, NAME, self.context.losses)

    def _text(self, part: TextPart) -> Block | None:
        if part.native is not None and part.native[0] == NAME and part.native[1].get("citations"):
            cited = part.native[1]["citations"]
            return {"citationsContent": {"content": [{"text": part.text}], "citations": cited}}
        return {"text": part.text}

    def _refusal(self, part: RefusalPart) -> Block | None:
        return {"text": part.text}

    def _audio(self, part: AudioPart) -> Block | None:
        if part.transcript and not part.data:
            return {"text": part.transcript}
        self._report("audio", "Audio input is not supported by this model")
        return None

    def _image(self, part: ImagePart) -> Block | None:
        if part.detail not in (None, "auto"):
            self._report("image_detail", "The image is sent as it is; there is no detail to choose")
        kind = _IMAGE_FORMATS.get(part.media_type or media_type_of(part.url) or "image/png")
        source = self._source(part.data, part.url, part.file_id, "image")
        if kind is None:
            self._report(
                "image", f"Images of type '{part.media_type}' are not supported (PNG, JPEG, GIF, WebP are)"
            )
        return {"image": {"format": kind, "source": source}}

    def _source(self, data: str | None, url: str | None, file_id: str | None, feature: str) -> Block:
        """Content itself or a place in S3: addresses of others are not fetched."""
        if data is not None:
            return {"bytes": data}
        if url is not None and url.startswith("s3://"):
            return {"s3Location": {"uri": url}}
        what = "by file id" if file_id is not None else "by URL"
        self._report(feature, f"Content {what} is not supported here; send the content itself")
        return {}

    def _file(self, part: FilePart) -> Block | None:
        media_type = part.media_type or media_type_of(part.filename) or media_type_of(part.url)
        if part.text is not None:
            kind: str | None = "txt"
            source: Block = {"bytes": base64.b64encode(part.text.encode()).decode()}
        else:
            kind = _format_of(media_type, part.data)
            source = self._source(part.data, part.url, part.file_id, "file")
        if kind is None:
            self._report("file", f"Documents of type '{media_type}' are not supported")
        mine = part.native is not None and part.native[0] == NAME
        own = flat_members(part.native) if mine else pick_members(part.native, TAKES[FilePart])
        return {"document": {**own, "format": kind, "name": self._name(part.filename), "source": source}}

    def _name(self, filename: str | None) -> str:
        """Return a name the wire takes, not yet used: letters, digits, single blanks, -()[]."""
        stem = (filename or "document").rpartition(".")[0] or filename or "document"
        clean = " ".join(_FORBIDDEN_IN_NAME.sub(" ", stem).split()) or "document"
        name, number = clean[:_MAX_NAME], 2
        while name in self._names:
            suffix = f" ({number})"
            name, number = clean[: _MAX_NAME - len(suffix)] + suffix, number + 1
        self._names.add(name)
        return name

    def _reasoning(self, part: ReasoningPart) -> Block | None:
        signature = own_signature(part, NAME, self.context)
        if signature is None:
            return None
        if part.form == "hidden" and not signature.value.startswith(OMITTED):
            return {_THINKING: {"redactedContent": signature.value}}
        value = signature.value.removeprefix(OMITTED)
        return {_THINKING: {"reasoningText": {"text": part.text, "signature": value}}}

    def _tool_call(self, part: ToolCallPart) -> Block | None:
        report_call_signature(part, self.context.losses)
        arguments = call_input(part, self.context.losses)
        return {
            "toolUse": {"toolUseId": fit_tool_id(part.id, CONVERSE_ID), "name": part.name, "input": arguments}
        }

    def _tool_result(self, part: ToolResultPart) -> Block | None:
        inside = merge_blank_texts(part.content, self.context.losses)
        content = [block for inner in inside for block in self._result_blocks(inner)]
        if not content:
            content = [{"text": PLACEHOLDER_TEXT}]
            self._report("tool_result", f"A tool's result without content was sent as '{PLACEHOLDER_TEXT}'")
        result: Block = {"toolUseId": fit_tool_id(part.call_id, CONVERSE_ID), "content": content}
        if part.is_error:
            result["status"] = "error"
        return {"toolResult": result}

    def _result_blocks(self, part: Part) -> list[Block]:
        if isinstance(part, TextPart):
            return [_result_text(part.text)]
        block = (
            self._opaque(part, "tool") if isinstance(part, OpaquePart) else _WRITERS[type(part)](self, part)
        )
        return [block] if block is not None else []


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


def _cache_mark(part: Part) -> Native | None:
    """Return the remainder with a part's cache mark: its own, or that of something inside a result."""
    if isinstance(part, OpaquePart):
        return None
    inside = part.content if isinstance(part, ToolResultPart) else ()
    natives = [part.native, *(inner.native for inner in inside if not isinstance(inner, OpaquePart))]
    return next((native for native in natives if cache_mark(native) is not None), part.native)


def _needs_words(content: list[Block]) -> bool:
    return any("document" in block for block in content) and not any("text" in block for block in content)


def _result_text(text: str) -> Block:
    """A tool's answer that is JSON goes as JSON, which the wire wants to be an object; what
    would not come out as it was written goes as text."""
    value = faithful_value(text)
    if value is None or isinstance(value, str):
        return {"text": text}
    if isinstance(value, dict):
        return {"json": value}
    return {"json": {"results": value} if isinstance(value, list) else {"value": value}}


def _format_of(media_type: str | None, data: str | None) -> str | None:
    if media_type is None:
        return "pdf" if data is not None and data.startswith("JVBERi") else None
    plain = "txt" if media_type.startswith("text/") else None
    return _DOCUMENT_FORMATS.get(media_type, plain)
