"""Bells: who waits for a topic is woken when it is rung in this process.

A topic is a response id or one of those named here. Ringing is a hint only: whoever waits also looks
again by itself after a while, because the ring of another process may get lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from gevent.event import Event

QUEUE: Final = "queue"
KEYS: Final = "keys"
"""What is rung, and the name of the revision that grows, when keys, tenants or administrators changed."""
CACHE: Final = "cache"
"""What is rung, and the name of the revision that grows, when answers were taken away."""


class Wakeups:
    """The bells of one process, by topic."""

    def __init__(self) -> None:
        self._bells: dict[str, set[Event]] = {}
        self.ears: list[Callable[[str], None]] = []
        """Who is told every topic that is rung."""

    def ring(self, topic: str) -> None:
        """Wake everybody who waits for ``topic``."""
        for bell in self._bells.get(topic, ()):
            bell.set()
        for ear in self.ears:
            ear(topic)

    @contextmanager
    def waiting(self, topic: str) -> Iterator[Event]:
        """Hang up a bell for ``topic``: clear it, look at the database, then wait for it."""
        bell = Event()
        self._bells.setdefault(topic, set()).add(bell)
        try:
            yield bell
        finally:
            bells = self._bells[topic]
            bells.discard(bell)
            if not bells:
                del self._bells[topic]
