"""Encode canonical messages as Gemini's ``contents`` (client half): turns of ``user`` and ``model``.

A thought signature is sent on the part that it came with. In the canonical form it is a
hidden reasoning part before a text (at the end of a turn after it), or belongs to a tool
call. Sources of the rules of signatures: Google's thought-signature guide, recorded traffic
(thoughts without a call are never signed; of parallel calls only the first is).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
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
from app.dialects.gemini.options import NAME, Family, GeminiOptions, audio_type
from app.dialects.shared.alternation import merge_turns
from app.dialects.shared.lenient_json import as_str, encode_base64, split_data_url
from app.dialects.shared.media_types import media_type_of
from app.dialects.shared.members import own_members
from app.dialects.shared.tool_forms import call_input
from app.dialects.shared.tool_values import faithful_value
from app.dialects.shared.unmapped_members import own_block

Wire = dict[str, Any]
"""A part as Gemini's JSON."""

SKIP_SIGNATURE: Final = "skip_thought_signature_validator"
"""Google's documented placeholder for a missing signature (the call of another model, a history
written by hand); Gemini 3 refuses a first call without a signature."""

_SYSTEM_ROLES: Final = frozenset({"system", "developer"})
_WIRE_ROLES: Final = {"assistant": "model", "user": "user"}

_RESOLUTIONS: Final[Mapping[str, str]] = {
    "low": "MEDIA_RESOLUTION_LOW",
    "high": "MEDIA_RESOLUTION_HIGH",
    "original": "MEDIA_RESOLUTION_ULTRA_HIGH",
}

_SIGNABLE: Final = frozenset({"text", "functionCall", "inlineData", "fileData"})
"""The parts that may have a signature."""

_OWN_URIS: Final = ("gs://", "https://")


