"""Cached answers in this process: those used last, up to a number of bytes.

Tests: tests/gateway/test_cache_identity.py.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from app.canonical.record import record
from app.canonical.response import Finish, Response, Usage

_MOST: Final = 64 * 1024 * 1024  # bytes of a process
_LARGEST: Final = 1024 * 1024  # bytes of an answer
_OVERHEAD_FACTOR: Final = 2  # an answer is in memory as JSON and decoded


@record
class Entry:
    """One complete answer: its JSON as the client got it, decoded if a stream can be made of it, and the target that gave it.

    ``response_id`` names the stored response that it came from, None where none is. ``warnings`` are those of its call."""

    id: str
    tenant: str
    label: str
    body: bytes
    response: Response | None = None
    usage: Usage | None = None
    finish: Finish | None = None
    cost: Mapping[str, Any] | None = None
    response_id: str | None = None
    warnings: Sequence[Mapping[str, str | None]] = ()


class Memory:
    """A bounded table of entries; ``clock`` tells seconds."""

    def __init__(self, most: int = _MOST, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._size = 0
        self._entries: OrderedDict[str, tuple[float, Entry]] = OrderedDict()

    def get(self, name: str) -> Entry | None:
        """Return the entry of that name, None if there is none or its time is over."""
        until, entry = self._entries.get(name, (0.0, None))
        if entry is None:
            return None
        if self._clock() >= until:
            self.drop(name)
            return None
        self._entries.move_to_end(name)
        return entry

    def put(self, entry: Entry, ttl: float) -> bool:
        """Store an entry for ``ttl`` seconds; those used least recently make room. False for one that is too large."""
        self.drop(entry.id)
        if len(entry.body) > min(_LARGEST, self._most // _OVERHEAD_FACTOR):
            return False
        self._entries[entry.id] = (self._clock() + ttl, entry)
        self._size += _size(entry)
        while self._size > self._most:
            self.drop(next(iter(self._entries)))
        return True

    def clear(self) -> None:
        """Remove all entries."""
        self._entries.clear()
        self._size = 0

    def drop(self, name: str) -> None:
        """Remove the entry of that name, if there is one."""
        _, entry = self._entries.pop(name, (0.0, None))
        if entry is not None:
            self._size -= _size(entry)


def _size(entry: Entry) -> int:
    return _OVERHEAD_FACTOR * len(entry.body) + 1024
