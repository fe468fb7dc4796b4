"""Encode canonical parts as content blocks of a Converse request (client half).

Bytes are base64 text. Sources: docs/contract/providers.md (Bedrock's Converse), botocore's
service model of ``bedrock-runtime``.
"""

from __future__ import annotations

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
from app.dialects.converse.options import IMAGE_FORMATS, NAME, ConverseOptions
from app.dialects.shared.alternation import PLACEHOLDER_TEXT, merge_blank_texts
from app.dialects.shared.claude import OMITTED
from app.dialects.shared.lenient_json import encode_base64
from app.dialects.shared.media_types import media_type_of
from app.dialects.shared.members import CACHE_MARKS, MemberTable, cache_mark, own_members, pick_members
from app.dialects.shared.tool_forms import CONVERSE_ID, call_input, fit_tool_id
from app.dialects.shared.tool_values import faithful_value
from app.dialects.shared.unmapped_members import own_block, own_signature, report_call_signature

Block = dict[str, Any]

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
_MAX_NAME: Final = 200  # characters
_NAME_SEPARATORS: Final = re.compile(r"[^A-Za-z0-9\s()\[\]-]+")
_THINKING: Final = "reasoningContent"

PART_MEMBERS: Final[MemberTable] = {object: CACHE_MARKS, FilePart: frozenset({"citations", "context"})}
"""Converse's own members that clients of other APIs write on parts."""


class BlockWriter:
    """Write the content blocks of one request. Documents get different names."""

    def __init__(self, context: ClientContext, options: ConverseOptions) -> None:
        self.context = context
        self.options = options
        self._names: set[str] = set()

    def turn(self, message: Message) -> Block:
        """Return one turn, which may be empty. Converse requires a text beside a document."""
        content = self.blocks(message.parts, message.role)
        kinds = {kind for block in content for kind in block}
        if message.role == "user" and "document" in kinds and "text" not in kinds:
            content.append({"text": PLACEHOLDER_TEXT})
            warning = f"This API requires text beside a document; '{PLACEHOLDER_TEXT}' was added"
            self._report("message_text", warning)
        return {"role": message.role, "content": content}

    def blocks(self, parts: Iterable[Part], role: str) -> list[Block]:
        """Return the blocks of one turn: tool results first in a user's, thinking first in an assistant's."""
        merged = merge_blank_texts(parts, self.context.losses)
        groups = [group for part in merged if (group := self._with_cache_point(part, role))]
        if role == "user":
            groups.sort(key=lambda group: "toolResult" not in group[0])
        elif groups and _THINKING not in groups[0][0] and not any(isinstance(p, OpaquePart) for p in merged):
            groups.sort(key=lambda group: _THINKING not in group[0])
        return [block for group in groups for block in group]

    def _with_cache_point(self, part: Part, role: str) -> list[Block]:
        if isinstance(part, ImagePart) and role == "assistant":
            self._report("hosted_item", "Images that a model made cannot be sent to this one")
            return []
        block = self._block(part, role)
        return [] if block is None else [block, *self.cache_points(_marked_native(part))]

    def _block(self, part: Part, role: str) -> Block | None:
        if isinstance(part, OpaquePart):
            return own_block(part, role, NAME, self.context.losses)
        return _WRITERS[type(part)](self, part)

    def cache_points(self, native: Native | None) -> list[Block]:
        """Return the cache point for a cache mark of any dialect; reported if the model caches nothing."""
        mark = cache_mark(native)
        if mark is None:
            return []
        if not self.options.caches:
            self._report("cache_control", "This model caches no prompts; the mark was left out")
            return []
        ttl = mark.get("ttl")
        return [{"cachePoint": {"type": "default", **({"ttl": ttl} if ttl in ("5m", "1h") else {})}}]

    def _report(self, feature: str, message: str | None = None) -> None:
        self.context.losses.report(feature, message)

    def _text(self, part: TextPart) -> Block | None:
        if citations := own_members(part.native, NAME).get("citations"):
            return {"citationsContent": {"content": [{"text": part.text}], "citations": citations}}
        return {"text": part.text}

    def _audio(self, part: AudioPart) -> Block | None:
        if part.transcript and not part.data:
            return {"text": part.transcript}
        self._report("audio", "Audio input is not supported by this model")
        return None

    def _image(self, part: ImagePart) -> Block | None:
        if part.detail not in (None, "auto"):
            self._report("image_detail", "The image is sent as it is; there is no detail to choose")
        kind = IMAGE_FORMATS.get(part.media_type or media_type_of(part.url) or "image/png")
        source = self._source(part.data, part.url, part.file_id, "image")
        if kind is None:
            self._report(
                "image", f"Images of type '{part.media_type}' are not supported (PNG, JPEG, GIF, WebP are)"
            )
        return {"image": {"format": kind, "source": source}}

    def _source(self, data: str | None, url: str | None, file_id: str | None, feature: str) -> Block:
        """Return the content itself or its address in S3; Converse fetches no other URL."""
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
            source: Block = {"bytes": encode_base64(part.text)}
        else:
            kind = _document_format(media_type, part.data)
            source = self._source(part.data, part.url, part.file_id, "file")
        if kind is None:
            self._report("file", f"Documents of type '{media_type}' are not supported")
        members = own_members(part.native, NAME) or pick_members(part.native, PART_MEMBERS[FilePart])
        return {"document": {**members, "format": kind, "name": self._name(part.filename), "source": source}}

    def _name(self, filename: str | None) -> str:
        """Return a document name that is not used yet: letters, digits, single spaces, -()[]."""
        stem = (filename or "document").rpartition(".")[0] or filename or "document"
        clean = " ".join(_NAME_SEPARATORS.sub(" ", stem).split()) or "document"
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
        call_id = fit_tool_id(part.id, CONVERSE_ID)
        return {"toolUse": {"toolUseId": call_id, "name": part.name, "input": arguments}}

    def _tool_result(self, part: ToolResultPart) -> Block | None:
        parts = merge_blank_texts(part.content, self.context.losses)
        content = [block for inner in parts if (block := self._result_block(inner)) is not None]
        if not content:
            content = [{"text": PLACEHOLDER_TEXT}]
            self._report("tool_result", f"A tool's result without content was sent as '{PLACEHOLDER_TEXT}'")
        result: Block = {"toolUseId": fit_tool_id(part.call_id, CONVERSE_ID), "content": content}
        if part.is_error:
            result["status"] = "error"
        return {"toolResult": result}

    def _result_block(self, part: Part) -> Block | None:
        return _result_text(part.text) if isinstance(part, TextPart) else self._block(part, "tool")


