"""Reloads over one database: who is asked for one has the other servers take their configuration anew, too.

The database keeps the moment of the last, in milliseconds; a worker looks at it every two seconds, off every call's path. The first
one of a server that finds it later than its own configuration sends the server's first process SIGHUP, which judges its own file: a
faulty one is told in its log and changes nothing there. Tests: tests/deploy/test_reload.py.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import gevent

from app.errors import GatewayError
from app.reload_report import BOARD

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.state.signals import Signals


TOPIC: Final = "configuration"
"""Notified when a server was reloaded; also the name of the revision that then grows."""

_LOOK_SECONDS: Final = 2.0
_CLOCKS: Final = 2.0  # seconds by which those of two machines may differ
_LOADED: Final = time.time()  # when this module was: a worker reads its configuration after that
_LOG: Final = logging.getLogger(__name__)


def tell(signals: Signals) -> None:
    """Have the other servers over this database reload; this one has done so. Raises ``store_unavailable``."""
    from app.state import revisions

    def work(connection: Connection) -> None:
        BOARD.note(revisions.advance(connection, TOPIC, _milliseconds(time.time())))

    signals.write(work, [TOPIC])


def follow(signals: Signals, is_over: Callable[[], bool]) -> None:
    """Reload this server when another was; returns once that is so, or this process leaves.

    The first look may come seconds after the configuration was read, so what was told meanwhile counts, too."""
    from app.state import revisions

    taken = _milliseconds(_LOADED - _CLOCKS)
    while not is_over():
        try:
            with signals.wakeups.subscribed(TOPIC) as wakeup:
                number = signals.db.read(lambda connection: revisions.current(connection, TOPIC))
                if number > taken:
                    taken = number
                    if _reload(number):
                        return
                wakeup.wait(_LOOK_SECONDS)
        except GatewayError as error:
            _LOG.warning("cannot look for reloads of other servers: %s", error.raw or error.message)
            gevent.sleep(_LOOK_SECONDS)


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def _reload(number: int) -> bool:
    """Ask the first process; False where another worker of it did, or it is not ours to ask."""
    verdict = BOARD.read()
    if verdict is None or verdict.master != os.getppid() or not BOARD.note(number):
        return False
    _LOG.warning("another server was reloaded, so this one takes its configuration anew")
    try:
        os.kill(verdict.master, signal.SIGHUP)
    except OSError as error:
        _LOG.warning("the server's first process cannot be signalled: %s", error)
    return True
