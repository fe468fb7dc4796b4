"""Parts of a canonical answer as Gemini's parts (server half).

Google's own signatures ride on the part that they came with. Others' are sealed: a signed
thought carries its own, one without words is a thought of its own with empty text. Thoughts
are shown to clients that ask for them (``includeThoughts``), as Google does; for others a signed
thought travels in its signature, on the call that follows it, since its maker wants both again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.request import (
    AudioPart,
    ImagePart,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    Signature,
    TextPart,
    ToolCallPart,
)
from app.dialects.base import ServerContext
from app.dialects.gemini.contents_out import AUDIO_TYPES, NAME
from app.dialects.gemini.members import pack
from app.dialects.shared.tool_forms import call_object

Wire = dict[str, Any]


class PartWriter:
    """Writes the parts of one candidate in order; holds a signature until the part it belongs on."""

    def __init__(self, request: Request, context: ServerContext) -> None:
        self._context = context
        self._shows_thoughts = request.reasoning is not None and request.reasoning.summary is not None
        self._pending: str | None = None
        self._unshown: Signature | None = None

    def write(self, part: Part) -> list[Wire]:
        """Return the wire parts that a whole part is, none for what this wire cannot say."""
        if isinstance(part, ReasoningPart):
            thought, write_signature = self.thought(part.text), self.write_signature(part)
            if thought and write_signature:  # one part, as Google signs its own
                return [*thought[:-1], {**write_signature[-1], "text": part.text}]
            return thought + write_signature
        writer = _WRITERS.get(type(part))
        wire = writer(self, part) if writer is not None else None
        return [] if wire is None else self.place(wire)

    def thought(self, text: str) -> list[Wire]:
        """Return a piece of a thought, where the client asks for thoughts."""
        return [*self.close(), {"text": text, "thought": True}] if text and self._shows_thoughts else []

    def write_signature(self, part: ReasoningPart) -> list[Wire]:
        """Return what carries a thought's signature; Google's own of a hidden one waits for a part."""
        if part.signature is None:
            return []
        value = self.signature(part.signature)
        if part.form == "hidden" and part.signature.dialect == NAME:
            waiting = self.close()
            self._pending = value
            return waiting
        if part.form != "hidden" and not self._shows_thoughts:
            if part.signature.dialect == NAME:
                return []  # it proves words that the client was not shown
            before, self._unshown = self._unshown, replace(part.signature, thought=(part.form, part.text))
            return self._signature_part(before) if before is not None else []
        return [*self.close(), {"text": "", "thought": True, "thoughtSignature": value}]

    def _signature_part(self, signature: Signature) -> list[Wire]:
        return [{"text": "", "thought": True, "thoughtSignature": self.signature(signature)}]

    def place(self, wire: Wire) -> list[Wire]:
        """Return a part with the signature that waits for it, else behind a part that carries it."""
        if self._pending is None:
            return [wire]
        if ("text" in wire or "functionCall" in wire) and "thoughtSignature" not in wire:
            wire["thoughtSignature"], self._pending = self._pending, None
            return [wire]
        return [*self.close(), wire]

    def close(self) -> list[Wire]:
        """Return an empty text with the signature that still waits, if any."""
        if self._pending is None:
            return []
        value, self._pending = self._pending, None
        return [{"text": "", "thoughtSignature": value}]

    def signature(self, signature: Signature) -> str:
        """Return a signature as bytes: Google's own as it is where nothing seals it, else its token."""
        token = self._context.wrap(signature)
        return token if token == signature.value and signature.dialect == NAME else pack(token)

    def _text(self, part: TextPart | RefusalPart) -> Wire | None:
        return {"text": part.text} if part.text else None

    def _call(self, part: ToolCallPart) -> Wire:
        wire: Wire = {"functionCall": {"id": part.id, "name": part.name, "args": call_object(part)}}
        signature, self._unshown = part.signature or self._unshown, None
        if signature is not None:
            wire["thoughtSignature"] = self.signature(signature)
        return wire

    def _image(self, part: ImagePart) -> Wire | None:
        if part.data is not None:
            return {"inlineData": {"mimeType": part.media_type or "image/png", "data": part.data}}
        if part.url is not None:
            return {"fileData": {"mimeType": part.media_type or "image/png", "fileUri": part.url}}
        return None

    def _audio(self, part: AudioPart) -> Wire | None:
        if part.data:
            return {"inlineData": {"mimeType": audio_type(part), "data": part.data}}
        return {"text": part.transcript} if part.transcript else None

    def _opaque(self, part: OpaquePart) -> Wire | None:
        return dict(part.native[1]) if part.native[0] == NAME else None


_WRITERS: Final[Mapping[type, Callable[[PartWriter, Any], Wire | None]]] = {
    TextPart: PartWriter._text,
    RefusalPart: PartWriter._text,
    ToolCallPart: PartWriter._call,
    ImagePart: PartWriter._image,
    AudioPart: PartWriter._audio,
    OpaquePart: PartWriter._opaque,
}


def audio_type(part: AudioPart) -> str:
    """Return the media type of a sound."""
    if part.native is not None and part.native[0] == NAME:
        return str(part.native[1].get("mimeType", "audio/wav"))
    return AUDIO_TYPES.get(part.format or "", f"audio/{part.format or 'wav'}")
