"""Paths of members of messages, parts and tools in the client's body."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.canonical.request import Request

_LISTS: Final = ("messages", "input", "contents", "system", "tools")
_INNER: Final = ("content", "parts", "output", "tool_calls", "function")
_HISTORY: Final = ("previous_response_id", "conversation")
"""Members that add history before the input: indexes into the body would then not be the client's."""


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
            for path, member, content in _members(self._body):
                self._paths.setdefault((member, _key(content)), deque()).append(path)
        paths = self._paths.get((name, _key(value)))
        return paths.popleft() if paths else name


def _key(value: Any) -> Any:
    """Return a key for a value. Containers are compared by identity: a decoded request refers to the client's own."""
    return id(value) if isinstance(value, dict | list) else (type(value), value)


def _members(body: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    if all(body.get(name) is None for name in _HISTORY):
        for name in _LISTS:
            yield from _walk(body.get(name), name)


def _walk(value: Any, path: str) -> Iterator[tuple[str, str, Any]]:
    """Yield (path, name, value) of all members of an object, or of the objects in a list, and of those within."""
    if isinstance(value, list):
        for at, one in enumerate(value):
            yield from _walk(one, f"{path}[{at}]")
    elif isinstance(value, dict):
        for name, member in value.items():
            yield f"{path}.{name}", name, member
        for name in _INNER:
            yield from _walk(value.get(name), f"{path}.{name}")
