"""Reloads of servers over one database: a reload of one makes the others load their configuration, too.

The database has the time of the last reload by its own clock, in milliseconds; a worker reads it every two seconds,
beside the calls. The first worker of a server that finds it later than its own configuration sends SIGHUP to the server's
first process, which checks its own file: a faulty one is logged and changes nothing. Tests: tests/deploy/test_reload.py,
tests/gateway/test_reloads.py.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from app.reload_report import BOARD
from app.state.loops import Watch

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.state.database import Database


TOPIC: Final = "configuration"
"""Notified when a server was reloaded; also the name of the revision that then grows."""

_POLL_SECONDS: Final = 2.0
_SLACK: Final = 2.0  # seconds that reading the database's clock may take
_LOADED_AT: Final = time.monotonic()  # a worker reads its configuration after it loads this module
_LOG: Final = logging.getLogger(__name__)


def announce(db: Database) -> None:
    """Make the other servers over this database reload, after this one has. Raises ``store_unavailable``."""
    from app.state import revisions

    def work(connection: Connection) -> None:
        BOARD.note(revisions.advance(connection, TOPIC, _clock(connection)))

    db.write(work, [TOPIC])


def follow(db: Database, is_over: Callable[[], bool]) -> Watch:
    """Begin to reload this server after each of the others, until ``is_over``; return the watch, which runs.

    The first look may come seconds after the configuration was read, so an announcement in between counts, too. After it,
    each announcement counts, whatever becomes of the clock."""
    from app.state import revisions

    known: int | None = None

    def look() -> None:
        nonlocal known
        number = db.read(lambda connection: revisions.current(connection, TOPIC))
        if known is None:
            age = time.monotonic() - _LOADED_AT + _SLACK
            known = min(number, db.read(_clock) - int(age * 1000))
        if number > known and not is_over():
            _reload(number)

    watch = Watch(lambda: db, TOPIC, look, _POLL_SECONDS, "cannot look for reloads of other servers")
    watch.start()
    return watch


def _clock(connection: Connection) -> int:
    """Return the milliseconds of the database's clock."""
    from sqlalchemy import select

    from app.state.schema import db_now

    return int(connection.execute(select(db_now())).scalar_one() * 1000)


def _reload(number: int) -> None:
    """Signal the first process, unless another worker did, or it is not this worker's parent."""
    verdict = BOARD.read()
    if verdict is None or verdict.master != os.getppid() or not BOARD.note(number):
        return
    _LOG.warning("another server was reloaded, so this one takes its configuration anew")
    try:
        os.kill(verdict.master, signal.SIGHUP)
    except OSError as error:
        _LOG.warning("the server's first process cannot be signalled: %s", error)
