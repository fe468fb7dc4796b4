"""``websockets``' client, with a selector that gevent can bear.

A selector of gevent's goes on watching a socket after the client closed it. libev then finds the dead descriptor
and aborts the process.
"""

from __future__ import annotations

import selectors
from select import select
from types import SimpleNamespace
from typing import Any

from websockets.sync import connection
from websockets.sync.client import ClientConnection, connect

__all__ = ["ClientConnection", "connect"]


class Selector:
    """Waits until one of a few files can be read; between two waits it watches none."""

    def __init__(self) -> None:
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, file: Any, events: int, data: Any = None) -> None:
        """Wait for ``file``, too."""
        number = file.fileno()
        if number < 0:
            raise ValueError(f"Invalid file descriptor: {number}")
        self._keys[file] = selectors.SelectorKey(file, number, events, data)

    def select(self) -> list[tuple[selectors.SelectorKey, int]]:
        """Return the files that can be read."""
        return [(self._keys[file], selectors.EVENT_READ) for file in select(list(self._keys), [], [])[0]]

    def close(self) -> None:
        """Forget all files."""
        self._keys.clear()


connection.selectors = SimpleNamespace(  # type: ignore[assignment]
    DefaultSelector=Selector, EVENT_READ=selectors.EVENT_READ
)
