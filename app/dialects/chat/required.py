"""The members that a chat answer, and each chunk of a stream, must have, for bodies that pass.

Clients read ``chunk.choices`` and ``choice.delta`` unasked; a server that leaves one of them out
breaks them. What it says stays as it is (OpenAI's description of 2026-08-21 lists what is required).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from app.dialects.base import PassThrough
from app.dialects.chat.response_in import arguments_text, growing_member
from app.dialects.chat.tool_calls_in import CallStream
from app.dialects.shared.lenient_json import as_dict, count, dicts

CONSTANT: Final = ("id", "object", "created", "model")
"""What all chunks of one stream have alike."""

_CHUNK: Final = "chat.completion.chunk"
_NAMED: Final = frozenset({*CONSTANT, "choices", "usage"})


class Required:
    """Fills what is missing in one answer: with what its stream said before, else with our own."""

    def __init__(self, passage: PassThrough) -> None:
        self._passage = passage
        self._constants: dict[str, Any] = {}
        self._pending: dict[str, Any] = {}
        self._members: dict[int, str] = {}
        self._calls: dict[int, CallStream] = {}

    def fill_answer(self, body: dict[str, Any]) -> None:
        """Fill a ``chat.completion`` object."""
        self.fill_names(body, "chat.completion")
        for place, choice in enumerate(dicts(body.get("choices"))):
            choice.setdefault("index", place)
            if isinstance(message := choice.get("message"), dict):
                message.setdefault("role", "assistant")
                message.setdefault("content", None)

    def fill_chunk(self, data: dict[str, Any]) -> bool:
        """Fill a chunk, and tell whether it says anything. The first of each choice tells the role.

        A frame without choices is no chunk yet: what it says goes with the next one.
        """
        if not isinstance(data.get("choices"), list):
            self._pending |= {name: value for name, value in data.items() if name not in _NAMED}
            data["choices"] = []
            return False
        if not data["choices"] and data.keys() <= _NAMED:
            return False
        data |= {name: value for name, value in self._pending.items() if name not in data}
        self._pending = {}
        self.fill_names(data)
        for choice in dicts(data["choices"]):
            self._fill_choice(choice)
        return True

    def is_filled(self, data: Mapping[str, Any], choice: Mapping[str, Any]) -> bool:
        """Tell whether a chunk that says more of ``choice`` lacks nothing."""
        return (
            None not in (data.get("id"), data.get("object"), data.get("created"), data.get("model"))
            and type(index := choice.get("index")) is int
            and index in self._members
        )

    def fill_names(self, body: dict[str, Any], kind: str = _CHUNK) -> None:
        """Fill the members that all chunks of a stream have alike."""
        for name in CONSTANT:
            constant = body.get(name)
            if constant:
                self._constants[name] = constant
            elif constant is None:
                body[name] = self._constants[name] if name in self._constants else self._fill(name, kind)

    def _fill(self, name: str, kind: str) -> Any:
        """Return our own word for what the provider never said, the same from now on."""
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
    """Give a fragment its call's place. The first tells id and type; clients join what later ones repeat."""
    known = len(calls.all())
    call, _ = calls.feed(fragment, arguments_text)
    fragment["index"] = call.place
    function = as_dict(fragment.get("function"))
    if len(calls.all()) > known:
        fragment["id"] = fragment.get("id") or call.id
        fragment["type"] = fragment.get("type") or ("custom" if call.custom else "function")
    else:
        fragment.pop("id", None)
        if call.told:
            function.pop("name", None)
    call.told = call.named
    if "arguments" in function and not isinstance(function["arguments"], str):
        function["arguments"] = arguments_text(function["arguments"])
