"""Notices for administrators who watch events that are no calls; they are written beside the calls' path.

Of too many at once, and of those that cannot be written, the log says how many were dropped.
Tests: tests/surfaces/test_admin_events.py.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from gevent.event import Event

from app.errors import GatewayError
from app.gateway.breaker import Circuit
from app.gateway.budgets.status import moment
from app.state.loops import Loop

if TYPE_CHECKING:
    from app.state.state import State


_LOG: Final = logging.getLogger(__name__)
_MAX_WAITING: Final = 1_000
_BATCH: Final = 100


class Notices:
    """Takes notices and writes them soon after. ``state`` opens the store."""

    def __init__(self, state: Callable[[], State]) -> None:
        self._state = state
        self._waiting: deque[dict[str, Any]] = deque()
        self._bell = Event()
        self._loop = Loop(self._run)

    def report_circuit(self, circuit: Circuit, phase: str, seconds: float) -> None:
        """Write down that a circuit of this process changed."""
        provider, model, key = circuit
        data = {"state": phase, "provider": provider, "model": model, "key": key or None}
        self._publish("breaker", data | {"seconds": round(seconds, 1)})

    def close(self) -> None:
        """Write the notices that still wait."""
        self._loop.stop()
        while self._waiting:
            self._write()

    def _publish(self, kind: str, data: dict[str, Any]) -> None:
        if len(self._waiting) >= _MAX_WAITING:
            _LOG.warning("a notice was dropped: %d wait to be written", _MAX_WAITING)
            return
        self._waiting.append({"type": kind, "timestamp": moment(time.time()), "data": data})
        self._bell.set()
        self._loop.start()

    def _run(self) -> None:
        while True:
            self._bell.wait()
            self._bell.clear()
            while self._waiting:
                self._write()

    def _write(self) -> None:
        some = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
        try:
            state = self._state()
            process = state.db.owner
            state.live_events.write([{**one, "data": one["data"] | {"process": process}} for one in some])
        except GatewayError as error:
            _LOG.warning("%d notices were dropped: %s", len(some), error.raw or error.message)
