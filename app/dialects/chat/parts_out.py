"""Content parts encoded for a chat-completions provider, by its ``ChatOptions``, and sentences for losses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from app.canonical.request import (
    AudioPart,
    FilePart,
    ImagePart,
    Native,
    OpaquePart,
    Part,
    RefusalPart,
    TextPart,
)
from app.dialects.base import ClientContext
from app.dialects.chat.options import KNOWN_PART_MEMBERS, ChatOptions, own_members
from app.dialects.shared.lenient_json import JSON, data_url, without_nulls
from app.dialects.shared.losses import Losses


def filter_native(
    native: Native | None,
    supported: frozenset[str],
    names: frozenset[str],
    context: ClientContext,
    options: ChatOptions,
) -> JSON:
    """Return the native members to send: those that are ``supported``, and those that no API defines.

    ``names`` are the members that some API defines; one that is not supported is reported, unless
    its value is empty.
    """
    members: JSON = {}
    for name, value in own_members(native).items() if native is not None else ():
        if name in supported or options.open_members or name not in names:
            members[name] = value
        elif value:
            context.losses.report(name)
    return members


def is_plain_text(piece: JSON) -> bool:
    """Tell whether a content object is a text without further members."""
    return piece.keys() == {"type", "text"} and piece["type"] == "text"


class PartWriter:
    """Encodes content parts; parts that the provider does not support are refused or reported."""

    def __init__(self, context: ClientContext, options: ChatOptions) -> None:
        self._context = context
        self._options = options

    def content(self, parts: Iterable[Part]) -> Any:
        """Return the ``content`` of a message: a string for one plain text, otherwise a list, None for no parts.

        Several texts become one string if the server does not accept lists.
        """
        pieces = self.pieces(parts)
        if not pieces or (len(pieces) == 1 and is_plain_text(pieces[0])):
            return pieces[0]["text"] if pieces else None
        if self._options.text_lists or not all(piece["type"] == "text" for piece in pieces):
            return pieces
        for name in (name for piece in pieces for name in piece.keys() - {"type", "text"}):
            self._context.losses.report(name)
        return "\n".join(piece["text"] for piece in pieces)

    def pieces(self, parts: Iterable[Part]) -> list[JSON]:
        """Return a content object for each part that can be encoded."""
        return [piece for part in parts if (piece := self._piece(part)) is not None]

    def _piece(self, part: Part) -> JSON | None:
        writer = _WRITERS.get(type(part))
        piece = None if writer is None else writer(self, part)
        if piece is None or isinstance(part, OpaquePart):
            return piece
        members = filter_native(
            part.native, self._options.part_members, KNOWN_PART_MEMBERS, self._context, self._options
        )
        return {**piece, **members}

    def _check(self, kind: str, feature: str, part: Part) -> None:
        """Report a part of a type that the provider does not support, which refuses the request."""
        if kind not in self._options.part_types:
            refuse_part(self._context.losses, feature, part)

    def _refusal(self, part: RefusalPart) -> JSON:
        kind = "refusal" if self._options.refusals else "text"
        return {"type": kind, kind: part.text}

    def _image(self, part: ImagePart) -> JSON:
        self._check("image_url", "image", part)
        if part.file_id is not None:
            report(self._context.losses, "file_id")
        if part.data is None and not self._options.image_urls:
            warning = "pictures are not fetched from their address by this model; send the content itself"
            self._context.losses.report("image", warning)
        url = part.url if part.data is None else data_url(part.media_type or "image/png", part.data)
        detail = part.detail if self._options.image_detail else None
        if part.detail not in (None, "auto", detail):
            self._context.losses.report("image_detail", "how closely to look at pictures was left out")
        image = {"url": url} if detail is None else {"url": url, "detail": detail}
        return {"type": "image_url", "image_url": image}

    def _audio(self, part: AudioPart) -> JSON:
        self._check("input_audio", "audio", part)
        if part.data is None:
            report(self._context.losses, "audio")
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format or "wav"}}

    def _file(self, part: FilePart) -> JSON:
        if part.text is not None:
            return {"type": "text", "text": part.text}
        self._check("file", "file", part)
        if part.file_id is not None and not self._options.file_ids:
            report(self._context.losses, "file_id")
        return _FILES[self._options.file_form](self, part)

    def _plain_file(self, part: FilePart) -> JSON:
        if part.file_id is not None:
            file = without_nulls({"file_id": part.file_id, "filename": part.filename})
            return {"type": "file", "file": file}
        if part.url is not None and not self._options.file_urls:
            self._context.losses.report("file", "a document given by URL is not supported by this model")
        file = {"filename": part.filename or "document.pdf", "file_data": _document_source(part)}
        return {"type": "file", "file": file}

    def _document_url(self, part: FilePart) -> JSON:
        """Return Mistral's ``document_url``."""
        if part.file_id is not None:
            return {"type": "file", "file_id": part.file_id}
        members = {"document_url": _document_source(part), "document_name": part.filename}
        return {"type": "document_url", **without_nulls(members)}

    def _file_url(self, part: FilePart) -> JSON:
        """Return Perplexity's ``file_url``: a URL, or base64 text that is not a data URL (its API reference)."""
        url = {"url": part.url if part.data is None else part.data}
        return without_nulls({"type": "file_url", "file_url": url, "file_name": part.filename})

    def _opaque(self, part: OpaquePart) -> JSON | None:
        own = own_members(part.native)
        if not own:
            refuse_part(self._context.losses, "opaque_input", part)
        return own or None


