"""The required members of chat answers and chunks, filled in for bodies that pass.

Clients read ``chunk.choices`` and ``choice.delta`` without a check, so a missing member breaks them. Members
that the provider sent stay unchanged. Source: OpenAI's API description of 2026-08-21.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from app.dialects.base import PassThrough
from app.dialects.chat.response_in import arguments_text, growing_member
from app.dialects.chat.tool_calls_in import CallStream
from app.dialects.shared.lenient_json import as_dict, count, dicts, rest

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
    known = len(calls.all())
    call, _ = calls.feed(fragment, arguments_text)
    fragment["index"] = call.place
    function = as_dict(fragment.get("function"))
    if len(calls.all()) > known:
        fragment["id"] = fragment.get("id") or call.id
        fragment["type"] = fragment.get("type") or ("custom" if call.custom else "function")
    else:
        fragment.pop("id", None)
        if call.passed:
            function.pop("name", None)
    call.passed = bool(call.name)
    if "arguments" in function and not isinstance(function["arguments"], str):
        function["arguments"] = arguments_text(function["arguments"])
