"""Gemini's ``contents`` as a client writes them, read into canonical messages (server half).

A signature of a text becomes hidden reasoning before it; one that we sealed for another maker
is opened and stands where that maker needs it. Calls and results that came without ids are
joined by their names, in order.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from app.canonical.request import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    Signature,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from app.dialects.gemini.members import Members, unpack
from app.dialects.gemini.parts import NAME
from app.dialects.gemini.stream import audio_format
from app.dialects.shared.checking import missing, wrong_value
from app.dialects.shared.media_types import media_type_of
from app.dialects.shared.reading import json_text, present

_ROLES: Final = {"user": "user", "model": "assistant", "function": "user", "": "user"}
_DETAILS: Final[Mapping[str, str]] = {
    "MEDIA_RESOLUTION_LOW": "low",
    "MEDIA_RESOLUTION_HIGH": "high",
    "MEDIA_RESOLUTION_ULTRA_HIGH": "original",
}
_KINDS: Final = ("functionCall", "functionResponse", "inlineData", "fileData", "text")
_KEPT: Final = ("videoMetadata", "mediaProcessing")


class ContentsReader:
    """Reads the contents of one request; ``unwrap`` opens the tokens that we sealed."""

    def __init__(self, unwrap: Callable[[str], Signature | None]) -> None:
        self._unwrap = unwrap
        self._calls = 0
        self._waiting: defaultdict[str, deque[str]] = defaultdict(deque)

    def content(self, content: Members) -> list[Message]:
        """Return one turn as messages: function responses are a message of their own."""
        role = content.text("role") or ""
        if role not in _ROLES:
            raise wrong_value(content.at("role"), role, "'user' and 'model'")
        if content.members.get("parts") is None:
            raise missing(content.at("parts"))
        groups: list[tuple[str, list[Part]]] = []
        for part in (made for entry in content.objects("parts") for made in self._part(entry)):
            group = "tool" if isinstance(part, ToolResultPart) else _ROLES[role]
            if not groups or groups[-1][0] != group:
                groups.append((group, []))
            groups[-1][1].append(part)
        return [Message(group, tuple(parts)) for group, parts in groups]  # type: ignore[arg-type]

    def system(self, content: Members) -> list[Message]:
        """Return the system instruction, which holds texts."""
        parts = tuple(part for entry in content.objects("parts") for part in self._part(entry))
        said = tuple(part for part in parts if part != TextPart(""))
        return [Message("system", said)] if said else []

    def _part(self, entry: Members) -> list[Part]:
        kind = next((name for name in _KINDS if entry.members.get(name) is not None), None)
        if kind is not None:
            return _READERS[kind](self, entry)
        signature = self._signature(entry)
        rest = [name for name in entry.members if name not in {"thoughtSignature", "thought"}]
        if rest:
            return [OpaquePart(rest[0], (NAME, dict(entry.members)))]
        return [ReasoningPart(form="hidden", signature=signature)] if signature else []

    def _signature(self, entry: Members) -> Signature | None:
        """Return the part's signature: bytes that hold a token of ours, or Google's own."""
        value = entry.base64("thoughtSignature")
        if not value:
            return None
        token = unpack(value)
        opened = self._unwrap(token) if token is not None else None
        return opened or Signature(str(entry.members["thoughtSignature"]), NAME)

    def _text(self, entry: Members) -> list[Part]:
        text, signature = entry.text("text") or "", self._signature(entry)
        if entry.flag("thought"):
            return self._thought(text, signature)
        hidden: list[Part] = [ReasoningPart(form="hidden", signature=signature)] if signature else []
        return [*hidden, TextPart(text)] if text or not hidden else hidden

    def _thought(self, text: str, signature: Signature | None) -> list[Part]:
        if not text:
            return [ReasoningPart(form="hidden", signature=signature)] if signature else []
        if signature is not None and signature.dialect != NAME:
            return [ReasoningPart(text, signature=signature)]
        native = (NAME, {"signed": True}) if signature else None
        return [ReasoningPart(text, "summary", signature, native)]

    def _call(self, entry: Members) -> list[Part]:
        call = _object(entry, "functionCall")
        self._calls += 1
        name = call.required_text("name")
        identity = call.text("id") or f"call_{self._calls}"
        self._waiting[name].append(identity)
        arguments = json_text(call.mapping("args") or {})
        return [ToolCallPart(identity, name, arguments, signature=self._signature(entry))]

    def _response(self, entry: Members) -> list[Part]:
        result = _object(entry, "functionResponse")
        name = result.required_text("name")
        response = result.mapping("response") or {}
        native = present({name: result.members.get(name) for name in ("willContinue", "scheduling")})
        told = next(iter(response)) if len(response) == 1 else None
        value = response[told] if told in {"output", "error"} else response
        text = value if isinstance(value, str) else json_text(value)
        media = [part for inner in result.objects("parts") for part in self._part(inner)]
        return [
            ToolResultPart(
                self._answered(name, result.text("id")),
                (TextPart(text), *media),
                name,
                is_error=told == "error",
                native=(NAME, native) if native else None,
            )
        ]

    def _answered(self, name: str, identity: str | None) -> str:
        """Return the id of the call that a response answers: its own, else the first that waits."""
        waiting = self._waiting[name]
        if identity is None:
            return waiting.popleft() if waiting else name
        if waiting and waiting[0] == identity:
            waiting.popleft()
        return identity

    def _inline(self, entry: Members) -> list[Part]:
        blob = _object(entry, "inlineData")
        media_type, data = blob.required_text("mimeType"), blob.base64("data")
        if data is None:
            raise missing(blob.at("data"))
        native = _kept(entry)
        if media_type.startswith("image/"):
            return [ImagePart(data, media_type, detail=_detail(entry), native=native)]
        if media_type.startswith("audio/"):
            sound = (NAME, {"mimeType": media_type, **(native[1] if native else {})})
            return [AudioPart(data, audio_format(media_type), native=sound)]
        name = blob.text("displayName")
        return [FilePart(data, filename=name, media_type=media_type, native=native)]

    def _reference(self, entry: Members) -> list[Part]:
        file = _object(entry, "fileData")
        uri, name = file.required_text("fileUri"), file.text("displayName")
        media_type = file.text("mimeType") or media_type_of(uri)
        native = _kept(entry)
        if media_type is not None and media_type.startswith("image/"):
            return [ImagePart(url=uri, media_type=media_type, detail=_detail(entry), native=native)]
        return [FilePart(url=uri, filename=name, media_type=media_type, native=native)]


_READERS: Final[Mapping[str, Callable[[ContentsReader, Members], list[Part]]]] = {
    "functionCall": ContentsReader._call,
    "functionResponse": ContentsReader._response,
    "inlineData": ContentsReader._inline,
    "fileData": ContentsReader._reference,
    "text": ContentsReader._text,
}


def _object(entry: Members, name: str) -> Members:
    value = entry.object(name)
    if value is None:
        raise missing(entry.at(name))
    return value


def _detail(entry: Members) -> str | None:
    resolution = entry.members.get("mediaResolution")
    level = Members(resolution).text("level") if isinstance(resolution, dict) else resolution
    return _DETAILS.get(level) if isinstance(level, str) else None


def _kept(entry: Members) -> tuple[str, dict[str, Any]] | None:
    """Return the members of a part that only Gemini understands."""
    found = present({name: entry.members.get(name) for name in _KEPT})
    return (NAME, found) if found else None
