"""Joins the sums of hours and days that ended, beside everything else that this process does."""

from __future__ import annotations

import logging
import time
from typing import Final

import gevent

from app.state import rollups
from app.state.database import Database
from app.state.loops import Loop

_EVERY: Final = 600.0
_AT_ONCE: Final = 100
_SHARE: Final = 4  # a pause is so many times as long as the work before it
_MANY: Final = (
    30  # from so many on there was an upgrade, or a night without a server, and the log tells how far it is
)
_LOG: Final = logging.getLogger(__name__)


class Joiner:
    """Joins in a greenlet of its own, for at most a fifth of the time; several processes may, and share the work."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._loop = Loop(self._run)

    def start(self) -> None:
        """Join now and every ten minutes what can be joined."""
        self._loop.start()

    def stop(self) -> None:
        """End the greenlet; what was joined stays."""
        self._loop.stop()

    def join(self) -> None:
        """Join all that can be joined now, some at once and the newest first."""
        left = len(found := rollups.unjoined(self._db, time.time()))
        tells = left >= _MANY
        while found:
            if tells:
                _LOG.info("%d hours and days of the call log's sums are to be joined", left)
            for period in found[:_AT_ONCE]:
                begun = time.monotonic()
                rollups.join(self._db, period)
                gevent.sleep((time.monotonic() - begun) * _SHARE)
            before, left = left, len(found := rollups.unjoined(self._db, time.time()))
            if left >= before:
                break  # nothing of it can be joined yet
        if tells and not found:
            _LOG.info("the call log's sums are joined")

    def _run(self) -> None:
        while True:
            try:
                self.join()
            except Exception:  # noqa: BLE001 - the next turn does what this one left
                _LOG.warning("joining the call log's sums stopped", exc_info=True)
            gevent.sleep(_EVERY)
