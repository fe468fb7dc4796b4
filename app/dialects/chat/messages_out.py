"""Canonical messages written for a chat-completions wire, by its ``ChatOptions``.

Items of one assistant turn (reasoning, text, calls) become one message, since the wire
wants the results right after the calls. What a tool returned as pictures or files follows
in a user message, because tool messages hold text alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from app.canonical.request import (
    AudioPart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from app.dialects.base import ClientContext
from app.dialects.chat.annotations import nested_annotation
from app.dialects.chat.losses import report
from app.dialects.chat.native import own_members
from app.dialects.chat.options import KNOWN_MESSAGE_MEMBERS, ChatOptions
from app.dialects.chat.order import alternate, separate_tool_turns
from app.dialects.chat.parts_out import PartWriter, admitted
from app.dialects.chat.reasoning import call_entry, encode_entries
from app.dialects.shared.lenient_json import data_url
from app.dialects.shared.tool_forms import call_text

_SHORT_ID: Final = re.compile(r"[A-Za-z0-9]{9}\Z")
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

Json = dict[str, Any]


def short_id(identifier: str) -> str:
    """Return a tool call id of nine letters or digits: the id itself when it is one, else
    one made of its hash, so that call and result keep meeting."""
    if _SHORT_ID.match(identifier):
        return identifier
    number = int.from_bytes(hashlib.sha256(identifier.encode()).digest()[:8], "big")
    digits = []
    for _ in range(9):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(digits)


class MessageWriter:
    """Write the messages of one request."""

    def __init__(self, context: ClientContext, options: ChatOptions) -> None:
        self._context = context
        self._options = options
        self._parts = PartWriter(context, options)
        self._attached: list[Json] = []

    def write(self, request: Request) -> list[Json]:
        """Return the wire's messages; instructions come first as a system message."""
        messages = list(request.messages)
        if request.instructions:
            messages.insert(0, Message("system", (TextPart(request.instructions),)))
        if request.origin is None or request.origin.dialect != "chat":
            messages = joined_turns(messages)
        written: list[Json] = []
        for message in messages:
            if message.role != "tool":
                written += self._attachments()
            written += self._message(message)
        written += self._attachments()
        if self._options.alternates:
            written = alternate(written, self._context.losses)
        if self._options.answers_tools:
            written = separate_tool_turns(written, self._context.losses)
        if self._options.prefix and written and written[-1]["role"] == "assistant":
            written[-1]["prefix"] = True
        return written

    def _message(self, message: Message) -> Iterable[Json]:
        if message.role == "tool":
            return [self._result(message, part) for part in message.parts if isinstance(part, ToolResultPart)]
        if message.role == "assistant":
            return self._assistant(message)
        role = "system" if message.role == "developer" and not self._options.developer_role else message.role
        content = self._parts.content(message.parts)
        return [{"role": role, "content": "" if content is None else content, **self._name_members(message)}]

    def _name_members(self, message: Message) -> Json:
        """The name and the native members that the wire takes on a message."""
        members = admitted(
            message.native, self._options.message_members, KNOWN_MESSAGE_MEMBERS, self._context, self._options
        )
        if message.name is not None and self._options.names:
            return {"name": message.name, **members}
        if message.name is not None:
            report(self._context.losses, "message_name")
        return members

    def _result(self, message: Message, result: ToolResultPart) -> Json:
        texts = [part for part in result.content if isinstance(part, TextPart)]
        others = [part for part in result.content if not isinstance(part, TextPart)]
        if others:
            warning = "pictures and files of a tool result were sent in a user message after it"
            self._context.losses.report("tool_result", warning)
            self._attached += self._parts.pieces(others)
        if result.is_error:
            self._context.losses.report("tool_result", "the error mark of a tool result was left out")
        content = self._parts.content(texts)
        identifier = short_id(result.call_id) if self._options.short_ids else result.call_id
        body: Json = {
            "role": "tool",
            "tool_call_id": identifier,
            "content": "" if content is None else content,
        }
        if message.name is not None:
            body["name"] = message.name
        members = admitted(
            message.native, self._options.message_members, KNOWN_MESSAGE_MEMBERS, self._context, self._options
        )
        return {**body, **members}

    def _attachments(self) -> list[Json]:
        attached, self._attached = self._attached, []
        return [{"role": "user", "content": attached}] if attached else []

    def _assistant(self, message: Message) -> Iterable[Json]:
        parts = message.parts
        thoughts = [part for part in parts if isinstance(part, ReasoningPart)]
        calls = [part for part in parts if isinstance(part, ToolCallPart)]
        body: Json = {"role": "assistant", "content": self._content(parts, thoughts)}
        body |= self._refusal(parts) | self._audio(parts) | self._annotations(parts) | self._pictures(parts)
        body |= self._reasoning(thoughts, calls, parts)
        if calls:
            body["tool_calls"] = [self._call(call) for call in calls]
        body |= self._name_members(message)
        return [body] if body["content"] is not None or len(body) > 2 else []

    def _content(self, parts: Sequence[Part], thoughts: Sequence[ReasoningPart]) -> Any:
        content = [part for part in parts if not isinstance(part, _APART) and self._is_content(part)]
        if self._options.history == "thinking" and thoughts:
            return self._thinking(thoughts) + self._parts.pieces(content)
        pieces = self._parts.pieces(content)
        if pieces and all(piece.keys() == {"type", "text"} and piece["type"] == "text" for piece in pieces):
            return "".join(piece["text"] for piece in pieces)
        return pieces or None

    def _is_content(self, part: Part) -> bool:
        if isinstance(part, RefusalPart):
            return not self._options.refusals
        if isinstance(part, AudioPart):
            return part.audio_id is None
        if isinstance(part, ImagePart):
            return False
        return not isinstance(part, OpaquePart) or self._own_opaque(part)

    def _own_opaque(self, part: OpaquePart) -> bool:
        """A hosted tool's item of another dialect has no place in this history."""
        own = own_members(part.native)
        if own:
            return "reasoning_details" not in own
        report(self._context.losses, "hosted_item")
        return False

    def _refusal(self, parts: Sequence[Part]) -> Json:
        texts = [part.text for part in parts if isinstance(part, RefusalPart)]
        return {"refusal": "".join(texts)} if texts and self._options.refusals else {}

    def _audio(self, parts: Sequence[Part]) -> Json:
        spoken = next((part for part in parts if isinstance(part, AudioPart) and part.audio_id), None)
        if spoken is None:
            return {}
        if not self._options.takes("audio"):
            report(self._context.losses, "audio")
        return {"audio": {"id": spoken.audio_id}}

    def _pictures(self, parts: Sequence[Part]) -> Json:
        """Pictures that a model made go back where the wire has them on its messages."""
        made = [part for part in parts if isinstance(part, ImagePart)]
        if not made:
            return {}
        if "images" not in self._options.message_members and not self._options.open_members:
            report(self._context.losses, "hosted_item")
            return {}
        urls = [part.url if part.data is None else data_url(part.media_type, part.data) for part in made]
        return {"images": [{"type": "image_url", "image_url": {"url": url}} for url in urls]}

    def _annotations(self, parts: Sequence[Part]) -> Json:
        """Annotations tell the model nothing; they go back only where a router reads them."""
        if "annotations" not in self._options.message_members:
            return {}
        flat = [row for part in parts if isinstance(part, TextPart) for row in part.annotations]
        nested = [row for row in map(nested_annotation, flat) if row is not None]
        return {"annotations": nested} if nested else {}

    def _thinking(self, thoughts: Sequence[ReasoningPart]) -> list[Json]:
        written = []
        for part in thoughts:
            secret = self._secret(part)
            if not part.text:
                continue
            own = own_members(part.native)
            signed = {"signature": secret} if secret else {}
            own.pop("format", None)
            piece = {"type": "thinking", "thinking": [{"type": "text", "text": part.text}], **own, **signed}
            written.append({name: value for name, value in piece.items() if name in _THINKING})
        return written

    def _reasoning(
        self, thoughts: Sequence[ReasoningPart], calls: Sequence[ToolCallPart], parts: Sequence[Part]
    ) -> Json:
        return _SLOTS[self._options.history](self, thoughts, calls, parts)

    def _no_slot(
        self, thoughts: Sequence[ReasoningPart], calls: Sequence[ToolCallPart], _: Sequence[Part]
    ) -> Json:
        if thoughts:
            report(self._context.losses, "reasoning_history")
        for call in calls:
            self._secret(call)
        return {}

    def _text_slot(
        self, thoughts: Sequence[ReasoningPart], calls: Sequence[ToolCallPart], _: Sequence[Part]
    ) -> Json:
        if any(part.signature for part in thoughts) or any(call.signature for call in calls):
            report(self._context.losses, "reasoning_signature")
        text = "".join(part.text for part in thoughts)
        if not text:
            return {}
        newer = {"reasoning": text} if self._options.also_reasoning else {}
        return {self._options.history: text, **newer}

    def _details_slot(
        self, thoughts: Sequence[ReasoningPart], calls: Sequence[ToolCallPart], parts: Sequence[Part]
    ) -> Json:
        entries: list[Json] = []
        for part in thoughts:
            secret = self._secret(part)
            if part.signature is None or secret is not None:
                entries += encode_entries(part, len(entries), secret)
        entries += [
            dict(own_members(part.native)["reasoning_details"])
            for part in parts
            if isinstance(part, OpaquePart) and "reasoning_details" in own_members(part.native)
        ]
        for call in calls:
            if (secret := self._secret(call)) is not None:
                entries.append(call_entry(call, secret, len(entries)))
        return {"reasoning_details": entries} if entries else {}

    def _thinking_slot(
        self, _: Sequence[ReasoningPart], calls: Sequence[ToolCallPart], __: Sequence[Part]
    ) -> Json:
        for call in calls:
            self._secret(call)
        return {}

    def _google_slot(
        self, thoughts: Sequence[ReasoningPart], _: Sequence[ToolCallPart], __: Sequence[Part]
    ) -> Json:
        secrets = [secret for part in thoughts if (secret := self._secret(part))]
        if any(part.text for part in thoughts):
            report(self._context.losses, "reasoning_history")
        return {"extra_content": {"google": {"thought_signature": secrets[-1]}}} if secrets else {}

    def _secret(self, part: ReasoningPart | ToolCallPart) -> str | None:
        """Return the signature's text if this target made it; else the loss is noted."""
        if part.signature is None:
            return None
        if self._options.history in _SIGNED and self._context.accepts(part.signature, "chat"):
            return part.signature.value
        report(self._context.losses, "reasoning_signature")
        return None

    def _call(self, call: ToolCallPart) -> Json:
        identifier = short_id(call.id) if self._options.short_ids else call.id
        if call.kind == "custom" and self._options.custom_tools:
            called: Json = {"type": "custom", "custom": {"name": call.name, "input": call.arguments}}
        else:
            read = call.kind == "custom" or self._options.reads_arguments
            arguments = call_text(call, self._context.losses) if read else call.arguments or "{}"
            called = {"type": "function", "function": {"name": call.name, "arguments": arguments}}
        body: Json = {"id": identifier, **called}
        if self._options.history == "extra_content" and (secret := self._secret(call)):
            body["extra_content"] = {"google": {"thought_signature": secret}}
        native = call.native
        if native is not None and "reasoning_details" in native[1]:
            native = (native[0], {k: v for k, v in native[1].items() if k != "reasoning_details"})
        return body | admitted(
            native, self._options.part_members, _KNOWN_CALL_MEMBERS, self._context, self._options
        )


