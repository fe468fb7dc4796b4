"""The patch of a chat body that passes to a chat-completions provider, and of the answer to it.

The model, the request for usage and the sealing of signatures change; everything else stays unchanged.
Members of the answer that OpenAI requires are filled in: clients read ``chunk.choices`` and ``choice.delta``
without a check, so a missing member breaks them. Source: OpenAI's API description of 2026-08-21.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from app.canonical.request import Signature
from app.canonical.response import Usage
from app.dialects.base import DONE, Frame, PassThrough, Patch
from app.dialects.chat.compatibility import fit
from app.dialects.chat.options import ChatOptions
from app.dialects.chat.response_in import arguments_text, growing_member
from app.dialects.chat.tool_calls_in import CallStream
from app.dialects.chat.usage import encode_usage, is_broken_off
from app.dialects.shared.lenient_json import as_dict, count, dicts, rest
from app.dialects.shared.plain_patch import FOREIGN_REASONING_LOST
from app.dialects.shared.usage_repair import repair_usage

_REPEATED: Final = frozenset(
    "index delta finish_reason logprobs native_finish_reason stop_reason matched_stop".split()
)
"""Members of a finished choice that a later chunk may repeat."""
_SIGNATURE_SLOTS: Final = ("signature", "data")


def _without_break(choice: dict[str, Any]) -> dict[str, Any]:
    """Return a choice without a finish reason that means a failure of the server; the stream ends in an error."""
    return {**choice, "finish_reason": None} if is_broken_off(choice.get("finish_reason")) else choice


def _is_more_text(choices: Any) -> bool:
    """Tell whether a chunk only has more text of one choice, as nearly all have; such a chunk passes unchanged."""
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        return False
    delta = choices[0].get("delta")
    return (
        isinstance(delta, dict)
        and bool(delta.get("content"))
        and "reasoning_details" not in delta
        and choices[0].get("finish_reason") is None
    )


class ChatPatch(Patch):
    """The patch of one attempt."""

    breaks_fail = True

    def __init__(self, passage: PassThrough) -> None:
        self._passage = passage
        self._target = passage.client
        options = passage.body.get("stream_options")
        self._wants_usage = isinstance(options, dict) and options.get("include_usage") is True
        self._usage: Any = None
        self._last: dict[str, Any] = {}
        self._required = RequiredMembers(passage)
        self._finished: set[Any] = set()

    def request(self) -> dict[str, Any]:
        """Return the client's body for the target; usage is always requested in a stream."""
        body = {**self._passage.body, "model": self._target.model}
        body.pop("fallbacks", None)
        body = fit(body, self._target.options_as(ChatOptions), self._target.losses)
        if self._passage.stream:
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        if isinstance(body.get("messages"), list):
            body["messages"] = [
                self._message(message)
                if isinstance(message, dict) and "reasoning_details" in message
                else message
                for message in body["messages"]
            ]
        return body

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the answer with sealed signatures and all required members."""
        self._required.fill_answer(body)
        for choice in dicts(body.get("choices")):
            self._seal(choice.get("message"))
        return body

    def frames(self, event: str | None, data: dict[str, Any]) -> list[Frame]:
        """Return a chunk without its usage, which is recorded for the last chunk."""
        usage = data.pop("usage", None)
        if self._wants_usage:
            data["usage"] = None
        before, self._last = self._last, data
        is_more_text = usage is None and _is_more_text(data.get("choices"))
        self.is_steady = is_more_text and self._required.is_filled(data, data["choices"][0])
        if self.is_steady:
            return [Frame(None, data)]
        if is_more_text:
            self._required.fill_chunk(data)
            return [Frame(None, data)]
        if not self._required.fill_chunk(data) and usage is None:
            self._last = before
            return []
        choices = dicts(data["choices"])
        data["choices"] = [_without_break(choice) for choice in choices if self._is_new(choice)]
        if usage is not None:
            self._usage = usage
        if not data.get("choices") and (choices or usage is not None):
            return []
        for choice in data.get("choices") or ():
            self._seal(choice.get("delta"))
        return [Frame(None, data)]

    def _is_new(self, choice: dict[str, Any]) -> bool:
        """Tell whether a choice of a chunk does more than repeat a finish, as the usage chunk of some hosts does."""
        index, delta = count(choice.get("index")), as_dict(choice.get("delta"))
        has_content = any(value for name, value in delta.items() if name != "role")
        is_new = has_content or index not in self._finished or any(rest(choice, _REPEATED).values())
        if choice.get("finish_reason"):
            self._finished.add(index)
        return is_new

    def closing(self, usage: Usage | None) -> list[Frame]:
        """Return the chunk with the usage, if the client requested it, and ``[DONE]``."""
        if not self._wants_usage or usage is None:
            return [DONE]
        chunk = self._last if not self._last.get("choices") else {n: self._last.get(n) for n in CONSTANT}
        last = {**chunk, "choices": [], "usage": self._usage}
        self._required.fill_names(last)
        repair_usage(last, usage, encode_usage)
        return [Frame(None, last), DONE]

    def _message(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return a message with the original signatures of its reasoning details."""
        details = message["reasoning_details"]
        if not isinstance(details, list):
            return message
        entries = [detail for detail in map(self._open, details) if detail is not None]
        if len(entries) != len(details):
            self._target.losses.report("reasoning_signature", FOREIGN_REASONING_LOST, param="messages")
        return {**message, "reasoning_details": entries}

    def _open(self, detail: Any) -> Any:
        """Return an entry with its original signature, None if the target does not accept it."""
        if not isinstance(detail, dict):
            return detail
        copy = dict(detail)
        for slot in _SIGNATURE_SLOTS:
            text = detail.get(slot)
            signature = self._passage.server.unwrap(text) if isinstance(text, str) else None
            if signature is None:
                continue
            if signature.dialect != "chat" or signature.realm not in (None, self._target.realm):
                return None
            copy[slot] = signature.value
        return copy

    def _seal(self, message: Any) -> None:
        """Seal the signatures in the reasoning details of a message or delta."""
        for detail in dicts(as_dict(message).get("reasoning_details")):
            for slot in _SIGNATURE_SLOTS:
                if isinstance(detail.get(slot), str):
                    signature = Signature(detail[slot], "chat", self._target.realm)
                    detail[slot] = self._passage.server.wrap(signature)