def _document_source(part: FilePart) -> str | None:
    """Return the URL of a document, a data URL for one with its content."""
    return part.url if part.data is None else data_url(part.media_type or "application/pdf", part.data)


_WRITERS: Final[Mapping[type, Callable[[PartWriter, Any], JSON | None]]] = {
    TextPart: lambda _, part: {"type": "text", "text": part.text},
    RefusalPart: PartWriter._refusal,
    ImagePart: PartWriter._image,
    AudioPart: PartWriter._audio,
    FilePart: PartWriter._file,
    OpaquePart: PartWriter._opaque,
}

_FILES: Final[Mapping[str, Callable[[PartWriter, FilePart], JSON]]] = {
    "file": PartWriter._plain_file,
    "document_url": PartWriter._document_url,
    "file_url": PartWriter._file_url,
}


_SENTENCES: Final[Mapping[str, str]] = {
    # refusals
    "image": "pictures are not supported by this model",
    "audio": "audio is not supported by this model",
    "file": "documents are not supported by this model",
    "file_id": "uploaded files cannot be named by their id here",
    "opaque_input": "a content part of another API cannot be sent to this model",
    "custom_tool": "custom tools are not supported by this model",
    "forced_tool": "this model cannot be made to call that tool",
    "output_schema": "answers by a JSON schema are not supported by this model",
    # warnings
    "hosted_item": "earlier items of hosted tools were left out",
    "message_name": "the names of messages were left out",
    "reasoning_history": "the reasoning of earlier turns was left out",
    "reasoning_signature": "signed reasoning of earlier turns was left out",
    "tool_strict": "'strict' was left out of the tools",
}


def report(losses: Losses, feature: str) -> None:
    """Report ``feature`` with its sentence."""
    losses.report(feature, _SENTENCES.get(feature))


def refuse_part(losses: Losses, feature: str, part: Part) -> None:
    """Report a content part of a type that the target does not support, with a description of the part."""
    description = _describe(part)[:_MAX_DESCRIPTION]
    losses.report(feature, f"{_SENTENCES[feature]}: {description}" if description else _SENTENCES[feature])


_MAX_DESCRIPTION: Final = 120  # characters


def _describe(part: Part) -> str:
    """Return what identifies a part to its client: a file name, a URL, an id or a type."""
    names = ("filename", "url", "file_id", "media_type", "format", "type")
    return next((value for name in names if (value := getattr(part, name, None))), "")
