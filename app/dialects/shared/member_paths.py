"""Where in the client's own body a member of a message, a part or a tool stands."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.canonical.request import Request

_LISTS: Final = ("messages", "input", "contents", "system", "tools")
_INNER: Final = ("content", "parts", "output", "tool_calls", "function")
_CONTINUING: Final = ("previous_response_id", "conversation")
"""Members that bring history: what stands in the body then is not numbered as the client has it."""


class MemberPaths:
    """Paths like ``messages[0].content[1].x`` of members by name and value, in the body's order."""

    def __init__(self, request: Request) -> None:
        self._body = request.origin.body if request.origin is not None else {}
        self._find: dict[tuple[str, Any], deque[str]] | None = None

    def next(self, name: str, value: Any) -> str:
        """Return the path of the next member of this name and value, the name where none is found."""
        if self._find is None:
            self._find = {}
            for path, member, told in _members(self._body):
                self._find.setdefault((member, _key(told)), deque()).append(path)
        paths = self._find.get((name, _key(value)))
        return paths.popleft() if paths else name


def _key(value: Any) -> Any:
    """Return what tells values apart: a decoded request holds the client's own objects."""
    return id(value) if isinstance(value, dict | list) else (type(value), value)


def _members(body: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    if any(body.get(name) is not None for name in _CONTINUING):
        return
    for name in _LISTS:
        yield from _inside(body.get(name), name)


def _inside(value: Any, path: str) -> Iterator[tuple[str, str, Any]]:
    """Yield (path, name, value) of the members of the objects in a list of messages, parts or tools."""
    if isinstance(value, list):
        for at, one in enumerate(value):
            yield from _inside(one, f"{path}[{at}]")
    elif isinstance(value, dict):
        for name, member in value.items():
            yield f"{path}.{name}", name, member
        for name in _INNER:
            yield from _inside(value.get(name), f"{path}.{name}")
