"""Encode the parts of a canonical response as Gemini's parts (server half).

Google's own signatures are sent on the part that they came with. Other providers' are sealed:
a thought has its own, hidden reasoning is a thought with empty text. Thoughts are shown to
clients that set ``includeThoughts``, as Google does. For other clients a signed thought is
sealed in its signature and sent on the next call, since its provider needs both back. The transcript
of speech is a text behind it, unless the client asked for sound alone.
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
from app.dialects.gemini.contents_out import Wire
from app.dialects.gemini.options import NAME, audio_type
from app.dialects.shared.lenient_json import encode_base64
from app.dialects.shared.members import drawn_picture, own_members
from app.dialects.shared.tool_forms import call_object


class PartWriter:
    """Write the parts of one candidate in order; a signature waits for the part that it belongs to."""

    def __init__(self, request: Request, context: ServerContext) -> None:
        self._context = context
        self._shows_thoughts = request.reasoning is not None and request.reasoning.summary is not None
        self._takes_text = request.output.modalities != ("audio",)
        self._pending: str | None = None
        self._unshown: Signature | None = None

    def write(self, part: Part) -> list[Wire]:
        """Return Gemini's parts for a complete part, none if Gemini has no part for it."""
        if isinstance(part, ReasoningPart):
            thought, signature = self.thought(part.text), self.write_signature(part)
            if thought and signature:  # one part, as Google sends its own
                return [*thought[:-1], {**signature[-1], "text": part.text}]
            return thought + signature
        part = (drawn_picture(part) or part) if isinstance(part, OpaquePart) else part
        encoder = _ENCODERS.get(type(part))
        wire = encoder(self, part) if encoder is not None else None
        wires = [] if wire is None else self.place(wire)
        words = part.transcript if isinstance(part, AudioPart) and self._takes_text else None
        return [*wires, *self.place({"text": words})] if words else wires

    def thought(self, text: str) -> list[Wire]:
        """Return a piece of a thought, if the client is shown thoughts."""
        return [*self.close(), {"text": text, "thought": True}] if text and self._shows_thoughts else []

    def write_signature(self, part: ReasoningPart) -> list[Wire]:
        """Return the parts for a thought's signature; Google's own of hidden reasoning waits for the next part."""
        if part.signature is None:
            return []
        if part.form == "hidden" and part.signature.dialect == NAME:
            parts, self._pending = self.close(), self._signature(part.signature)
            return parts
        if part.form == "hidden" or self._shows_thoughts:
            return [*self.close(), self._signature_part(part.signature)]
        if part.signature.dialect == NAME:
            return []  # it proves a text that the client was not shown
        previous, self._unshown = self._unshown, replace(part.signature, thought=(part.form, part.text))
        return [self._signature_part(previous)] if previous is not None else []

    def _signature_part(self, signature: Signature) -> Wire:
        return {"text": "", "thought": True, "thoughtSignature": self._signature(signature)}

    def place(self, wire: Wire) -> list[Wire]:
        """Return a part with the waiting signature, or after an empty text with it."""
        if self._pending is None:
            return [wire]
        if ("text" in wire or "functionCall" in wire) and "thoughtSignature" not in wire:
            wire["thoughtSignature"], self._pending = self._pending, None
        return [*self.close(), wire]

    def close(self) -> list[Wire]:
        """Return an empty text with the waiting signature, nothing without one."""
        if self._pending is None:
            return []
        value, self._pending = self._pending, None
        return [{"text": "", "thoughtSignature": value}]

    def _signature(self, signature: Signature) -> str:
        """Return a signature as base64: Google's own unchanged unless it is sealed, else its token."""
        token = self._context.wrap(signature)
        return token if token == signature.value and signature.dialect == NAME else encode_base64(token)

    def _text(self, part: TextPart | RefusalPart) -> Wire | None:
        return {"text": part.text} if part.text else None

    def _call(self, part: ToolCallPart) -> Wire:
        call = {"id": part.id, "name": part.name, "args": call_object(part)}
        signature, self._unshown = part.signature or self._unshown, None
        if signature is None:
            return {"functionCall": call}
        return {"functionCall": call, "thoughtSignature": self._signature(signature)}

    def _image(self, part: ImagePart) -> Wire | None:
        media_type = part.media_type or "image/png"
        if part.data is not None:
            return {
                "inlineData": {"mimeType": media_type, "data": part.data, **own_members(part.native, NAME)}
            }
        return {"fileData": {"mimeType": media_type, "fileUri": part.url}} if part.url is not None else None

    def _audio(self, part: AudioPart) -> Wire | None:
        return {"inlineData": {"mimeType": audio_type(part), "data": part.data}} if part.data else None


_ENCODERS: Final[Mapping[type, Callable[[PartWriter, Any], Wire | None]]] = {
    TextPart: PartWriter._text,
    RefusalPart: PartWriter._text,
    ToolCallPart: PartWriter._call,
    ImagePart: PartWriter._image,
    AudioPart: PartWriter._audio,
    OpaquePart: lambda _, part: dict(part.native[1]) if part.native[0] == NAME else None,
}