_WRITERS: Final[Mapping[type, Callable[[BlockWriter, Any], Block | None]]] = {
    TextPart: BlockWriter._text,
    RefusalPart: lambda _, part: {"text": part.text},
    AudioPart: BlockWriter._audio,
    ImagePart: BlockWriter._image,
    FilePart: BlockWriter._file,
    ReasoningPart: BlockWriter._reasoning,
    ToolCallPart: BlockWriter._tool_call,
    ToolResultPart: BlockWriter._tool_result,
}


def _marked_native(part: Part) -> Native | None:
    """Return the native members that hold a part's cache mark: its own, or those of a part in a tool result."""
    parts = [part, *(part.content if isinstance(part, ToolResultPart) else ())]
    natives = (one.native for one in parts if not isinstance(one, OpaquePart))
    return next((native for native in natives if cache_mark(native) is not None), None)


def _result_text(text: str) -> Block:
    """Return a tool's result as JSON if it is JSON that survives unchanged, else as text.

    Converse requires an object: other JSON values are put into one.
    """
    value = faithful_value(text)
    if value is None or isinstance(value, str):
        return {"text": text}
    if isinstance(value, dict):
        return {"json": value}
    return {"json": {"results": value} if isinstance(value, list) else {"value": value}}


def _document_format(media_type: str | None, data: str | None) -> str | None:
    if media_type is None:
        return "pdf" if data is not None and data.startswith("JVBERi") else None
    plain = "txt" if media_type.startswith("text/") else None
    return _DOCUMENT_FORMATS.get(media_type, plain)
