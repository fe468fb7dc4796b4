"""Subscriptions to live events: calls as they end in any process, breakers, and notices of budgets.

One reader serves all subscriptions of this process, and stops with the last of them. Each subscription has a bounded
queue: a slow subscriber loses events and gets their number. Tests: tests/surfaces/test_admin_events.py.
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
MAX_QUEUED: Final = 1_000
_MAX_SUBSCRIPTIONS: Final = 100
_POLL_SECONDS: Final = 0.5
_YIELD_EVERY: Final = 100  # events after which the subscribers get a turn

Item = tuple[str, bytes, str | None]
"""The type of an event, its JSON, and the cursor after it."""


class Subscription:
    """The queue of one subscriber; ``types`` are the wanted ones of ``TYPES``."""

    def __init__(self, types: Collection[str], cursor: str = "") -> None:
        self.cursor = cursor
        """Where it began; a page that reconnects sends the cursor of its last event."""
        self._types = types
        self._replayed: set[bytes] = set()
        self._queue: deque[Item] = deque()
        self._wakeup = Event()
        self._lost = 0
        self._closed = False

    def put(self, item: Item) -> None:
        """Queue an event, or count it as lost where the queue is full."""
        if item[0] not in self._types or item[1] in self._replayed:
            return
        if len(self._queue) >= MAX_QUEUED:
            self._lost += 1
        else:
            self._queue.append(item)
        self._wakeup.set()

    def replay(self, items: Iterable[Item], *, complete: bool) -> None:
        """Put earlier events before the queued ones; events that are among both come once.

        Where ``complete`` is false, earlier events are missing, and an event of the type ``lost`` says so."""
        queued, earlier = list(self._queue), [item for item in items if item[0] in self._types]
        self._replayed = {data for _, data, _ in earlier}
        self._queue = deque([*(() if complete else (_lost_item(None),)), *earlier])
        for item in queued:
            self.put(item)

    def count_lost(self, events: int) -> None:
        """Count events that could not be read."""
        self._lost += events
        self._wakeup.set()

    def close(self) -> None:
        """Make ``next_items`` return None from now on."""
        self._closed = True
        self._wakeup.set()

    def next_items(self, seconds: float) -> list[Item] | None:
        """Wait for events, at most ``seconds``, and return them in order; None when the subscription is closed.

        If events were lost, an event of the type ``lost`` with their number comes last."""
        self._wakeup.wait(seconds)
        self._wakeup.clear()
        if self._closed:
            return None
        items = list(self._queue)
        self._queue.clear()
        if self._lost:
            items.append(_lost_item(self._lost))
            self._lost = 0
        return items


class Publisher:
    """Gives live events to all subscriptions of this process. ``state`` opens the store."""

    def __init__(self, state: Callable[[], State]) -> None:
        self._state = state
        self._subscriptions: set[Subscription] = set()
        self._reader: Reader | None = None
        self._lock = RLock()

    def subscribe(self, types: Collection[str] = TYPES, since: str | None = None) -> Subscription:
        """Return a subscription to events from now on, and to those after the cursor ``since``.

        Raises ``overloaded`` where this process has too many subscriptions, and ``store_unavailable``."""
        if len(self._subscriptions) >= _MAX_SUBSCRIPTIONS:
            raise GatewayError(
                "overloaded",
                f"{_MAX_SUBSCRIPTIONS} watch the events of this process already; close one of them.",
            )
        subscription, cursor = Subscription(types), None if since is None else Cursor.parse(since)
        with self._lock:
            if self._reader is None:
                self._reader = self._state().live_events.reader()
                gevent.spawn(self._run, self._reader)
            self._subscriptions.add(subscription)
            subscription.cursor = str(cursor or self._reader.cursor())
        if since is not None:
            try:
                self._replay(subscription, cursor)
            except BaseException:
                self.unsubscribe(subscription)
                raise
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Remove a subscription; after the last one nothing is read any more."""
        self._subscriptions.discard(subscription)
        if not self._subscriptions:
            self._stop()

    def close(self) -> None:
        """Close all subscriptions."""
        for subscription in self._subscriptions:
            subscription.close()
        self._stop()

    def _stop(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _replay(self, subscription: Subscription, since: Cursor | None) -> None:
        events, more = ([], True) if since is None else self._state().live_events.since(since)
        subscription.replay(map(_item, events), complete=not more)

    def _run(self, reader: Reader) -> None:
        while reader is self._reader:
            reader.wakeup.wait(_POLL_SECONDS)
            reader.wakeup.clear()
            try:
                self._publish(reader)
            except GatewayError as error:
                _LOG.warning("events cannot be read: %s", error.raw or error.message)
            except Exception:  # noqa: BLE001 - the loop must outlive any fault, or no event would be published
                _LOG.exception("events cannot be read")

    def _publish(self, reader: Reader) -> None:
        for number, event in enumerate(reader.read(), 1):
            item = _item(event)
            for subscription in self._subscriptions:
                subscription.put(item)
            if number % _YIELD_EVERY == 0:
                gevent.sleep(0)  # so that a fast subscriber loses no event of many
        lost, reader.lost = reader.lost, 0
        for subscription in self._subscriptions if lost else ():
            subscription.count_lost(lost)


def ready(calls: str, cursor: str) -> Item:
    """Return the first event: which ``calls`` come (``on``, ``errors`` or ``off``), and where the subscription began."""
    return "ready", _event("ready", None, {"calls": calls}), cursor


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
