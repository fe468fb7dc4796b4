"""Gemini's ``contents``: turns of ``user`` and ``model`` made of parts.

A thought signature rides on the part that it came with: in canonical form it is a
hidden reasoning part before (or, at the end of a turn, after) a text, or it sits on the
tool call itself. Rules of signatures: Google's thought-signature guide and the recorded
traffic (text-only thoughts are never signed; of parallel calls only the first is).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
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
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from app.dialects.base import ClientContext
from app.dialects.gemini.options import Family, GeminiOptions
from app.dialects.shared.alternation import merge_turns
from app.dialects.shared.lenient_json import as_str, split_data_url
from app.dialects.shared.media_types import media_type_of
from app.dialects.shared.tool_forms import call_input
from app.dialects.shared.tool_values import faithful_value
from app.dialects.shared.unmapped_members import own_block

NAME: Final = "gemini"

SKIP_SIGNATURE: Final = "skip_thought_signature_validator"
"""Google's documented stand-in for a signature that cannot be had (a call made by another
model, a history written by hand); Gemini 3 refuses a first call without any."""

_SYSTEM_ROLES: Final = frozenset({"system", "developer"})
_WIRE_ROLES: Final = {"assistant": "model", "user": "user"}

AUDIO_TYPES: Final[Mapping[str, str]] = {
    "mp3": "audio/mp3",
    "wav": "audio/wav",
    "opus": "audio/ogg",
    "m4a": "audio/mp4",
    "pcm16": "audio/pcm;rate=24000",
    "pcm": "audio/pcm;rate=24000",
}

_RESOLUTIONS: Final[Mapping[str, str]] = {
    "low": "MEDIA_RESOLUTION_LOW",
    "high": "MEDIA_RESOLUTION_HIGH",
    "original": "MEDIA_RESOLUTION_ULTRA_HIGH",
}

_SIGNED: Final = frozenset({"text", "functionCall", "inlineData", "fileData"})
"""The parts that bear a signature of their own."""

_OWN_URIS: Final = ("gs://", "https://")


class ContentsEncoder:
    """Encode the messages of one request; reports what cannot go to ``context.losses``."""

    def __init__(self, context: ClientContext, options: GeminiOptions, family: Family) -> None:
        self._context = context
        self._losses = context.losses
        self._options = options
        self._family = family
        self._names: dict[str, str] = {}

    def encode(
        self, instructions: str | None, messages: Sequence[Message]
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the parts of ``systemInstruction`` and the ``contents``.

        Gemini wants at least one turn: instructions that stand alone become it.
        """
        system, turns = self._split(messages)
        if instructions:
            system.insert(0, {"text": instructions})
        self._names = {p.id: p.name for m in turns for p in m.parts if isinstance(p, ToolCallPart)}
        contents = []
        for turn in merge_turns(turns, roles={"tool": "user"}):
            parts = (
                self._model_parts(turn.parts) if turn.role == "assistant" else self._user_parts(turn.parts)
            )
            if parts:
                contents.append({"role": _WIRE_ROLES[turn.role], "parts": parts})
        if not contents and system:
            self._losses.report("message_role", "Instructions without a message were sent as the user's turn")
            return [], [{"role": "user", "parts": system}]
        return system, contents

    def _split(self, messages: Sequence[Message]) -> tuple[list[dict[str, Any]], list[Message]]:
        """Divide system texts from turns; a late system text moves to the front."""
        system: list[dict[str, Any]] = []
        turns: list[Message] = []
        for message in messages:
            if message.name is not None:
                self._losses.report("message_name")
            if message.role not in _SYSTEM_ROLES:
                turns.append(replace(message, name=None))
                continue
            if turns:
                self._losses.report("message_role", "A later system message was moved to the instructions")
            system.extend(self._system_parts(message.parts))
        return system, turns

    def _system_parts(self, parts: Iterable[Part]) -> list[dict[str, Any]]:
        texts = []
        for part in parts:
            if not isinstance(part, TextPart):
                self._losses.report("content", "Gemini's instructions hold text only")
            elif part.text:
                texts.append({"text": part.text})
        return texts

    # The model's turns

    def _model_parts(self, parts: Sequence[Part]) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        pending: str | None = None
        owned = any(self._accepts(part) for part in parts)
        for part in map(_inline_image, parts):
            if isinstance(part, ReasoningPart):
                signed = self._reasoning(part, owned, out)
                if signed and pending:
                    out.append({"text": "", "thoughtSignature": pending})
                pending = signed or pending
                continue
            for wire in self._part(part):
                pending = _attach(wire, pending, out)
                out.append(wire)
        if pending is not None:
            out.append({"text": "", "thoughtSignature": pending})
        if self._family.signs_calls:
            self._stand_in([wire for wire in out if "functionCall" in wire][:1], "function call")
        if self._family.signs_pictures:
            self._stand_in([wire for wire in out if "inlineData" in wire or "fileData" in wire], "picture")
        return out

    def _accepts(self, part: Part) -> bool:
        return isinstance(part, ReasoningPart | ToolCallPart) and self._context.accepts(part.signature, NAME)

    def _reasoning(self, part: ReasoningPart, owned: bool, out: list[dict[str, Any]]) -> str | None:
        """Append a thought and return the signature that belongs on what follows.

        A thought without a signature is sent only within a turn that this very model
        signed elsewhere; another's reasoning is left out.
        """
        if part.signature is not None and not self._context.accepts(part.signature, NAME):
            self._losses.report("reasoning_signature", "Another provider's reasoning was left out")
            return None
        if part.text and not owned:
            self._losses.report("reasoning_signature", "Reasoning without its signature was left out")
            return None
        value = part.signature.value if part.signature else None
        if part.text:
            out.append({"text": part.text, "thought": True})
        if part.native is not None and part.native[0] == NAME and part.text and value:
            out[-1]["thoughtSignature"] = value
            return None
        return value

    def _stand_in(self, wires: list[dict[str, Any]], what: str) -> None:
        for wire in wires:
            if "thoughtSignature" not in wire:
                wire["thoughtSignature"] = SKIP_SIGNATURE
                warning = f"A {what} without its thought signature was sent with Gemini's placeholder"
                self._losses.report("reasoning_signature", warning)

    # Parts

    def _user_parts(self, parts: Sequence[Part]) -> list[dict[str, Any]]:
        return [wire for part in parts for wire in self._part(part, "user")]

    def _part(self, part: Part, role: str = "assistant") -> list[dict[str, Any]]:
        """Return the wire parts of ``part``: mostly one, none where it was left out."""
        if isinstance(part, OpaquePart):
            own = own_block(part, role, NAME, self._losses)
            return [] if own is None else [own]
        encoder = _ENCODERS.get(type(part))
        return encoder(self, part) if encoder else []

    def _text(self, part: TextPart | RefusalPart) -> list[dict[str, Any]]:
        return [{"text": part.text}] if part.text else []

    def _image(self, part: ImagePart) -> list[dict[str, Any]]:
        wire = self._media(part.data, part.url, part.file_id, part.media_type, "image/jpeg")
        level = _RESOLUTIONS.get(part.detail or "")
        if level and self._family.media_results:
            wire["mediaResolution"] = {"level": level}
        elif level:
            self._losses.report("image_detail")
        return [{**wire, **_media_members(part)}]

    def _audio(self, part: AudioPart) -> list[dict[str, Any]]:
        if part.data is None and part.transcript:
            self._losses.report("tool_result", "Earlier speech was sent as its transcript")
            return [{"text": part.transcript}]
        if part.data is None:
            self._losses.report("audio", "Gemini cannot be given earlier speech by its id")
        media_type = AUDIO_TYPES.get(part.format or "", f"audio/{part.format or 'wav'}")
        if part.native is not None and part.native[0] == NAME:
            media_type = part.native[1].get("mimeType", media_type)
        return [{"inlineData": {"mimeType": media_type, "data": part.data}}]

    def _file(self, part: FilePart) -> list[dict[str, Any]]:
        data, media_type = part.data, part.media_type
        if part.text is not None:
            data = base64.b64encode(part.text.encode()).decode()
            media_type = media_type or "text/plain"
        guessed = media_type_of(part.filename) or "application/pdf"
        wire = self._media(data, part.url, part.file_id, media_type, guessed)
        if part.filename and self._options.display_names:
            next(iter(wire.values()))["displayName"] = part.filename
        elif part.filename:
            self._losses.report("filename", "The file's name was left out")
        return [{**wire, **_media_members(part)}]

    def _media(
        self, data: str | None, url: str | None, file_id: str | None, media_type: str | None, default: str
    ) -> dict[str, Any]:
        """Inline data, or a reference that Google resolves itself; we fetch nothing."""
        inline = split_data_url(url) if url else None
        if inline is not None:
            media_type, data = media_type or inline[0], inline[1]
        if data is not None:
            return {"inlineData": {"mimeType": media_type or default, "data": data}}
        uri = url or file_id or ""
        if url is None and not uri.startswith(_OWN_URIS):
            self._losses.report("file_id", f"The file id '{uri}' is not one of Gemini's file addresses")
        media_type = media_type or media_type_of(uri)
        if media_type is None and file_id is not None:
            return {"fileData": {"fileUri": uri}}  # Google knows the type of what it keeps
        return {"fileData": {"mimeType": media_type or default, "fileUri": uri}}

    def _call(self, part: ToolCallPart) -> list[dict[str, Any]]:
        call: dict[str, Any] = {"name": part.name, "args": call_input(part, self._losses)}
        if self._options.function_call_ids and part.id:
            call["id"] = part.id
        wire: dict[str, Any] = {"functionCall": call}
        if self._context.accepts(part.signature, NAME) and part.signature is not None:
            wire["thoughtSignature"] = part.signature.value
        elif part.signature is not None:
            self._losses.report("reasoning_signature", "Another provider's signature was left out")
        return [wire]

    def _result(self, part: ToolResultPart) -> list[dict[str, Any]]:
        """A functionResponse; media go inside it where the family takes them, else beside it."""
        name = part.name or self._names.get(part.call_id)
        if name is None:
            self._losses.report(
                "tool_result", f"No call '{part.call_id}' precedes its result; the id was sent as its name"
            )
        texts = [p.text for p in part.content if isinstance(p, TextPart)]
        media = [wire for p in part.content if not isinstance(p, TextPart) for wire in self._part(p, "tool")]
        body: dict[str, Any] = {
            "name": name or part.call_id,
            "response": _response("".join(texts), part.is_error),
        }
        if self._options.function_call_ids and part.call_id:
            body["id"] = part.call_id
        if media and self._family.media_results:
            body["parts"], media = media, []
        if media:
            self._losses.report("tool_result", "Images and files of a tool's result were sent beside it")
        return [{"functionResponse": body}, *media]


