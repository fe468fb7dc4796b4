"""Greenlets that a process runs until it stops."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import gevent
from gevent.lock import BoundedSemaphore

from app.errors import GatewayError
from app.wire.beats import until_beat

if TYPE_CHECKING:
    from app.state.database import Database


_LOG: Final = logging.getLogger(__name__)
_BEATS: Final = 10.0
CLOSING: Final = 2.0
"""Seconds that a process waits at its end for what it is writing."""


class Loop:
    """Runs ``run``, which never returns by itself, in a greenlet of its own.

    An exception that leaves ``run`` ends the loop until the next ``start``. ``run`` holds ``turn`` while it does what must
    not be cut.
    """

    def __init__(self, run: Callable[[], None]) -> None:
        self._run = run
        self.turn = BoundedSemaphore()
        self._greenlet: gevent.Greenlet[..., None] | None = None

    def start(self) -> bool:
        """Begin, unless the loop runs already; tell whether it begins now."""
        if self._greenlet is not None and not self._greenlet.ready():
            return False
        self._greenlet = gevent.spawn(self._run)
        return True

    def stop(self) -> None:
        """End the greenlet; a turn has a moment to end first. A later ``start`` begins anew."""
        between = self.turn.acquire(timeout=CLOSING)
        if self._greenlet is not None:
            self._greenlet.kill()
            self._greenlet = None
        if between:
            self.turn.release()


class PeriodicTask(Loop):
    """A loop that calls ``work`` at once and then again and again, ``seconds`` apart; up to ten seconds at beats.

    It outlives every exception: it logs ``trouble`` with the cause and goes on.
    """

    def __init__(self, work: Callable[[], object], seconds: float, trouble: str) -> None:
        super().__init__(self._repeat)
        self._work = work
        self._seconds = seconds
        self._trouble = trouble

    def _repeat(self) -> None:
        while True:
            try:
                self._turn()
                continue
            except GatewayError as error:
                _LOG.warning("%s: %s", self._trouble, error.raw or error.message)
            except Exception:  # noqa: BLE001 - whatever the fault, the next call may succeed
                _LOG.exception(self._trouble)
            self._rest()

    def _turn(self) -> None:
        self._work()
        self._rest()

    def _rest(self) -> None:
        """Sleep; long and rare work does not begin in all processes at once."""
        gevent.sleep(until_beat(self._seconds) if self._seconds <= _BEATS else self._seconds)


class Watch(PeriodicTask):
    """A periodic task that is also done as soon as ``topic`` is notified; ``db`` opens the database."""

    def __init__(
        self,
        db: Callable[[], Database],
        topic: str,
        work: Callable[[], object],
        seconds: float,
        trouble: str,
    ) -> None:
        super().__init__(work, seconds, trouble)
        self._db = db
        self._topic = topic

    def _turn(self) -> None:
        db = self._db()
        with db.wakeups.subscription(self._topic) as wakeup:
            self._work()
            db.wait(wakeup, self._seconds)
