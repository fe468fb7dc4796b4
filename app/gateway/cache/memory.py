"""Kept answers in this process: those used last, up to a number of bytes.

Tests: tests/gateway/test_cache_identity.py.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

from app.canonical.record import record
from app.canonical.response import Finish, Response, Usage

_MOST: Final = 64 * 1024 * 1024  # bytes of a process
_LARGEST: Final = 1024 * 1024  # bytes of an answer
_OVERHEAD_FACTOR: Final = 2  # an answer is kept as JSON and decoded


@record
class Entry:
    """One complete answer: its JSON at the door, decoded where a stream can be made of it, and who gave it.

    ``response_id`` names the stored response that it came from, None where none is."""

    id: str
    tenant: str
    label: str
    body: bytes
    response: Response | None = None
    usage: Usage | None = None
    finish: Finish | None = None
    cost: Mapping[str, Any] | None = None
    response_id: str | None = None


class Memory:
    """A bounded table of entries; ``clock`` tells seconds."""

    def __init__(self, most: int = _MOST, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._size = 0
        self._entries: OrderedDict[str, tuple[float, Entry]] = OrderedDict()

    def get(self, name: str) -> Entry | None:
        """Return the entry of that name while it lives."""
        found = self._entries.get(name)
        if found is None:
            return None
        until, entry = found
        if self._clock() >= until:
            self.drop(name)
            return None
        self._entries.move_to_end(name)
        return entry

    def put(self, entry: Entry, ttl: float) -> bool:
        """Keep an entry for ``ttl`` seconds; the oldest used make room. False for one that is too large."""
        self.drop(entry.id)
        if len(entry.body) > min(_LARGEST, self._most // _OVERHEAD_FACTOR):
            return False
        self._entries[entry.id] = (self._clock() + ttl, entry)
        self._size += _size(entry)
        while self._size > self._most:
            self.drop(next(iter(self._entries)))
        return True

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()
        self._size = 0

    def drop(self, name: str) -> None:
        """Forget the entry of that name, if there is one."""
        found = self._entries.pop(name, None)
        if found is not None:
            self._size -= _size(found[1])


def _size(entry: Entry) -> int:
    return _OVERHEAD_FACTOR * len(entry.body) + 1024
