"""The feed of an operator's live pages: calls as they end in any process, breakers, alerts.

One reader serves all who watch in this process, and stops with the last of them. Each has a bounded queue: who is
slow loses events and is told how many. Tests: tests/surfaces/test_admin_events.py.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent.event import Event
from gevent.lock import RLock

from app.errors import GatewayError
from app.gateway.budgets.status import moment
from app.state.records import Cursor, ended_at
from app.wire.json import dumps

if TYPE_CHECKING:
    from app.state.live_events import LiveEvent, Reader
    from app.state.state import State


_LOG: Final = logging.getLogger(__name__)

TYPES: Final = ("call", "breaker", "budget.threshold")
MOST_WAITING: Final = 1_000
_MOST_WATCHERS: Final = 100
_POLL_SECONDS: Final = 0.5
_TURN: Final = 100  # events between two turns of those who watch

Item = tuple[str, bytes, str | None]
"""The type of an event, its JSON, and the place after it."""


class Watcher:
    """One who watches; ``types`` are those of ``TYPES`` that it wants."""

    def __init__(self, types: Collection[str], place: str = "") -> None:
        self.place = place
        """What it has heard of, as a page that comes back says it."""
        self._types = types
        self._missed: set[bytes] = set()
        self._waiting: deque[Item] = deque()
        self._bell = Event()
        self._lost_item = 0
        self._ended = False

    def put(self, item: Item) -> None:
        """Queue an event, or count it as lost where too many wait."""
        if item[0] not in self._types or item[1] in self._missed:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._lost_item += 1
        else:
            self._waiting.append(item)
        self._bell.set()

    def miss(self, items: Iterable[Item], *, whole: bool) -> None:
        """Begin with what was missed; what of it comes again meanwhile is not told twice.

        Not ``whole``: there was more, or nobody knows."""
        waiting, found = list(self._waiting), [item for item in items if item[0] in self._types]
        self._missed = {data for _, data, _ in found}
        self._waiting = deque([*(() if whole else (_lost_item(None),)), *found])
        for item in waiting:
            self.put(item)

    def lose(self, count: int) -> None:
        """Count events that nobody could read."""
        self._lost_item += count
        self._bell.set()

    def end(self) -> None:
        """Let ``take`` return None from now on."""
        self._ended = True
        self._bell.set()

    def take(self, seconds: float) -> list[Item] | None:
        """Return what waits, in order, once there is something or ``seconds`` are over; None at the end.

        Where some were lost, ``lost`` comes first after those that came before."""
        self._bell.wait(seconds)
        self._bell.clear()
        if self._ended:
            return None
        items = list(self._waiting)
        self._waiting.clear()
        if self._lost_item:
            items.append(_lost_item(self._lost_item))
            self._lost_item = 0
        return items


class Feed:
    """Tells watchers what is new. ``state`` opens the store."""

    def __init__(self, state: Callable[[], State]) -> None:
        self._state = state
        self._watchers: set[Watcher] = set()
        self._reader: Reader | None = None
        self._lock = RLock()

    def watch(self, types: Collection[str] = TYPES, since: str | None = None) -> Watcher:
        """Return a watcher of what happens from now on, and after the event ``since`` that it was told last.

        Raises ``overloaded`` where too many watch in this process, and ``store_unavailable``."""
        if len(self._watchers) >= _MOST_WATCHERS:
            raise GatewayError(
                "overloaded", f"{_MOST_WATCHERS} watch the events of this process already; close one of them."
            )
        watcher, known = Watcher(types), None if since is None else Cursor.parse(since)
        with self._lock:
            if self._reader is None:
                self._reader = self._state().live_events.reader()
                gevent.spawn(self._run, self._reader)
            self._watchers.add(watcher)
            watcher.place = str(known or self._reader.cursor())
        if since is not None:
            try:
                self._send_missed(watcher, known)
            except BaseException:
                self.leave(watcher)
                raise
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """Let a watcher go; with the last of them nothing is read any more."""
        self._watchers.discard(watcher)
        if not self._watchers:
            self._stop()

    def close(self) -> None:
        """End all watchers."""
        for watcher in self._watchers:
            watcher.end()
        self._stop()

    def _stop(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _send_missed(self, watcher: Watcher, since: Cursor | None) -> None:
        events, more = ([], True) if since is None else self._state().live_events.since(since)
        watcher.miss(map(_item, events), whole=not more)

    def _run(self, reader: Reader) -> None:
        while reader is self._reader:
            reader.wakeup.wait(_POLL_SECONDS)
            reader.wakeup.clear()
            try:
                self._publish(reader)
            except GatewayError as error:
                _LOG.warning("events cannot be read: %s", error.raw or error.message)
            except Exception:  # noqa: BLE001 - the loop must outlive any fault, or nobody would be told
                _LOG.exception("events cannot be read")

    def _publish(self, reader: Reader) -> None:
        for number, event in enumerate(reader.read(), 1):
            item = _item(event)
            for watcher in self._watchers:
                watcher.put(item)
            if number % _TURN == 0:
                gevent.sleep(0)  # so that who reads fast loses nothing of a crowd
        lost, reader.lost = reader.lost, 0
        for watcher in self._watchers if lost else ():
            watcher.lose(lost)


def ready(calls: str, place: str) -> Item:
    """Return the first event: which ``calls`` come (``on``, ``errors`` or ``off``), after which place."""
    return "ready", _event("ready", None, {"calls": calls}), place


def _item(event: LiveEvent) -> Item:
    kind, body, cursor = event
    if kind == "notice":
        return str(body["type"]), dumps(dict(body)), str(cursor)
    return "call", _event("call", ended_at(body), body), str(cursor)


def _lost_item(events: int | None) -> Item:
    return "lost", _event("lost", None, {"events": events}), None


def _event(kind: str, seconds: float | None, data: Mapping[str, Any]) -> bytes:
    timed = {} if seconds is None else {"timestamp": moment(seconds)}
    return dumps({"type": kind, **timed, "data": dict(data)})
