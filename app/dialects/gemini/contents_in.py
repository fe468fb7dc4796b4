"""Gemini's ``contents`` as a client writes them, read into canonical messages (server half).

A signature of a text becomes hidden reasoning before it; one that we sealed for another maker
is opened and stands where that maker needs it. Calls and results that came without ids are
joined by their names, in order.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby
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
from app.dialects.gemini.contents_out import NAME
from app.dialects.gemini.members import Members, unpack
from app.dialects.gemini.stream_in import audio_format
from app.dialects.shared.lenient_json import json_text, without_nulls
from app.dialects.shared.media_types import media_type_of
from app.dialects.shared.strict_json import missing, wrong_value

_ROLES: Final = {"user": "user", "model": "assistant", "function": "user", "": "user"}
_DETAILS: Final[Mapping[str, str]] = {
    "MEDIA_RESOLUTION_LOW": "low",
    "MEDIA_RESOLUTION_HIGH": "high",
    "MEDIA_RESOLUTION_ULTRA_HIGH": "original",
}
_KINDS: Final = ("functionCall", "functionResponse", "inlineData", "fileData", "text")
_NATIVE_MEMBERS: Final = ("videoMetadata", "mediaProcessing")


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
        texts = tuple(part for part in parts if part != TextPart(""))
        return [Message("system", texts)] if texts else []

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
        if not text and signature is not None and signature.thought is not None:
            return [_hidden_thought(signature)]
        if not text:
            return [ReasoningPart(form="hidden", signature=signature, native=_SIGNED)] if signature else []
        return [_sign(ReasoningPart(text, "summary"), signature)]

    def _call(self, entry: Members) -> list[Part]:
        """A signature may hold a thought that the client was not shown, which goes before its call."""
        signature = self._signature(entry)
        thought = (
            [_hidden_thought(signature)] if signature is not None and signature.thought is not None else []
        )
        call = _object(entry, "functionCall")
        self._calls += 1
        name = call.required_text("name")
        identity = call.text("id") or f"call_{self._calls}"
        self._waiting[name].append(identity)
        arguments = json_text(call.mapping("args") or {})
        return [*thought, ToolCallPart(identity, name, arguments, signature=None if thought else signature)]

    def _response(self, entry: Members) -> list[Part]:
        result = _object(entry, "functionResponse")
        name = result.required_text("name")
        response = result.mapping("response") or {}
        native = without_nulls({name: result.members.get(name) for name in ("willContinue", "scheduling")})
        member = next(iter(response)) if len(response) == 1 else None
        value = response[member] if member in {"output", "error"} else response
        text = value if isinstance(value, str) else json_text(value)
        media = [part for inner in result.objects("parts") for part in self._part(inner)]
        return [
            ToolResultPart(
                self._call_id(name, result.text("id")),
                (TextPart(text), *media),
                name,
                is_error=member == "error",
                native=(NAME, native) if native else None,
            )
        ]

    def _call_id(self, name: str, identity: str | None) -> str:
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
        native = _native(entry)
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
        native = _native(entry)
        if media_type is not None and media_type.startswith("image/"):
            return [ImagePart(url=uri, media_type=media_type, detail=_detail(entry), native=native)]
        return [FilePart(url=uri, filename=name, media_type=media_type, native=native)]


def join_pieces(messages: Iterable[Message]) -> list[Message]:
    """Join what a client kept of a stream, chunk by chunk: adjacent turns of the model, the pieces
    of one text, and those of one thought with the signature that came behind them. The empty text
    of a last chunk says nothing."""
    joined: list[Message] = []
    for role, turns in groupby(messages, key=lambda message: message.role):
        if role == "assistant":
            parts = [part for turn in turns for part in turn.parts]
            pieces = [part for part in parts if part != TextPart("")] or parts[:1]
            joined.append(Message(role, tuple(_join(pieces))))
        else:
            joined += turns
    return joined


def _join(parts: Iterable[Part]) -> Iterator[Part]:
    last: Part | None = None
    pieces: list[str] = []
    for part in parts:
        if isinstance(part, TextPart | ReasoningPart) and _continues(last, part):
            pieces.append(part.text)
            if isinstance(part, ReasoningPart) and isinstance(last, ReasoningPart):
                last = _sign(last, part.signature)
            continue
        yield from _whole(last, pieces)
        last, pieces = part, []
    yield from _whole(last, pieces)


def _continues(last: Part | None, part: TextPart | ReasoningPart) -> bool:
    if isinstance(part, TextPart):
        return isinstance(last, TextPart)
    unsigned = isinstance(last, ReasoningPart) and last.form != "hidden" and last.signature is None
    return unsigned and (part.form != "hidden" or part.native == _SIGNED)


def _whole(part: Part | None, pieces: list[str]) -> Iterator[Part]:
    if isinstance(part, ReasoningPart) and part.form == "hidden":
        yield replace(part, native=None)
    elif isinstance(part, TextPart | ReasoningPart) and pieces:
        yield replace(part, text="".join((part.text, *pieces)))
    elif part is not None:
        yield part


def _hidden_thought(signature: Signature) -> ReasoningPart:
    """Return the thought that a signature holds."""
    form, text = signature.thought or ("hidden", "")
    return ReasoningPart(text, form, replace(signature, thought=None))


_SIGNED: Final = (NAME, {"signed": True})


def _sign(part: ReasoningPart, signature: Signature | None) -> ReasoningPart:
    """Return a thought with its signature: Google's thoughts are summaries, others' are open."""
    if signature is None:
        return part
    if signature.dialect == NAME:
        return replace(part, signature=signature, native=_SIGNED)
    return replace(part, form="text", signature=signature)


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


def _native(entry: Members) -> tuple[str, dict[str, Any]] | None:
    """Return the members of a part that only Gemini understands."""
    found = without_nulls({name: entry.members.get(name) for name in _NATIVE_MEMBERS})
    return (NAME, found) if found else None
