"""Chat messages of a client's request, decoded as canonical messages.

All roles and part types of OpenAI's API are decoded, and vendors' additions: reasoning in assistant
messages, documents by URL, and cache marks (which stay native members).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from app.canonical.request import (
    AudioPart,
    FilePart,
    Message,
    Native,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    Signature,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from app.dialects.chat.annotations import annotations_of
from app.dialects.chat.options import NAME
from app.dialects.chat.reasoning import Sign, decode_reasoning, sign_calls, thought_signature
from app.dialects.shared.lenient_json import image_of, split_data_url
from app.dialects.shared.members import native_rest
from app.dialects.shared.strict_json import ClientObject, wrong_type, wrong_value

_ROLES: Final = "'system', 'developer', 'user', 'assistant', 'tool' and 'function'"
_TEXT_MEMBERS: Final = frozenset({"role", "content", "name"})
_ASSISTANT: Final = _TEXT_MEMBERS | {
    "refusal",
    "audio",
    "tool_calls",
    "function_call",
    "reasoning",
    "reasoning_content",
    "reasoning_details",
    "annotations",
    "extra_content",
    "images",
    "tool_call_id",
}
_PLAIN: Final = _TEXT_MEMBERS | {"refusal", "reasoning", "annotations", "tool_calls", "tool_call_id"}
_TOOL: Final = _TEXT_MEMBERS | {"tool_call_id"}
_CALL: Final = frozenset({"id", "call_id", "type", "function", "index", "name", "arguments"})


class MessageReader:
    """Decodes the ``messages`` of one body in order; results get the name and kind of their call.

    ``unwrap`` opens the gateway's own sealed signatures (``ServerContext.unwrap``).
    """

    def __init__(self, unwrap: Callable[[str], Signature | None]) -> None:
        self._unwrap = unwrap
        self._calls: dict[str, ToolCallPart] = {}
        self._pending: list[str] = []  # ids of ``function_call`` without a result yet

    def read(self, message: ClientObject) -> Message:
        """Return one message; raises ``bad_request`` with the path of a wrong member."""
        role = message.required_text("role")
        reader = _READERS.get(role)
        if reader is None:
            raise wrong_value(message.at("role"), role, _ROLES)
        return reader(self, message)

    def _message(self, message: ClientObject) -> Message:
        role: Role = message.members["role"]
        native = _native(message, _PLAIN)
        return Message(role, decode_content(message), name=message.text("name"), native=native)

    def _assistant(self, message: ClientObject) -> Message:
        sign = self.sign
        calls = [decode_call(call, sign) for call in message.objects("tool_calls")]
        calls = sign_calls([*calls, *self._legacy_call(message)], message.members, sign)
        self._calls.update((call.id, call) for call in calls)
        pictures = _pictures(message, sign)
        parts = (
            *(part for part in self._reasoning(message, sign) if not _signs(part, pictures)),
            *_with_annotations(message),
            *(RefusalPart(text) for text in [message.text("refusal")] if text),
            *(AudioPart(audio_id=audio.required_text("id")) for audio in [message.object("audio")] if audio),
            *pictures,
            *calls,
        )
        return Message("assistant", parts, name=message.text("name"), native=_native(message, _ASSISTANT))

    def sign(self, text: str) -> Signature:
        """Return the signature that is sealed in ``text``, or ``text`` itself as a native signature."""
        return self._unwrap(text) or Signature(text, "chat")

    @staticmethod
    def _reasoning(message: ClientObject, sign: Sign) -> list[Part]:
        for name in ("reasoning", "reasoning_content"):
            value = message.members.get(name)
            if isinstance(value, list):  # a request type of one vendor allows text parts
                text = "".join(piece.text("text") or "" for piece in message.objects(name))
                return [ReasoningPart(text)] if text else []
            message.text(name)
        message.items("reasoning_details")
        parts = decode_reasoning(message.members, sign)
        if secret := thought_signature(message.members):
            parts.append(ReasoningPart("", "hidden", sign(secret)))
        return parts

    def _legacy_call(self, message: ClientObject) -> list[ToolCallPart]:
        """Return the call of the deprecated ``function_call``, with an id that its result will also get."""
        call = message.object("function_call")
        if call is None:
            return []
        identifier = f"call_function_{len(self._calls)}"
        self._pending.append(identifier)
        return [ToolCallPart(identifier, call.required_text("name"), call.text("arguments") or "{}")]

    def _tool(self, message: ClientObject) -> Message:
        call_id = message.required_text("tool_call_id")
        call = self._calls.get(call_id)
        result = ToolResultPart(
            call_id,
            decode_content(message),
            message.text("name") or (call.name if call else None),
            kind=call.kind if call else "function",
        )
        return Message("tool", (result,), name=message.text("name"), native=_native(message, _TOOL))

    def _function(self, message: ClientObject) -> Message:
        name = message.required_text("name")
        call_id = self._pending.pop(0) if self._pending else f"call_function_{name}"
        return Message("tool", (ToolResultPart(call_id, decode_content(message), name),))


_READERS: Final[Mapping[str, Callable[[MessageReader, ClientObject], Message]]] = {
    "system": MessageReader._message,
    "developer": MessageReader._message,
    "user": MessageReader._message,
    "assistant": MessageReader._assistant,
    "tool": MessageReader._tool,
    "function": MessageReader._function,
}


def decode_call(call: ClientObject, sign: Sign) -> ToolCallPart:
    """Return a function or custom tool call of an assistant message, with the thought signature that
    Gemini's OpenAI-compatible API has in ``extra_content``."""
    secret = thought_signature(call.members)
    signature = sign(secret) if secret else None
    custom = call.object("custom")
    if custom is not None or call.text("type") == "custom":
        custom = custom or ClientObject.of(None, call.at("custom"))
        native = _native(call, frozenset({"id", "type", "custom", "index"}))
        name, text = custom.required_text("name"), custom.text("input") or ""
        return ToolCallPart(call.required_text("id"), name, text, "custom", native=native)
    function = call.object("function") or call  # the flat form of Responses is accepted, too
    own = _CALL | {"extra_content"} if signature else _CALL
    identifier = call.text("id") or call.text("call_id") or call.required_text("id")
    arguments = function.text("arguments") or "{}"
    return ToolCallPart(
        identifier, function.required_text("name"), arguments, "function", signature, _native(call, own)
    )


