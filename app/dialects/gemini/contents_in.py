"""Decode Gemini's ``contents`` (server half).

The signature of a text becomes hidden reasoning before it; one that the gateway sealed for
another provider is opened and put where that provider needs it. Calls and results without
ids are matched by name, in order.
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
    Native,
    OpaquePart,
    Part,
    ReasoningPart,
    Signature,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from app.dialects.gemini.members import Members, unpack
from app.dialects.gemini.options import NAME, audio_format
from app.dialects.shared.lenient_json import json_text, rest, without_nulls
from app.dialects.shared.media_types import media_type_of
from app.dialects.shared.members import own_members
from app.dialects.shared.strict_json import missing

_ROLES: Final = {"user": "user", "model": "assistant", "function": "user", "": "user"}
_DETAILS: Final[Mapping[str, str]] = {
    "MEDIA_RESOLUTION_LOW": "low",
    "MEDIA_RESOLUTION_HIGH": "high",
    "MEDIA_RESOLUTION_ULTRA_HIGH": "original",
}
_NATIVE_MEMBERS: Final = ("videoMetadata", "mediaProcessing")


class ContentsReader:
    """Decode the contents of one request; ``unwrap`` opens signatures that the gateway sealed."""

    def __init__(self, unwrap: Callable[[str], Signature | None]) -> None:
        self._unwrap = unwrap
        self._calls = 0
        self._waiting: defaultdict[str, deque[str]] = defaultdict(deque)

    def content(self, content: Members) -> list[Message]:
        """Return one turn as messages: function responses are messages of their own."""
        role = content.word("role", _ROLES, "'user' and 'model'") or ""
        if content.members.get("parts") is None:
            raise missing(content.at("parts"))
        parts = self._parts(content)
        groups = groupby(parts, lambda part: "tool" if isinstance(part, ToolResultPart) else _ROLES[role])
        return [Message(group, tuple(members)) for group, members in groups]  # type: ignore[arg-type]

    def system(self, content: Members) -> list[Message]:
        """Return the system instruction as a message, none if it is empty."""
        texts = tuple(part for part in self._parts(content) if part != TextPart(""))
        return [Message("system", texts)] if texts else []

    def _parts(self, content: Members) -> list[Part]:
        return [part for entry in content.objects("parts") for part in self._part(entry)]

    def _part(self, entry: Members) -> list[Part]:
        kind = next((name for name in _READERS if entry.members.get(name) is not None), None)
        if kind is not None:
            return _READERS[kind](self, entry)
        signature = self._signature(entry)
        if others := rest(entry.members, frozenset({"thoughtSignature", "thought"})):
            return [OpaquePart(next(iter(others)), (NAME, dict(entry.members)))]
        return _hidden_thought(signature)

    def _signature(self, entry: Members) -> Signature | None:
        """Return the part's signature: one that the gateway sealed, or Google's own."""
        value = entry.base64("thoughtSignature")
        if not value:
            return None
        token = unpack(value)
        signature = self._unwrap(token) if token is not None else None
        return signature or Signature(str(entry.members["thoughtSignature"]), NAME)

    def _text(self, entry: Members) -> list[Part]:
        text, signature = entry.text("text") or "", self._signature(entry)
        if not entry.flag("thought"):
            return (
                [*_hidden_thought(signature), TextPart(text)]
                if text or not signature
                else _hidden_thought(signature)
            )
        if text:
            return [_sign(ReasoningPart(text, "summary"), signature)]
        return _sealed_thought(signature) or _hidden_thought(signature, _SIGNED)

    def _call(self, entry: Members) -> list[Part]:
        """Return a call, after the thought that its signature may hold."""
        signature = self._signature(entry)
        thought = _sealed_thought(signature)
        call = entry.required_object("functionCall")
        self._calls += 1
        name = call.required_text("name")
        call_id = call.text("id") or f"call_{self._calls}"
        self._waiting[name].append(call_id)
        arguments = json_text(call.mapping("args") or {})
        return [*thought, ToolCallPart(call_id, name, arguments, signature=None if thought else signature)]

    def _response(self, entry: Members) -> list[Part]:
        result = entry.required_object("functionResponse")
        name = result.required_text("name")
        response = result.mapping("response") or {}
        native = without_nulls({name: result.members.get(name) for name in ("willContinue", "scheduling")})
        member = next(iter(response)) if len(response) == 1 else None
        value = response[member] if member in {"output", "error"} else response
        text = value if isinstance(value, str) else json_text(value)
        content = (TextPart(text), *self._parts(result))
        call_id = self._call_id(name, result.text("id"))
        own = (NAME, native) if native else None
        return [ToolResultPart(call_id, content, name, is_error=member == "error", native=own)]

    def _call_id(self, name: str, own: str | None) -> str:
        """Return the id of a response's call: its own, else that of the first call without a response."""
        waiting = self._waiting[name]
        if own is None:
            return waiting.popleft() if waiting else name
        if waiting and waiting[0] == own:
            waiting.popleft()
        return own

    def _inline(self, entry: Members) -> list[Part]:
        blob = entry.required_object("inlineData")
        media_type, data = blob.required_text("mimeType"), blob.base64("data")
        if data is None:
            raise missing(blob.at("data"))
        native = _native(entry)
        if media_type.startswith("image/"):
            return [ImagePart(data, media_type, detail=_detail(entry), native=native)]
        if media_type.startswith("audio/"):
            audio = (NAME, {"mimeType": media_type, **own_members(native, NAME)})
            return [AudioPart(data, audio_format(media_type), native=audio)]
        name = blob.text("displayName")
        return [FilePart(data, filename=name, media_type=media_type, native=native)]

    def _reference(self, entry: Members) -> list[Part]:
        file = entry.required_object("fileData")
        uri, name = file.required_text("fileUri"), file.text("displayName")
        media_type = file.text("mimeType") or media_type_of(uri)
        native = _native(entry)
        if media_type is not None and media_type.startswith("image/"):
            return [ImagePart(url=uri, media_type=media_type, detail=_detail(entry), native=native)]
        return [FilePart(url=uri, filename=name, media_type=media_type, native=native)]


