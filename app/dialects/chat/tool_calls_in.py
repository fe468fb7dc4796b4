"""Tool calls of one streamed choice, put together from their fragments.

Servers leave out the index, send one index for several calls, bring the name late or
repeat it with every fragment, and forget ids; here each fragment finds its call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from app.canonical.events import BlockDelta, BlockEnded
from app.canonical.request import Signature, ToolCallPart
from app.dialects.base import ClientContext
from app.dialects.chat.native import as_native, own_members
from app.dialects.chat.reasoning import Sign, sign_call, thought_signature
from app.dialects.shared.lenient_json import as_dict, count, opt_str, rest, without_nulls
from app.dialects.shared.tool_forms import custom_tool_names, free_text
from app.dialects.shared.tool_values import is_json

_MAX_CHECKS: Final = 4  # how often it is asked whether a call that others interrupt is whole
_CALL_MEMBERS: Final = frozenset({"id", "type", "function", "custom", "index"})


@dataclass(slots=True)
class CallBlock:
    """One call as it grows, the ``place``-th of its choice. ``told``: its name has passed. ``held`` keeps arguments that came before the name, and all of a
    free-text tool's that was offered as a function (``free``)."""

    index: int | None
    id: str
    place: int = 0
    name: str = ""
    custom: bool = False
    free: bool = False
    block: int | None = None
    held: list[str] = field(default_factory=list)
    wrote: bool = False
    said: list[str] = field(default_factory=list)
    ended: bool = False
    told: bool = False
    checks: int = 0
    signature: Signature | None = None
    native: dict[str, Any] = field(default_factory=dict)

    @property
    def named(self) -> bool:
        """Whether the name is known, so that the block may open."""
        return bool(self.name)

    def part(self) -> ToolCallPart:
        """Return the part that opens the block: id and name final, arguments empty."""
        kind: Literal["custom", "function"] = "custom" if self.custom or self.free else "function"
        return ToolCallPart(self.id, self.name, "", kind)

    def opening(self) -> str:
        """Return the arguments that came before the block opened."""
        return "" if self.free else "".join(self.held)


class CallStream:
    """The calls of one choice, in the order in which they began."""

    def __init__(self, choice: int, context: ClientContext) -> None:
        self._choice = choice
        self._context = context
        self._customs = custom_tool_names(context.request)
        self._calls: list[CallBlock] = []
        self._growing: list[CallBlock] = []  # those of which an interruption may be the end
        self._latest: dict[int, CallBlock] = {}  # by index
        self._exact: dict[tuple[int, str], CallBlock] = {}  # the latest by index and id
        self._first: dict[str, CallBlock] = {}  # the first by id

    def all(self) -> list[CallBlock]:
        """Return the calls seen so far."""
        return self._calls

    def feed(self, fragment: Mapping[str, Any], text_of: Callable[[Any], str]) -> tuple[CallBlock, str]:
        """Take one ``tool_calls`` fragment; return its call and the arguments it brought.

        Arguments that come before the name are held (``CallBlock.held``) and given with it.
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
        call.wrote = call.wrote or bool(text)
        if text:
            call.said.append(text)
        if text and (call.block is None or call.free):
            call.held.append(text)
        return call, "" if call.free else text

    def sign(self, entry: Mapping[str, Any], sign: Sign) -> bool:
        """Give a ``reasoning_details`` entry to the call whose id it bears, if there is one."""
        identifier = opt_str(entry.get("id"))
        call = None if identifier is None else self._first.get(identifier)
        if call is None:
            return False
        signed = sign_call(call.part(), entry, sign)
        call.signature = signed.signature
        call.native |= own_members(signed.native)
        return True

    def ends(self, *, whole: bool = False) -> Iterator[BlockDelta | BlockEnded]:
        """Yield the end of each open call's block; ``whole``: only of those whose arguments are. A call
        that was not, several times, ends with the stream: to read it anew at each interruption would
        cost the square of its length."""
        candidates, self._growing = (self._growing, []) if whole else (self._calls, [])
        for call in candidates:
            if call.ended:
                continue
            if whole and not (call.block is not None and is_json("".join(call.said))):
                call.checks += 1
                if call.checks < _MAX_CHECKS:
                    self._growing.append(call)
                continue
            call.ended = call.block is not None
            if call.block is not None and call.free and (text := free_text("".join(call.held))):
                yield BlockDelta(call.block, text)
            if call.block is not None:
                yield BlockEnded(call.block, call.signature, as_native(call.native))

    def _find(self, index: int | None, identifier: str | None, name: str | None) -> CallBlock:
        """Find the call of a fragment. A further id under a known index, with a name, is a
        further call; without index, the id decides, else the latest call goes on."""
        known = self._known(index, identifier)
        if known is not None and not (identifier and name and known.id != identifier and known.name):
            return known
        call = CallBlock(index, identifier or self._context.new_id("call"), len(self._calls))
        self._calls.append(call)
        self._growing.append(call)
        if index is not None:
            self._latest[index] = call
            self._exact[index, call.id] = call
        self._first.setdefault(call.id, call)
        return call

    def _known(self, index: int | None, identifier: str | None) -> CallBlock | None:
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
