"""Rolls up the sums of hours and days that ended, beside everything else that this process does."""

from __future__ import annotations

import logging
import time
from typing import Final

import gevent

from app.state import rollups
from app.state.database import Database

SECONDS: Final = 600.0
"""How long to wait after one run until the next."""

_AT_ONCE: Final = 100
_SHARE: Final = 4  # a pause is so many times as long as the work before it
_MANY: Final = 30  # after an upgrade, or a night without a server: the log then shows the progress
_LOG: Final = logging.getLogger(__name__)


def roll_up_all(db: Database) -> None:
    """Roll up all hours and days that are pending now, the newest first.

    It works for at most a fifth of the time. Several processes may run it at once and share the work.
    """
    pending = rollups.pending(db, time.time())
    is_logged = len(pending) >= _MANY
    while pending:
        if is_logged:
            _LOG.info("%d hours and days of the call log's sums are to be rolled up", len(pending))
        for period in pending[:_AT_ONCE]:
            began = time.monotonic()
            rollups.roll_up(db, period)
            gevent.sleep((time.monotonic() - began) * _SHARE)
        before, pending = len(pending), rollups.pending(db, time.time())
        if len(pending) >= before:
            return  # nothing of the rest can be rolled up yet
    if is_logged:
        _LOG.info("the call log's sums are rolled up")
