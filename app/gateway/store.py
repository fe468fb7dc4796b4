"""The store of one process, opened at first use.

A gateway that serves only stateless calls never opens it, and while the database is down such calls still
work.

Tests: tests/lifecycle/test_outage.py.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

import gevent
from gevent.lock import RLock

from app.config import Settings
from app.errors import GatewayError
from app.state.crypto import sealing_variables

if TYPE_CHECKING:
    from app.state.state import State


T = TypeVar("T")
_LOG: Final = logging.getLogger(__name__)
_DAY: Final = 86_400.0
_PAUSE: Final = 1.0  # seconds until a store that is away is tried again


def retry_while_away(run: Callable[[], T], check: Callable[[], object]) -> T:
    """Return what ``run`` does, and run it again while the store is away.

    ``check`` raises where there is no more use in waiting. Raises every other error of ``run``."""
    while True:
        try:
            return run()
        except GatewayError as error:
            if error.kind.name != "store_unavailable":
                raise
            _LOG.warning("work waits for the store: %s", error.raw or error.message)
        check()
        gevent.sleep(_PAUSE)
        check()


class Store:
    """Opens the state of the settings once; ``close`` ends it.

    ``delete_outside`` deletes what a tenant has outside the database."""

    def __init__(self, settings: Settings, delete_outside: Callable[[str], None]) -> None:
        self._settings = settings
        self._delete_outside = delete_outside
        self._lock = RLock()
        self._state: State | None = None

    def open(self) -> State:
        """Return the state; raises GatewayError ``store_unavailable`` when it cannot be opened."""
        if self._state is None:
            with self._lock:
                if self._state is None:
                    self._state = self._open()
        return self._state

    def close(self, grace: float) -> None:
        """Finish or hand over background work within ``grace`` seconds and close."""
        if self._state is not None:
            self._state.stop(grace)
            self._state = None

    def stop_background(self, grace: float) -> None:
        """Stop the runners of background work, if they run."""
        if self._state is not None:
            self._state.stop_background(grace)

    def _open(self) -> State:
        from app.state.database import Access
        from app.state.state import open_state

        keys = sealing_variables(key.reveal() for key in self._settings.secret_keys)
        settings = self._settings
        access = Access(settings.database_pool, settings.database_wait, settings.listen_url)
        state = open_state(
            settings.database_url,
            keys,
            access=access,
            expanded_max=settings.max_body_bytes,
            encrypt=settings.encrypt,
        )
        days = settings.retention_days
        state.start(
            retention_seconds=None if days is None else days * _DAY, delete_outside=self._delete_outside
        )
        return state
