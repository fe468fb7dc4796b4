"""Reloads over one database: who is asked for one has the other servers take their configuration anew, too.

A number in the database grows with each; a worker looks at it every two seconds, off every call's path. The first one of a
server that sees it grow sends the server's first process SIGHUP, which judges its own file: a faulty one is told in its
log and changes nothing there. Tests: tests/deploy/test_reload.py.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from typing import Final

import gevent
from sqlalchemy import Connection

from app.errors import GatewayError
from app.reloading import BOARD
from app.state import revisions
from app.state.signals import Signals

TOPIC: Final = "configuration"
"""What is rung, and the name of the revision that grows, when a server was reloaded."""

_LOOK_SECONDS: Final = 2.0
_LOG: Final = logging.getLogger(__name__)


def tell(signals: Signals) -> None:
    """Have the other servers over this database reload; this one has done so. Raises ``store_unavailable``."""

    def work(connection: Connection) -> None:
        BOARD.note(revisions.advance(connection, TOPIC))

    signals.write(work, [TOPIC])


def follow(signals: Signals, is_over: Callable[[], bool]) -> None:
    """Reload this server when another was; returns once that is so, or this process leaves."""
    first: int | None = None
    while not is_over():
        try:
            with signals.wakeups.waiting(TOPIC) as bell:
                number = signals.db.read(lambda connection: revisions.current(connection, TOPIC))
                first = number if first is None else first
                if number != first:
                    _reload(number)
                    return
                bell.wait(_LOOK_SECONDS)
        except GatewayError as error:
            _LOG.warning("cannot look for reloads of other servers: %s", error.raw or error.message)
            gevent.sleep(_LOOK_SECONDS)


def _reload(number: int) -> None:
    """Ask the first process, unless another worker of it did."""
    verdict = BOARD.read()
    if verdict is None or verdict.master != os.getppid() or not BOARD.note(number):
        return
    _LOG.warning("another server was reloaded, so this one takes its configuration anew")
    try:
        os.kill(verdict.master, signal.SIGHUP)
    except OSError as error:
        _LOG.warning("the server's first process cannot be signalled: %s", error)
