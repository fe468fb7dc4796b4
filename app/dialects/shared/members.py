"""Members that a client wrote on parts, messages and tools beside those that all wires share.

They stay with their part as its native remainder. What another wire has a place for is
taken out here by name; the rest is reported, like an unknown member of the body.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.canonical.request import Message, Native, OpaquePart, Part, Request, Tool, ToolResultPart
from app.dialects.shared.lenient_json import as_dict
from app.dialects.shared.losses import Losses
from app.dialects.shared.member_paths import MemberPaths

CACHE_MARKS: Final = frozenset({"cache_control", "prompt_cache_breakpoint"})
"""The two names of the hint that a prompt's beginning, up to here, is worth keeping."""

_HOLDERS: Final = ("item", "function")
"""Where members stand that belong to a Responses item, or to the function in a chat tool."""

_QUIET: Final = frozenset(
    """
    agent audio caller created_by executed_tools format function_call id images
    index model namespace parsed phase provider_specific_fields reasoning_details role signature status
    tool_calls type
    """.split()
)
"""What clients send back of an answer as they got it, and names that only order the message."""

_OURS: Final = frozenset({"as_document", "as_source", "mimeType", "plan", "signed"})
"""What server halves note of a part's first form; the part itself says all of it."""

MemberTable = Mapping[type, frozenset[str]]
"""The members that a wire takes, by the kind of part (or ``Tool``) they stand on."""


def own_members(native: Native | None, dialect: str) -> Mapping[str, Any]:
    """Return the native members that ``dialect`` itself attached, else none."""
    return native[1] if native is not None and native[0] == dialect else {}


def flat_members(native: Native | None) -> dict[str, Any]:
    """Return every member of a remainder, those below its item or function too."""
    if native is None:
        return {}
    flat: dict[str, Any] = {}
    for name in _HOLDERS:
        flat.update(as_dict(native[1].get(name)))
    return {**flat, **{name: value for name, value in native[1].items() if name not in _HOLDERS}}


def pick_members(native: Native | None, names: frozenset[str]) -> dict[str, Any]:
    """Return the members among ``names`` that a client of another wire wrote."""
    return {name: value for name, value in flat_members(native).items() if name in names}


def cache_mark(native: Native | None) -> dict[str, Any] | None:
    """Return the cache mark of a remainder in Anthropic's form, None where there is none."""
    members = flat_members(native)
    mark = members.get("cache_control")
    if mark:
        return mark if isinstance(mark, dict) else {"type": "ephemeral"}
    return {"type": "ephemeral"} if members.get("prompt_cache_breakpoint") else None


def report_members(request: Request, dialect: str, takes: MemberTable, losses: Losses) -> None:
    """Report the members of another wire that this one has no place for, each name once a kind, by the
    path of the first.

    ``takes`` of ``object`` is what every kind takes. Answers that a client of Responses
    sends back are passed over: what is on them was not asked for.
    """
    paths = MemberPaths(request)
    told_of: set[tuple[type, str]] = set()
    for kind, native in _remainders(request):
        if native is None or native[0] == dialect:
            continue
        known = _QUIET | _OURS | takes.get(object, frozenset()) | takes.get(kind, frozenset())
        for name, value in flat_members(native).items():
            path = paths.next(name, value)
            if name in known or value in (None, [], {}, "") or (kind, name) in told_of:
                continue
            told_of.add((kind, name))
            where = _OWNER_NAMES.get(kind, "a content part")
            warning = f"'{name}' of {where} is not known to this API and was left out"
            losses.report("part_member", warning, param=path)


def report_marks(request: Request, dialect: str, losses: Losses) -> None:
    """Report that cache marks of another wire's clients have no place on this one, by the first."""
    paths = MemberPaths(request)
    for _, native in _remainders(request):
        if native is None or native[0] == dialect or cache_mark(native) is None:
            continue
        members = flat_members(native)
        name = next(name for name in ("cache_control", "prompt_cache_breakpoint") if members.get(name))
        warning = f"'{name}' is not known to this API and was left out"
        losses.report("cache_control", warning, param=paths.next(name, members[name]))
        return


_OWNER_NAMES: Final[Mapping[type, str]] = {
    Message: "a message",
    Tool: "a tool",
    ToolResultPart: "a tool's result",
}


def _remainders(request: Request) -> Iterator[tuple[type, Native | None]]:
    for message in request.messages:
        if message.role == "assistant" and (request.origin is None or request.origin.dialect == "responses"):
            continue
        yield Message, message.native
        for part in _all_parts(message.parts):
            yield type(part), getattr(part, "native", None)
    for tool in request.tools:
        if tool.kind != "hosted":
            yield Tool, tool.native


def _all_parts(parts: tuple[Part, ...]) -> Iterator[Part]:
    for part in parts:
        if isinstance(part, OpaquePart):
            continue
        yield part
        if isinstance(part, ToolResultPart):
            yield from _all_parts(part.content)
