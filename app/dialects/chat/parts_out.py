"""Content parts written for a chat-completions wire, by its ``ChatOptions``."""

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
from app.dialects.chat.losses import refuse_part, report
from app.dialects.chat.native import own_members
from app.dialects.chat.options import KNOWN_PART_MEMBERS, ChatOptions
from app.dialects.shared.lenient_json import data_url

Json = dict[str, Any]


def admitted(
    native: Native | None,
    allowed: frozenset[str],
    known: frozenset[str],
    context: ClientContext,
    options: ChatOptions,
) -> Json:
    """Return the native members that may go out: those the wire takes, and those no API
    defines. A known member that it lacks is reported, unless it says nothing."""
    members: Json = {}
    for name, value in own_members(native).items():
        if name in allowed or options.open_members or name not in known:
            members[name] = value
        elif value:
            context.losses.report(name)
    return members


class PartWriter:
    """Write content parts; what the wire does not take is refused or reported."""

    def __init__(self, context: ClientContext, options: ChatOptions) -> None:
        self._context = context
        self._options = options

    def content(self, parts: Iterable[Part]) -> str | list[Json] | None:
        """Return content as the wire has it: one plain text as a string, else a list;
        several texts are one string where the server knows no lists."""
        pieces = self.pieces(parts)
        if not pieces:
            return None
        if len(pieces) == 1 and pieces[0].keys() == {"type", "text"} and pieces[0]["type"] == "text":
            text: str = pieces[0]["text"]
            return text
        if not self._options.text_lists and all(piece["type"] == "text" for piece in pieces):
            return self._one_text(pieces)
        return pieces

    def _one_text(self, pieces: Iterable[Json]) -> str:
        """Return the texts as one; what a string has no place for is reported."""
        texts: list[str] = []
        for piece in pieces:
            texts.append(piece["text"])
            for name in piece.keys() - {"type", "text"}:
                self._context.losses.report(name)
        return "\n".join(texts)

    def pieces(self, parts: Iterable[Part]) -> list[Json]:
        """Return one content object for each part that has a form here."""
        return [piece for part in parts if (piece := self._piece(part)) is not None]

    def _piece(self, part: Part) -> Json | None:
        writer = _WRITERS.get(type(part))
        piece = None if writer is None else writer(self, part)
        if piece is None or isinstance(part, OpaquePart):
            return piece
        members = admitted(
            part.native, self._options.part_members, KNOWN_PART_MEMBERS, self._context, self._options
        )
        return {**piece, **members}

    def _refuse(self, kind: str, feature: str, part: Part) -> None:
        """Report a part of a kind that the wire does not take: it would change the answer."""
        if kind not in self._options.part_types:
            refuse_part(self._context.losses, feature, part)

    def _text(self, part: TextPart) -> Json:
        return {"type": "text", "text": part.text}

    def _refusal(self, part: RefusalPart) -> Json:
        if self._options.refusals:
            return {"type": "refusal", "refusal": part.text}
        return {"type": "text", "text": part.text}

    def _image(self, part: ImagePart) -> Json:
        self._refuse("image_url", "image", part)
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

    def _audio(self, part: AudioPart) -> Json:
        self._refuse("input_audio", "audio", part)
        if part.data is None:
            report(self._context.losses, "audio")
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format or "wav"}}

    def _file(self, part: FilePart) -> Json:
        if part.text is not None:
            return {"type": "text", "text": part.text}
        self._refuse("file", "file", part)
        if part.file_id is not None and not self._options.file_ids:
            report(self._context.losses, "file_id")
        return _FILES[self._options.file_form](self, part)

    def _plain_file(self, part: FilePart) -> Json:
        if part.file_id is not None:
            named = {} if part.filename is None else {"filename": part.filename}
            return {"type": "file", "file": {"file_id": part.file_id, **named}}
        if part.url is not None and not self._options.file_urls:
            self._context.losses.report("file", "a document given by URL is not supported by this model")
        data = part.url if part.data is None else data_url(part.media_type or "application/pdf", part.data)
        return {"type": "file", "file": {"filename": part.filename or "document.pdf", "file_data": data}}

    def _document_url(self, part: FilePart) -> Json:
        if part.file_id is not None:
            return {"type": "file", "file_id": part.file_id}
        url = part.url if part.data is None else data_url(part.media_type or "application/pdf", part.data)
        named = {} if part.filename is None else {"document_name": part.filename}
        return {"type": "document_url", "document_url": url, **named}

    def _file_url(self, part: FilePart) -> Json:
        """Address, or bare base64 text, as the one vendor with ``file_url`` documents it."""
        named = {} if part.filename is None else {"file_name": part.filename}
        return {
            "type": "file_url",
            "file_url": {"url": part.url if part.data is None else part.data},
            **named,
        }

    def _opaque(self, part: OpaquePart) -> Json | None:
        own = own_members(part.native)
        if not own:
            report(self._context.losses, "opaque_input")
        return own or None


_WRITERS: Final[Mapping[type, Callable[[PartWriter, Any], Json | None]]] = {
    TextPart: PartWriter._text,
    RefusalPart: PartWriter._refusal,
    ImagePart: PartWriter._image,
    AudioPart: PartWriter._audio,
    FilePart: PartWriter._file,
    OpaquePart: PartWriter._opaque,
}

_FILES: Final[Mapping[str, Callable[[PartWriter, FilePart], Json]]] = {
    "file": PartWriter._plain_file,
    "document_url": PartWriter._document_url,
    "file_url": PartWriter._file_url,
}
