"""Canonical messages encoded for a chat-completions provider, by its ``ChatOptions``.

The items of one assistant turn (reasoning, text, calls) become one message, because results must follow
the message with their calls directly. Images and files in a tool result follow in a user message,
because tool messages hold only text.
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
from app.dialects.chat.options import KNOWN_MESSAGE_MEMBERS, ChatOptions, as_native, own_members
from app.dialects.chat.order import alternate, separate_tool_turns
from app.dialects.chat.parts_out import PartWriter, filter_native, is_plain_text, report
from app.dialects.chat.reasoning import call_entry, encode_entries
from app.dialects.shared.lenient_json import JSON, data_url, rest, without_nulls
from app.dialects.shared.tool_forms import call_text

_SHORT_ID: Final = re.compile(r"[A-Za-z0-9]{9}\Z")
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def short_id(identifier: str) -> str:
    """Return a tool call id of nine letters or digits (Mistral's rule, docs/contract/tools.md).

    Another id is replaced by one derived from its hash, so that calls and results still match.
    """
    if _SHORT_ID.match(identifier):
        return identifier
    number = int.from_bytes(hashlib.sha256(identifier.encode()).digest()[:8], "big")
    digits = []
    for _ in range(9):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(digits)


class MessageWriter:
    """Encodes the messages of one request."""

    def __init__(self, context: ClientContext, options: ChatOptions) -> None:
        self._context = context
        self._options = options
        self._parts = PartWriter(context, options)
        self._attachments: list[JSON] = []  # content of tool results for the next user message

    def write(self, request: Request) -> list[JSON]:
        """Return the messages, with the instructions in front as a system message."""
        messages = list(request.messages)
        if request.instructions:
            messages.insert(0, Message("system", (TextPart(request.instructions),)))
        if request.origin is None or request.origin.dialect != "chat":
            messages = join_turns(messages)
        result: list[JSON] = []
        for message in messages:
            if message.role != "tool":
                result += self._take_attachments()
            result += self._message(message)
        result += self._take_attachments()
        if self._options.alternates:
            result = alternate(result, self._context.losses)
        if self._options.answers_tools:
            result = separate_tool_turns(result, self._context.losses)
        if self._options.prefix and result and result[-1]["role"] == "assistant":
            result[-1]["prefix"] = True
        return result

    def _message(self, message: Message) -> Iterable[JSON]:
        if message.role == "tool":
            return [self._result(message, part) for part in message.parts if isinstance(part, ToolResultPart)]
        if message.role == "assistant":
            return self._assistant(message)
        role = "system" if message.role == "developer" and not self._options.developer_role else message.role
        return [{"role": role, "content": self._parts.content(message.parts) or "", **self._native(message)}]

    def _native(self, message: Message) -> JSON:
        """Return the name and the native members of a message, as far as the provider has them."""
        members = self._message_members(message)
        if message.name is not None and self._options.names:
            return {"name": message.name, **members}
        if message.name is not None:
            report(self._context.losses, "message_name")
        return members

    def _message_members(self, message: Message) -> JSON:
        return filter_native(
            message.native, self._options.message_members, KNOWN_MESSAGE_MEMBERS, self._context, self._options
        )

    def _result(self, message: Message, result: ToolResultPart) -> JSON:
        texts = [part for part in result.content if isinstance(part, TextPart)]
        others = [part for part in result.content if not isinstance(part, TextPart)]
        if others:
            warning = "pictures and files of a tool result were sent in a user message after it"
            self._context.losses.report("tool_result", warning)
            self._attachments += self._parts.pieces(others)
        if result.is_error:
            self._context.losses.report("tool_result", "the error mark of a tool result was left out")
        body = {
            "role": "tool",
            "tool_call_id": short_id(result.call_id) if self._options.short_ids else result.call_id,
            "content": self._parts.content(texts) or "",
            "name": message.name,
        }
        return {**without_nulls(body), **self._message_members(message)}

    def _take_attachments(self) -> list[JSON]:
        content, self._attachments = self._attachments, []
        return [{"role": "user", "content": content}] if content else []

    def _assistant(self, message: Message) -> Iterable[JSON]:
        parts = message.parts
        thoughts = [part for part in parts if isinstance(part, ReasoningPart)]
        calls = [part for part in parts if isinstance(part, ToolCallPart)]
        body: JSON = {
            "role": "assistant",
            "content": self._content(parts, thoughts),
            **self._refusal(parts),
            **self._audio(parts),
            **self._annotations(parts),
            **self._pictures(parts),
            **_SLOTS[self._options.history](self, thoughts, calls, parts),
            **({"tool_calls": [self._call(call) for call in calls]} if calls else {}),
            **self._native(message),
        }
        return [body] if body["content"] is not None or len(body) > 2 else []

    def _content(self, parts: Sequence[Part], thoughts: Sequence[ReasoningPart]) -> Any:
        content = [part for part in parts if not isinstance(part, _APART) and self._is_content(part)]
        if self._options.history == "thinking" and thoughts:
            return self._thinking(thoughts) + self._parts.pieces(content)
        pieces = self._parts.pieces(content)
        if pieces and all(map(is_plain_text, pieces)):
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
        """Tell whether an opaque part is of this dialect; a hosted tool's item of another one is reported."""
        own = own_members(part.native)
        if own:
            return "reasoning_details" not in own
        report(self._context.losses, "hosted_item")
        return False

    def _refusal(self, parts: Sequence[Part]) -> JSON:
        texts = [part.text for part in parts if isinstance(part, RefusalPart)]
        return {"refusal": "".join(texts)} if texts and self._options.refusals else {}

    def _audio(self, parts: Sequence[Part]) -> JSON:
        ids = [part.audio_id for part in parts if isinstance(part, AudioPart) and part.audio_id]
        if ids and not self._options.takes("audio"):
            report(self._context.losses, "audio")
        return {"audio": {"id": ids[0]}} if ids else {}

    def _pictures(self, parts: Sequence[Part]) -> JSON:
        """Return the images that the model generated, for providers that have them in messages."""
        images = [part for part in parts if isinstance(part, ImagePart)]
        if not images:
            return {}
        if "images" not in self._options.message_members and not self._options.open_members:
            report(self._context.losses, "hosted_item")
            return {}
        urls = [part.url if part.data is None else data_url(part.media_type, part.data) for part in images]
        return {"images": [{"type": "image_url", "image_url": {"url": url}} for url in urls]}

    def _annotations(self, parts: Sequence[Part]) -> JSON:
        """Return the annotations of the texts, for routers that read them in messages."""
        if "annotations" not in self._options.message_members:
            return {}
        flat = [row for part in parts if isinstance(part, TextPart) for row in part.annotations]
        nested = [row for row in map(nested_annotation, flat) if row is not None]
        return {"annotations": nested} if nested else {}

    def _thinking(self, thoughts: Sequence[ReasoningPart]) -> list[JSON]:
        pieces: list[JSON] = []
        for part in thoughts:
            secret = self._secret(part)
            if part.text:
                own = own_members(part.native)
                if secret:
                    own["signature"] = secret
                text = [{"type": "text", "text": part.text}]
                members = {**own, "type": "thinking", "thinking": text}
                pieces.append({name: members[name] for name in _THINKING if name in members})
        return pieces

    def _no_slot(
        self, thoughts: Sequence[ReasoningPart], calls: Sequence[ToolCallPart], parts: Sequence[Part]
    ) -> JSON:
        if thoughts:
            report(self._context.losses, "reasoning_history")
        return self._thinking_slot(thoughts, calls, parts)

    def _text_slot(
        self, thoughts: Sequence[ReasoningPart], calls: Sequence[ToolCallPart], _: Sequence[Part]
    ) -> JSON:
        if any(part.signature for part in thoughts) or any(call.signature for call in calls):
            report(self._context.losses, "reasoning_signature")
        text = "".join(part.text for part in thoughts)
        names: list[str] = [self._options.history, *(["reasoning"] if self._options.also_reasoning else [])]
        body: JSON = dict.fromkeys(names, text)
        return body if text else {}

    def _details_slot(
        self, thoughts: Sequence[ReasoningPart], calls: Sequence[ToolCallPart], parts: Sequence[Part]
    ) -> JSON:
        entries: list[JSON] = []
        for part in thoughts:
            secret = self._secret(part)
            if part.signature is None or secret is not None:
                entries += encode_entries(part, len(entries), secret)
        entries += [
            dict(own["reasoning_details"])
            for own in (own_members(part.native) for part in parts if isinstance(part, OpaquePart))
            if "reasoning_details" in own
        ]
        for call in calls:
            if (secret := self._secret(call)) is not None:
                entries.append(call_entry(call, secret, len(entries)))
        return {"reasoning_details": entries} if entries else {}

    def _thinking_slot(
        self, _: Sequence[ReasoningPart], calls: Sequence[ToolCallPart], __: Sequence[Part]
    ) -> JSON:
        for call in calls:
            self._secret(call)
        return {}

    def _google_slot(
        self, thoughts: Sequence[ReasoningPart], _: Sequence[ToolCallPart], __: Sequence[Part]
    ) -> JSON:
        secrets = [secret for part in thoughts if (secret := self._secret(part))]
        if any(part.text for part in thoughts):
            report(self._context.losses, "reasoning_history")
        return {"extra_content": {"google": {"thought_signature": secrets[-1]}}} if secrets else {}

    def _secret(self, part: ReasoningPart | ToolCallPart) -> str | None:
        """Return the text of a signature if the target accepts it; otherwise report its loss."""
        if part.signature is None:
            return None
        if self._options.history in _SIGNED and self._context.accepts(part.signature, "chat"):
            return part.signature.value
        report(self._context.losses, "reasoning_signature")
        return None

    def _call(self, call: ToolCallPart) -> JSON:
        identifier = short_id(call.id) if self._options.short_ids else call.id
        if call.kind == "custom" and self._options.custom_tools:
            body: JSON = {
                "id": identifier,
                "type": "custom",
                "custom": {"name": call.name, "input": call.arguments},
            }
        else:
            parses = call.kind == "custom" or self._options.reads_arguments
            arguments = call_text(call, self._context.losses) if parses else call.arguments or "{}"
            function = {"name": call.name, "arguments": arguments}
            body = {"id": identifier, "type": "function", "function": function}
        if self._options.history == "extra_content" and (secret := self._secret(call)):
            body["extra_content"] = {"google": {"thought_signature": secret}}
        native = as_native(rest(own_members(call.native), frozenset({"reasoning_details"})))
        return body | filter_native(
            native, self._options.part_members, _KNOWN_CALL_MEMBERS, self._context, self._options
        )


_APART: Final = (ReasoningPart, ToolCallPart, ToolResultPart)
_SIGNED: Final = frozenset({"reasoning_details", "thinking", "extra_content"})
_THINKING: Final = ("type", "thinking", "signature", "closed")
"""Members of Mistral's thinking part (``ThinkChunk`` of its SDK)."""
_KNOWN_CALL_MEMBERS: Final = frozenset({"cache_control", "extra_content", "caller", "namespace"})

_Slot = Callable[[MessageWriter, Sequence[ReasoningPart], Sequence[ToolCallPart], Sequence[Part]], JSON]

_SLOTS: Final[Mapping[str, _Slot]] = {
    "none": MessageWriter._no_slot,
    "reasoning": MessageWriter._text_slot,
    "reasoning_content": MessageWriter._text_slot,
    "reasoning_details": MessageWriter._details_slot,
    "thinking": MessageWriter._thinking_slot,
    "extra_content": MessageWriter._google_slot,
}


def join_turns(messages: Iterable[Message]) -> list[Message]:
    """Join the items of one assistant turn into one message.

    Two texts remain two messages, unless a tool call precedes the second: the results must follow
    the message with the calls.
    """
    result: list[Message] = []
    for message in messages:
        last = result[-1] if result else None
        if last is not None and last.role == message.role == "assistant" and _may_join(last, message):
            result[-1] = replace(last, parts=last.parts + message.parts, item=None)
        else:
            result.append(message)
    return result


def _may_join(last: Message, message: Message) -> bool:
    has_call = any(isinstance(part, ToolCallPart) for part in last.parts)
    return has_call or not (_has_content(last.parts) and _has_content(message.parts))


def _has_content(parts: Iterable[Part]) -> bool:
    return any(not isinstance(part, ReasoningPart | ToolCallPart) for part in parts)