def join_pieces(messages: Iterable[Message]) -> list[Message]:
    """Join the model's turns, for clients that store a stream chunk by chunk.

    The pieces of a text become one part, and those of a thought with the signature after them.
    Empty texts, such as that of the last chunk, are dropped.
    """
    result: list[Message] = []
    for role, turns in groupby(messages, key=lambda message: message.role):
        if role == "assistant":
            parts = [part for turn in turns for part in turn.parts]
            pieces = [part for part in parts if part != TextPart("")] or parts[:1]
            result.append(Message(role, tuple(_join(pieces))))
        else:
            result += turns
    return result


def _join(parts: Iterable[Part]) -> Iterator[Part]:
    last: Part | None = None
    pieces: list[str] = []
    for part in parts:
        if isinstance(part, TextPart | ReasoningPart) and _continues(last, part):
            pieces.append(part.text)
            if isinstance(part, ReasoningPart) and isinstance(last, ReasoningPart):
                last = _sign(last, part.signature)
            continue
        yield from _with_pieces(last, pieces)
        last, pieces = part, []
    yield from _with_pieces(last, pieces)


def _continues(last: Part | None, part: TextPart | ReasoningPart) -> bool:
    if isinstance(part, TextPart):
        return isinstance(last, TextPart)
    unsigned = isinstance(last, ReasoningPart) and last.form != "hidden" and last.signature is None
    return unsigned and (part.form != "hidden" or part.native == _SIGNED)


def _with_pieces(part: Part | None, pieces: list[str]) -> Iterator[Part]:
    if isinstance(part, ReasoningPart) and part.form == "hidden":
        yield replace(part, native=None)
    elif isinstance(part, TextPart | ReasoningPart) and pieces:
        yield replace(part, text="".join((part.text, *pieces)))
    elif part is not None:
        yield part


_SIGNED: Final = (NAME, {"signed": True})
"""Marks the signature of a thought, which the thought before it may lack."""


def _hidden_thought(signature: Signature | None, native: Native | None = None) -> list[Part]:
    """Return a signature as hidden reasoning."""
    return [ReasoningPart(form="hidden", signature=signature, native=native)] if signature else []


def _sealed_thought(signature: Signature | None) -> list[Part]:
    """Return the thought that is sealed in a signature because the client was not shown it."""
    if signature is None or signature.thought is None:
        return []
    form, text = signature.thought
    return [ReasoningPart(text, form, replace(signature, thought=None))]


def _sign(part: ReasoningPart, signature: Signature | None) -> ReasoningPart:
    """Return a thought with its signature: Google's thoughts are summaries, others' are full texts."""
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


def _detail(entry: Members) -> str | None:
    resolution = entry.members.get("mediaResolution")
    level = Members(resolution).text("level") if isinstance(resolution, dict) else resolution
    return _DETAILS.get(level) if isinstance(level, str) else None


def _native(entry: Members) -> tuple[str, dict[str, Any]] | None:
    """Return the members of a part that only Gemini has."""
    members = without_nulls({name: entry.members.get(name) for name in _NATIVE_MEMBERS})
    return (NAME, members) if members else None