CONSTANT: Final = ("id", "object", "created", "model")
"""Members that are equal in all chunks of one stream."""

_CHUNK: Final = "chat.completion.chunk"
_KNOWN: Final = frozenset({*CONSTANT, "choices", "usage"})


class RequiredMembers:
    """Fills in the missing members of one answer: with those of earlier chunks, or the gateway's own."""

    def __init__(self, passage: PassThrough) -> None:
        self._passage = passage
        self._constants: dict[str, Any] = {}
        self._pending: dict[str, Any] = {}
        self._members: dict[int, str] = {}
        self._calls: dict[int, CallStream] = {}

    def fill_answer(self, body: dict[str, Any]) -> None:
        """Fill in the members of a ``chat.completion`` object."""
        self.fill_names(body, "chat.completion")
        for place, choice in enumerate(dicts(body.get("choices"))):
            choice.setdefault("index", place)
            if isinstance(message := choice.get("message"), dict):
                message.setdefault("role", "assistant")
                message.setdefault("content", None)

    def fill_chunk(self, data: dict[str, Any]) -> bool:
        """Fill in the members of a chunk; return whether it is to be sent. The first of each choice has the role.

        A frame without choices is not sent; its members are added to the next one.
        """
        if not isinstance(data.get("choices"), list):
            self._pending |= rest(data, _KNOWN)
            data["choices"] = []
            return False
        if not data["choices"] and data.keys() <= _KNOWN:
            return False
        data |= rest(self._pending, frozenset(data))
        self._pending = {}
        self.fill_names(data)
        for choice in dicts(data["choices"]):
            self._fill_choice(choice)
        return True

    def is_filled(self, data: Mapping[str, Any], choice: Mapping[str, Any]) -> bool:
        """Tell whether a chunk with more text of ``choice`` has all required members."""
        return (
            None not in (data.get("id"), data.get("object"), data.get("created"), data.get("model"))
            and type(index := choice.get("index")) is int
            and index in self._members
        )

    def fill_names(self, body: dict[str, Any], kind: str = _CHUNK) -> None:
        """Fill in the members that are equal in all chunks of a stream."""
        for name in CONSTANT:
            constant = body.get(name)
            if constant:
                self._constants[name] = constant
            elif constant is None:
                body[name] = self._constants[name] if name in self._constants else self._fill(name, kind)

    def _fill(self, name: str, kind: str) -> Any:
        """Return the gateway's own value of a member, which stays the same from now on."""
        server = self._passage.server
        own: dict[str, Callable[[], Any]] = {
            "id": lambda: server.response_id or server.new_id("chatcmpl-"),
            "object": lambda: kind,
            "created": lambda: server.now,
            "model": lambda: server.model or self._passage.client.model,
        }
        constant = self._constants[name] = own[name]()
        return constant

    def _fill_choice(self, choice: dict[str, Any]) -> None:
        choice.setdefault("index", 0)
        index = count(choice["index"]) or 0
        is_first = index not in self._members
        member = self._members.setdefault(index, growing_member(choice))
        delta = choice["delta"] = as_dict(choice.pop(member, None))
        if is_first:
            delta["role"] = delta.get("role") or "assistant"
        if fragments := dicts(delta.get("tool_calls")):
            calls = self._calls.setdefault(index, CallStream(index, self._passage.client))
            for fragment in fragments:
                _fill_call(fragment, calls)


def _fill_call(fragment: dict[str, Any], calls: CallStream) -> None:
    """Set the index of a fragment of a call. Only the first has id, type and name: clients join repeated ones."""
    before = len(calls.all())
    call, _ = calls.feed(fragment, arguments_text)
    fragment["index"] = call.place
    function = as_dict(fragment.get("function"))
    if len(calls.all()) > before:
        fragment["id"] = fragment.get("id") or call.id
        fragment["type"] = fragment.get("type") or ("custom" if call.custom else "function")
    else:
        fragment.pop("id", None)
        if call.name_sent:
            function.pop("name", None)
    call.name_sent = bool(call.name)
    if "arguments" in function and not isinstance(function["arguments"], str):
        function["arguments"] = arguments_text(function["arguments"])