def decode_content(message: ClientObject) -> tuple[Part, ...]:
    """Return the parts of a message's ``content``, which may be null, a string or an array of parts."""
    value = message.members.get("content")
    if value is None:
        return ()
    if isinstance(value, str):
        return (TextPart(value),)
    if not isinstance(value, list):
        raise wrong_type(message.at("content"), "a string or an array of objects", value)
    return tuple(decode_part(part) for part in message.objects("content"))


def decode_part(part: ClientObject) -> Part:
    """Return one content part; an unknown type becomes an opaque part."""
    kind = part.required_text("type")
    reader = _PARTS.get(kind)
    return OpaquePart(kind, ("chat", dict(part.members))) if reader is None else reader(part)


def _text(part: ClientObject) -> Part:
    return TextPart(part.required_text("text"), native=_native(part, frozenset({"type", "text"})))


def _refusal(part: ClientObject) -> Part:
    return RefusalPart(part.required_text("refusal"), native=_native(part, frozenset({"type", "refusal"})))


def _image(part: ClientObject) -> Part:
    value = part.members.get("image_url")
    if isinstance(value, str):
        image = ClientObject({"url": value, "detail": part.members.get("detail")}, part.at("image_url"))
    else:
        image = ClientObject.of(value, part.at("image_url"))
    native = _native(part, frozenset({"type", "image_url", "detail"}))
    return image_of(image.required_text("url"), detail=image.text("detail"), native=native)