_ENCODERS: Final[Mapping[type, Any]] = {
    TextPart: ContentsEncoder._text,
    RefusalPart: ContentsEncoder._text,
    ImagePart: ContentsEncoder._image,
    AudioPart: ContentsEncoder._audio,
    FilePart: ContentsEncoder._file,
    ToolCallPart: ContentsEncoder._call,
    ToolResultPart: ContentsEncoder._result,
}


def _inline_image(part: Part) -> Part:
    """Return a picture for the item that says that a model made one: its ``result`` is the picture."""
    item = part.native[1] if isinstance(part, OpaquePart) else {}
    result = item.get("result")
    if (
        not isinstance(part, OpaquePart)
        or part.type != "image_generation_call"
        or not isinstance(result, str)
    ):
        return part
    if result.startswith(("https://", "http://")):
        return ImagePart(url=result)
    return ImagePart(result, f"image/{as_str(item.get('output_format')) or 'png'}")


def _media_members(part: ImagePart | FilePart) -> dict[str, Any]:
    """Return what a client of this wire said beside a medium: which part of a video is meant."""
    return dict(part.native[1]) if part.native is not None and part.native[0] == NAME else {}


def _attach(wire: dict[str, Any], pending: str | None, out: list[dict[str, Any]]) -> str | None:
    """Put a waiting signature on the text, call or picture that follows it, else on an empty text."""
    if pending is None:
        return None
    if not _SIGNED.isdisjoint(wire) and "thoughtSignature" not in wire:
        wire["thoughtSignature"] = pending
    else:
        out.append({"text": "", "thoughtSignature": pending})
    return None


def _response(text: str, is_error: bool) -> dict[str, Any]:
    """A JSON object as it is, where it comes out as it was written; anything else under ``output``, a fault under ``error``
    (the two keys that Google's FunctionResponse gives a meaning)."""
    value = faithful_value(text)
    if is_error:
        return {"error": value if isinstance(value, dict) else text}
    return value if isinstance(value, dict) else {"output": text}
