"""The tool calls of one streamed choice, assembled from their fragments.

Servers omit the index, use one index for several calls, send the name late or in every fragment, and omit
ids (recorded streams, and public reports of 2025 and 2026). Here each fragment is assigned to its call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from app.canonical.events import BlockDelta, BlockEnded
from app.canonical.request import Signature, ToolCallPart
from app.dialects.base import ClientContext
from app.dialects.chat.options import as_native, own_members
from app.dialects.chat.reasoning import Sign, sign_call, thought_signature
from app.dialects.shared.lenient_json import as_dict, count, opt_str, rest, without_nulls
from app.dialects.shared.tool_forms import custom_tool_names, free_text
from app.dialects.shared.tool_values import is_json

_MAX_CHECKS: Final = 4  # how often the arguments of an interrupted call are parsed
_CALL_MEMBERS: Final = frozenset({"id", "type", "function", "custom", "index"})


@dataclass(slots=True)
class CallBlock:
    """One call of a choice, and its block if that is open.

    ``place`` is its position among the calls. ``free``: a free-text tool that was sent as a function.
    ``arguments`` are all fragments of its arguments; ``buffer`` has those that came before the name,
    or all if it is ``free``. ``name_sent``: the client has its name.
    """

    index: int | None
    id: str
    place: int = 0
    name: str = ""
    custom: bool = False
    free: bool = False
    block: int | None = None
    buffer: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    ended: bool = False
    name_sent: bool = False
    checks: int = 0
    signature: Signature | None = None
    native: dict[str, Any] = field(default_factory=dict)

    def part(self) -> ToolCallPart:
        """Return the part that opens the block, with id and name and without arguments."""
        kind: Literal["custom", "function"] = "custom" if self.custom or self.free else "function"
        return ToolCallPart(self.id, self.name, "", kind)

    def opening(self) -> str:
        """Return the arguments that came before the block opened."""
        return "" if self.free else "".join(self.buffer)


class CallStream:
    """The calls of one choice, in the order in which they began."""

    def __init__(self, choice: int, context: ClientContext) -> None:
        self._choice = choice
        self._context = context
        self._customs = custom_tool_names(context.request)
        self._calls: list[CallBlock] = []
        self._growing: list[CallBlock] = []  # those that may end when something else follows
        self._latest: dict[int, CallBlock] = {}  # by index
        self._exact: dict[tuple[int, str], CallBlock] = {}  # the latest by index and id
        self._first: dict[str, CallBlock] = {}  # the first by id

    def all(self) -> list[CallBlock]:
        """Return the calls seen so far."""
        return self._calls

    def feed(self, fragment: Mapping[str, Any], text_of: Callable[[Any], str]) -> tuple[CallBlock, str]:
        """Add one ``tool_calls`` fragment; return its call, and the arguments in it that may be written.

        ``text_of`` returns arguments as text.
        """
        custom = as_dict(fragment.get("custom"))
        function = custom or as_dict(fragment.get("function"))
        name, identifier = opt_str(function.get("name")), opt_str(fragment.get("id"))
        call = self._find(count(fragment.get("index")), identifier, name)
        call.custom = call.custom or bool(custom) or fragment.get("type") == "custom"
        call.name = call.name or name or ""
        call.free = not call.custom and call.name in self._customs
        self._keep(call, fragment)
        text = text_of(function.get("input") if custom else function.get("arguments"))
        if text:
            call.arguments.append(text)
        if text and (call.block is None or call.free):
            call.buffer.append(text)
        return call, "" if call.free else text

    def sign(self, entry: Mapping[str, Any], sign: Sign) -> bool:
        """Add the signature of a ``reasoning_details`` entry to the call with its id; return False if there is none."""
        identifier = opt_str(entry.get("id"))
        call = None if identifier is None else self._first.get(identifier)
        if call is None:
            return False
        part = sign_call(call.part(), entry, sign)
        call.signature = part.signature
        call.native |= own_members(part.native)
        return True

    def ends(self, *, whole: bool = False) -> Iterator[BlockDelta | BlockEnded]:
        """Yield the end of each open call's block; with ``whole`` only if its arguments are complete.

        A call that was incomplete ``_MAX_CHECKS`` times ends with the stream: parsing it at each
        interruption would take time quadratic in its length.
        """
        candidates, self._growing = (self._growing, []) if whole else (self._calls, [])
        for call in candidates:
            if call.ended:
                continue
            if whole and not (call.block is not None and is_json("".join(call.arguments))):
                call.checks += 1
                if call.checks < _MAX_CHECKS:
                    self._growing.append(call)
                continue
            call.ended = call.block is not None
            if call.block is not None and call.free and (text := free_text("".join(call.buffer))):
                yield BlockDelta(call.block, text)
            if call.block is not None:
                yield BlockEnded(call.block, call.signature, as_native(call.native))

    def _find(self, index: int | None, identifier: str | None, name: str | None) -> CallBlock:
        """Return the call of a fragment: by its index, otherwise by its id, otherwise the latest one.

        A fragment with a name and a new id under a known index begins a new call.
        """
        current = self._call_of(index, identifier)
        if current is not None and not (identifier and name and current.id != identifier and current.name):
            return current
        call = CallBlock(index, identifier or self._context.new_id("call"), len(self._calls))
        self._calls.append(call)
        self._growing.append(call)
        if index is not None:
            self._latest[index] = call
            self._exact[index, call.id] = call
        self._first.setdefault(call.id, call)
        return call

    def _call_of(self, index: int | None, identifier: str | None) -> CallBlock | None:
        if index is not None:
            exact = None if identifier is None else self._exact.get((index, identifier))
            return exact or self._latest.get(index)
        if identifier is not None:
            return self._first.get(identifier)
        return self._calls[-1] if self._calls else None

    def _keep(self, call: CallBlock, fragment: Mapping[str, Any]) -> None:
        if fragment.keys() <= _CALL_MEMBERS:
            return
        members = without_nulls(rest(fragment, _CALL_MEMBERS))
        if secret := thought_signature(fragment):
            call.signature = Signature(secret, "chat", self._context.realm)
            members.pop("extra_content", None)
        call.native |= members