_APART: Final = (ReasoningPart, ToolCallPart, ToolResultPart)
_SIGNED: Final = frozenset({"reasoning_details", "thinking", "extra_content"})
_THINKING: Final = frozenset({"type", "thinking", "signature", "closed"})
_KNOWN_CALL_MEMBERS: Final = frozenset({"cache_control", "extra_content", "caller", "namespace"})

_Slot = Callable[[MessageWriter, Sequence[ReasoningPart], Sequence[ToolCallPart], Sequence[Part]], Json]

_SLOTS: Final[Mapping[str, _Slot]] = {
    "none": MessageWriter._no_slot,
    "reasoning": MessageWriter._text_slot,
    "reasoning_content": MessageWriter._text_slot,
    "reasoning_details": MessageWriter._details_slot,
    "thinking": MessageWriter._thinking_slot,
    "extra_content": MessageWriter._google_slot,
}


def joined_turns(messages: Iterable[Message]) -> list[Message]:
    """Join the items of one assistant turn into one message.

    Two texts stay two messages unless a call stands before the second: the results must
    follow the message that holds the calls.
    """
    joined: list[Message] = []
    for message in messages:
        last = joined[-1] if joined else None
        if last is not None and last.role == message.role == "assistant" and _fits(last, message):
            joined[-1] = replace(last, parts=last.parts + message.parts, item=None)
        else:
            joined.append(message)
    return joined


def _fits(last: Message, message: Message) -> bool:
    if any(isinstance(part, ToolCallPart) for part in last.parts):
        return True
    return not (_has_content(last.parts) and _has_content(message.parts))


def _has_content(parts: Iterable[Part]) -> bool:
    return any(not isinstance(part, ReasoningPart | ToolCallPart) for part in parts)