class ContentsEncoder:
    """Encode the messages of one request; losses are reported to the context."""

    def __init__(self, context: ClientContext, options: GeminiOptions, family: Family) -> None:
        self._context = context
        self._losses = context.losses
        self._options = options
        self._family = family
        self._names: dict[str, str] = {}

    def encode(self, instructions: str | None, messages: Sequence[Message]) -> tuple[list[Wire], list[Wire]]:
        """Return the parts of ``systemInstruction``, and the ``contents``.

        Gemini requires a turn: instructions without a message become the user's turn.
        """
        system, turns = self._split(messages)
        if instructions:
            system.insert(0, {"text": instructions})
        self._names = {p.id: p.name for m in turns for p in m.parts if isinstance(p, ToolCallPart)}
        alternating = merge_turns(turns, roles={"tool": "user"})
        contents = [
            {"role": _WIRE_ROLES[turn.role], "parts": parts}
            for turn in alternating
            if (parts := self._turn(turn))
        ]
        if not contents and system:
            self._losses.report("message_role", "Instructions without a message were sent as the user's turn")
            return [], [{"role": "user", "parts": system}]
        return system, contents

    def _turn(self, turn: Message) -> list[Wire]:
        if turn.role == "assistant":
            return self._model_parts(turn.parts)
        return [wire for part in turn.parts for wire in self._part(part, "user")]

    def _split(self, messages: Sequence[Message]) -> tuple[list[Wire], list[Message]]:
        """Return the texts of system messages, also of later ones, and the other messages."""
        system: list[Wire] = []
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

    def _system_parts(self, parts: Collection[Part]) -> list[Wire]:
        if not all(isinstance(part, TextPart) for part in parts):
            self._losses.report("content", "Gemini's instructions hold text only")
        return [{"text": part.text} for part in parts if isinstance(part, TextPart) and part.text]

    # turns of the model

    def _model_parts(self, parts: Sequence[Part]) -> list[Wire]:
        out: list[Wire] = []
        pending: str | None = None  # a signature for the next part
        has_own = any(self._accepts(part) for part in parts)
        for part in map(_inline_image, parts):
            if isinstance(part, ReasoningPart):
                signature = self._reasoning(part, has_own, out)
                if signature and pending:
                    out.append(_empty_text(pending))
                pending = signature or pending
                continue
            for wire in self._part(part):
                if pending is not None and (_SIGNABLE.isdisjoint(wire) or "thoughtSignature" in wire):
                    out.append(_empty_text(pending))
                elif pending is not None:
                    wire["thoughtSignature"] = pending
                pending = None
                out.append(wire)
        if pending is not None:
            out.append(_empty_text(pending))
        if self._family.signs_calls:
            self._add_placeholders([wire for wire in out if "functionCall" in wire][:1], "function call")
        if self._family.signs_images:
            images = [wire for wire in out if "inlineData" in wire or "fileData" in wire]
            self._add_placeholders(images, "picture")
        return out

    def _accepts(self, part: Part) -> bool:
        return isinstance(part, ReasoningPart | ToolCallPart) and self._context.accepts(part.signature, NAME)

    def _reasoning(self, part: ReasoningPart, has_own: bool, out: list[Wire]) -> str | None:
        """Append a thought and return its signature if it belongs to the next part.

        A thought without a signature is sent only in a turn that has another signature of this
        target; other providers' reasoning is left out.
        """
        if part.signature is not None and not self._context.accepts(part.signature, NAME):
            self._losses.report("reasoning_signature", "Another provider's reasoning was left out")
            return None
        if part.text and not has_own:
            self._losses.report("reasoning_signature", "Reasoning without its signature was left out")
            return None
        value = part.signature.value if part.signature else None
        if not part.text:
            return value
        out.append({"text": part.text, "thought": True})
        if not value or not own_members(part.native, NAME):
            return value
        out[-1]["thoughtSignature"] = value
        return None

    def _add_placeholders(self, wires: list[Wire], what: str) -> None:
        for wire in wires:
            if "thoughtSignature" not in wire:
                wire["thoughtSignature"] = SKIP_SIGNATURE
                warning = f"A {what} without its thought signature was sent with Gemini's placeholder"
                self._losses.report("reasoning_signature", warning)

    # parts

    def _part(self, part: Part, role: str = "assistant") -> list[Wire]:
        """Return Gemini's parts for ``part``: one, several for a tool result with media, none if it was left out."""
        if isinstance(part, OpaquePart):
            own = own_block(part, role, NAME, self._losses)
            return [] if own is None else [own]
        encoder = _ENCODERS.get(type(part))
        return encoder(self, part) if encoder else []

    def _text(self, part: TextPart | RefusalPart) -> list[Wire]:
        return [{"text": part.text}] if part.text else []

    def _image(self, part: ImagePart) -> list[Wire]:
        wire = self._media(part.data, part.url, part.file_id, part.media_type, "image/jpeg")
        level = _RESOLUTIONS.get(part.detail or "")
        if level and self._family.media_results:
            wire["mediaResolution"] = {"level": level}
        elif level:
            self._losses.report("image_detail")
        return [{**wire, **own_members(part.native, NAME)}]

    def _audio(self, part: AudioPart) -> list[Wire]:
        if part.data is None and part.transcript:
            self._losses.report("tool_result", "Earlier speech was sent as its transcript")
            return [{"text": part.transcript}]
        if part.data is None:
            self._losses.report("audio", "Gemini does not accept earlier audio by its id")
        return [{"inlineData": {"mimeType": audio_type(part), "data": part.data}}]

    def _file(self, part: FilePart) -> list[Wire]:
        data, media_type = part.data, part.media_type
        if part.text is not None:
            data, media_type = encode_base64(part.text), media_type or "text/plain"
        default = media_type_of(part.filename) or "application/pdf"
        wire = self._media(data, part.url, part.file_id, media_type, default)
        if part.filename and self._options.display_names:
            next(iter(wire.values()))["displayName"] = part.filename
        elif part.filename:
            self._losses.report("filename", "The file's name was left out")
        return [{**wire, **own_members(part.native, NAME)}]

    def _media(
        self, data: str | None, url: str | None, file_id: str | None, media_type: str | None, default: str
    ) -> Wire:
        """Return inline data, or a reference that Google resolves; the gateway fetches nothing."""
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
            return {"fileData": {"fileUri": uri}}  # Google knows the type of its own files
        return {"fileData": {"mimeType": media_type or default, "fileUri": uri}}

    def _call(self, part: ToolCallPart) -> list[Wire]:
        call = {"name": part.name, "args": call_input(part, self._losses), **_id(part.id)}
        wire: Wire = {"functionCall": call}
        if self._context.accepts(part.signature, NAME) and part.signature is not None:
            wire["thoughtSignature"] = part.signature.value
        elif part.signature is not None:
            self._losses.report("reasoning_signature", "Another provider's signature was left out")
        return [wire]

    def _result(self, part: ToolResultPart) -> list[Wire]:
        """Return a functionResponse, with its media inside if the family takes them there, else after it."""
        name = part.name or self._names.get(part.call_id)
        if name is None:
            warning = f"No call '{part.call_id}' precedes its result; the id was sent as its name"
            self._losses.report("tool_result", warning)
        text = "".join(p.text for p in part.content if isinstance(p, TextPart))
        media = [wire for p in part.content if not isinstance(p, TextPart) for wire in self._part(p, "tool")]
        response = _response(text, part.is_error)
        body: Wire = {"name": name or part.call_id, "response": response, **_id(part.call_id)}
        if media and self._family.media_results:
            body["parts"], media = media, []
        if media:
            self._losses.report("tool_result", "Images and files of a tool's result were sent beside it")
        return [{"functionResponse": body}, *media]


_ENCODERS: Final[Mapping[type, Callable[[ContentsEncoder, Any], list[Wire]]]] = {
    TextPart: ContentsEncoder._text,
    RefusalPart: ContentsEncoder._text,
    ImagePart: ContentsEncoder._image,
    AudioPart: ContentsEncoder._audio,
    FilePart: ContentsEncoder._file,
    ToolCallPart: ContentsEncoder._call,
    ToolResultPart: ContentsEncoder._result,
}


def _inline_image(part: Part) -> Part:
    """Return the image of an ``image_generation_call`` item of OpenAI's; any other part unchanged."""
    if not isinstance(part, OpaquePart) or part.type != "image_generation_call":
        return part
    result, image_format = part.native[1].get("result"), as_str(part.native[1].get("output_format"))
    if not isinstance(result, str):
        return part
    if result.startswith(("https://", "http://")):
        return ImagePart(url=result)
    return ImagePart(result, f"image/{image_format or 'png'}")


def _id(call_id: str) -> Wire:
    return {"id": call_id} if call_id else {}


def _empty_text(signature: str) -> Wire:
    return {"text": "", "thoughtSignature": signature}


def _response(text: str, is_error: bool) -> Wire:
    """Return the ``response`` of a functionResponse.

    JSON that survives unchanged is sent as an object, anything else under ``output``; an error is under
    ``error`` (the two keys that Google's FunctionResponse gives a meaning).
    """
    value = faithful_value(text)
    result = value if isinstance(value, dict) else None
    if is_error:
        return {"error": text if result is None else result}
    return {"output": text} if result is None else result
