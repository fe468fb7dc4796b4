"""Wake-ups: a thread of control that waits for a topic is woken when this process is notified of it.

A topic is a response id or one of those named here. A notification is only a hint: a waiter also looks at the
database by itself after a while, because the notification of another process may get lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gevent.event import Event

QUEUE: Final = "queue"
KEYS: Final = "keys"
"""Notified when keys, tenants or administrators change; also the name of the revision that then grows."""
CACHE: Final = "cache"
"""Notified when cached answers are deleted; also the name of the revision that then grows."""

_POLL_SECONDS: Final = 0.05
_POLL_MAX_SECONDS: Final = 0.5


class Wakeups:
    """The subscriptions of one process, by topic.

    ``receives_all`` says that notifications of other processes arrive here, so that one need rarely look by oneself.
    """

    def __init__(self, *, receives_all: bool) -> None:
        self.receives_all = receives_all
        self._events: dict[str, set[Event]] = {}
        self.listeners: list[Callable[[str], None]] = []
        """Called with every topic that is notified."""

    @property
    def poll_seconds(self) -> float:
        """How long to wait for a notification, at first, before looking again."""
        return _POLL_MAX_SECONDS if self.receives_all else _POLL_SECONDS

    def longer(self, seconds: float) -> float:
        """Return how long a reader waits next that found nothing after ``seconds``."""
        return min(seconds * 2, _POLL_MAX_SECONDS)

    def notify(self, topic: str) -> None:
        """Wake everybody who waits for ``topic``."""
        for event in self._events.get(topic, ()):
            event.set()
        for listener in self.listeners:
            listener(topic)

    @contextmanager
    def subscription(self, topic: str) -> Iterator[Event]:
        """Lend an event that ``topic`` sets: clear it, look at the database, then wait for it."""
        from gevent.event import Event  # a plain script does without gevent

        event = Event()
        self._events.setdefault(topic, set()).add(event)
        try:
            yield event
        finally:
            events = self._events[topic]
            events.discard(event)
            if not events:
                del self._events[topic]
