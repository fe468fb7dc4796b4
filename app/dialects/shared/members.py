"""Vendor members of messages, parts and tools: members beyond those that all wires share, and their paths.

A decoder keeps them as native members. A wire that has a place for one takes it by name
(``pick_members``); the others are reported, like unknown members of the body.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.canonical.request import ImagePart, Message, Native, OpaquePart, Part, Request, Tool, ToolResultPart
from app.dialects.shared.body_paths import members_of
from app.dialects.shared.lenient_json import as_dict, rest, without_nulls
from app.dialects.shared.losses import Losses


class MemberPaths:
    """Finds the paths of members (``messages[0].content[1].x``) by name and value."""

    def __init__(self, request: Request) -> None:
        self._body = request.origin.body if request.origin is not None else {}
        self._paths: dict[tuple[str, Any], deque[str]] | None = None

    def next(self, name: str, value: Any) -> str:
        """Return the path of the next member with this name and value, in the body's order.

        Returns the bare name if there is no further one.
        """
        if self._paths is None:
            self._paths = {}
            for path, member, content in members_of(self._body):
                self._paths.setdefault((member, _key(content)), deque()).append(path)
        paths = self._paths.get((name, _key(value)))
        return paths.popleft() if paths else name


def _key(value: Any) -> Any:
    """Return a key for a value. Containers are compared by identity: a decoded request refers to the client's own."""
    return id(value) if isinstance(value, dict | list) else (type(value), value)


_MARK_NAMES: Final = ("cache_control", "prompt_cache_breakpoint")

CACHE_MARKS: Final = frozenset(_MARK_NAMES)
"""Members that mark the end of a prompt prefix worth caching: Anthropic's and OpenAI's."""

_HOLDERS: Final = frozenset({"item", "function"})
"""Members that hold the native members of a Responses item, or of the function in a chat tool."""

_SILENT: Final = frozenset(
    """
    agent audio caller created_by executed_tools format function_call id images
    index model namespace parsed phase provider_specific_fields reasoning_details role signature status
    tool_calls type
    """.split()
)
"""Members of answers that clients send back unchanged, and members that only structure a message."""

_INTERNAL: Final = frozenset({"as_document", "as_source", "mimeType", "plan", "signed", "whole"})
"""Members by which decoders record the original form of a part; the part itself has the content."""

MemberTable = Mapping[type, frozenset[str]]
"""The members that a wire takes, by the class of the part, ``Message`` or ``Tool``; under ``object``, by any."""


def own_members(native: Native | None, dialect: str) -> dict[str, Any]:
    """Return a copy of the native members if they belong to ``dialect``, else ``{}``."""
    return dict(native[1]) if native is not None and native[0] == dialect else {}


def as_native(dialect: str, members: Mapping[str, Any]) -> Native | None:
    """Return ``members`` as native to ``dialect``, None if there are none."""
    return (dialect, members) if members else None


def native_rest(dialect: str, members: Mapping[str, Any], known: frozenset[str]) -> Native | None:
    """Return the members that are neither ``known`` nor null as native to ``dialect``, None if there are none."""
    return as_native(dialect, without_nulls(rest(members, known)))


def drawn_picture(part: OpaquePart) -> ImagePart | None:
    """Return the picture that a tool of a Responses provider drew, None for any other item."""
    item = own_members(part.native, "responses")
    data = item.get("result") if part.type == "image_generation_call" else None
    form = item.get("output_format") or "png"
    return ImagePart(data, f"image/{form}") if data and isinstance(data, str) else None


def flat_members(native: Native | None) -> dict[str, Any]:
    """Return all native members in one dict, those of the item or function included."""
    if native is None:
        return {}
    members = native[1]
    return {**as_dict(members.get("item")), **as_dict(members.get("function")), **rest(members, _HOLDERS)}


def pick_members(native: Native | None, names: frozenset[str]) -> dict[str, Any]:
    """Return the native members that are in ``names``, whichever dialect they are native to."""
    return {name: value for name, value in flat_members(native).items() if name in names}


def cache_mark(native: Native | None) -> dict[str, Any] | None:
    """Return the cache mark of a part or message in Anthropic's form, None if it has none."""
    members = flat_members(native)
    mark = members.get("cache_control")
    if isinstance(mark, dict) and mark:
        return mark
    return {"type": "ephemeral"} if mark or members.get("prompt_cache_breakpoint") else None


def report_members(request: Request, dialect: str, supported: MemberTable, losses: Losses) -> None:
    """Report vendor members of other dialects that are not ``supported``.

    Each name is reported once for each kind of owner, with the path of its first occurrence.
    Assistant messages of a Responses client are skipped: their members come from an earlier answer.
    """
    paths = MemberPaths(request)
    reports: set[tuple[type, str]] = set()
    for kind, native in _natives(request):
        if native is None or native[0] == dialect:
            continue
        quiet = _SILENT | _INTERNAL | supported.get(object, frozenset()) | supported.get(kind, frozenset())
        for name, value in flat_members(native).items():
            path = paths.next(name, value)
            if name in quiet or value in (None, [], {}, "") or (kind, name) in reports:
                continue
            reports.add((kind, name))
            warning = (
                f"'{name}' of {_OWNERS.get(kind, 'a content part')} is not known to this API and was left out"
            )
            losses.report("part_member", warning, param=path)


def report_marks(request: Request, dialect: str, losses: Losses) -> None:
    """Report the first cache mark of another dialect, for wires that have no cache marks."""
    paths = MemberPaths(request)
    for _, native in _natives(request):
        if native is None or native[0] == dialect or cache_mark(native) is None:
            continue
        members = flat_members(native)
        name = next(name for name in _MARK_NAMES if members.get(name))
        warning = f"'{name}' is not known to this API and was left out"
        losses.report("cache_control", warning, param=paths.next(name, members[name]))
        return


_OWNERS: Final[Mapping[type, str]] = {
    Message: "a message",
    Tool: "a tool",
    ToolResultPart: "a tool's result",
}


def _natives(request: Request) -> Iterator[tuple[type, Native | None]]:
    """Yield the native members of all messages, parts and tools, with the class of their owner."""
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
    """Yield the parts and those within tool results, without opaque ones."""
    for part in parts:
        if isinstance(part, OpaquePart):
            continue
        yield part
        if isinstance(part, ToolResultPart):
            yield from _all_parts(part.content)