def _sound(part: ClientObject) -> Part:
    native = _native(part, frozenset({"type", "input_audio"}))
    value = part.members.get("input_audio")
    if isinstance(value, str):
        return AudioPart(value, native=native)
    audio = ClientObject.of(value, part.at("input_audio"))
    return AudioPart(audio.required_text("data"), audio.text("format"), native=native)


def _file(part: ClientObject) -> Part:
    native = _native(part, frozenset({"type", "file", "file_id"}))
    if isinstance(part.members.get("file_id"), str):
        return FilePart(file_id=part.members["file_id"], native=native)
    file = ClientObject.of(part.members.get("file"), part.at("file"))
    name, data, file_id = file.text("filename"), file.text("file_data"), file.text("file_id")
    if data is None:
        return FilePart(file_id=file_id or file.required_text("file_id"), filename=name, native=native)
    return _document(data, name, native)


def _document(source: str, name: str | None, native: Native | None) -> FilePart:
    """Return a document by its data URL, URL or base64 text."""
    if (inline := split_data_url(source)) is not None:
        return FilePart(inline[1], media_type=inline[0], filename=name, native=native)
    if source.startswith(("http://", "https://")):
        return FilePart(url=source, filename=name, native=native)
    return FilePart(source, filename=name, native=native)


def _document_url(member: str, name_member: str) -> Callable[[ClientObject], Part]:
    def read(part: ClientObject) -> Part:
        value = part.members.get(member)
        url = (
            value if isinstance(value, str) else ClientObject.of(value, part.at(member)).required_text("url")
        )
        native = _native(part, frozenset({"type", member, name_member}))
        return _document(url, part.text(name_member), native)

    return read


def _thinking(part: ClientObject) -> Part:
    """Return Mistral's thinking part: a list of text parts, and a signature."""
    text = "".join(piece.text("text") or "" for piece in part.objects("thinking"))
    secret = part.text("signature")
    native = _native(part, frozenset({"type", "thinking", "signature"}))
    return ReasoningPart(text, "text", Signature(secret, "chat") if secret else None, native)


_PARTS: Final[Mapping[str, Callable[[ClientObject], Part]]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "refusal": _refusal,
    "image_url": _image,
    "input_audio": _sound,
    "file": _file,
    "document_url": _document_url("document_url", "document_name"),
    "file_url": _document_url("file_url", "file_name"),
    "pdf_url": _document_url("pdf_url", "file_name"),
    "thinking": _thinking,
}


def _with_annotations(message: ClientObject) -> tuple[Part, ...]:
    """Return the content of an assistant message, with the annotations of the message on its last text."""
    parts = list(decode_content(message))
    annotations = annotations_of(message.members)
    for index in range(len(parts) - 1, -1, -1):
        part = parts[index]
        if annotations and isinstance(part, TextPart):
            parts[index] = TextPart(part.text, annotations, native=part.native)
            break
    return tuple(parts)


def _pictures(message: ClientObject, sign: Sign) -> list[Part]:
    """Return the generated images of an assistant message (``images``), each behind its thought signature."""
    parts: list[Part] = []
    for entry in message.objects("images"):
        secret = thought_signature(entry.members)
        if secret:
            parts.append(ReasoningPart("", "hidden", sign(secret)))
        image = ClientObject.of(entry.members.get("image_url"), entry.at("image_url"))
        parts.append(image_of(image.required_text("url")))
    return parts


def _signs(part: Part, pictures: list[Part]) -> bool:
    """Tell whether a reasoning part is a signature that one of the images has as well."""
    signatures = [other.signature for other in pictures if isinstance(other, ReasoningPart)]
    return isinstance(part, ReasoningPart) and part.form == "hidden" and part.signature in signatures


def _native(members: ClientObject, own: frozenset[str]) -> Native | None:
    return native_rest(NAME, members.members, own)
