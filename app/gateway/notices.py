"""Notices for administrators who watch events that are no calls; they are written beside the calls' path.

Of too many at once, and of those that cannot be written, the log says how many were dropped.
Tests: tests/surfaces/test_admin_events.py.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from app.errors import GatewayError
from app.gateway.breaker import Circuit
from app.gateway.budgets.status import moment
from app.gateway.row_queue import RowQueue

if TYPE_CHECKING:
    from app.state.state import State


_LOG: Final = logging.getLogger(__name__)


class Notices:
    """Takes notices and writes them soon after. ``state`` opens the store."""

    def __init__(self, state: Callable[[], State]) -> None:
        self._state = state
        self._queue: RowQueue[dict[str, Any]] = RowQueue(self._write)

    def report_circuit(self, circuit: Circuit, phase: str, seconds: float) -> None:
        """Write down that a circuit of this process changed."""
        provider, model, key = circuit
        data: dict[str, Any] = {"state": phase, "provider": provider, "model": model, "key": key or None}
        data["seconds"] = round(seconds, 1)
        if not self._queue.add({"type": "breaker", "timestamp": moment(time.time()), "data": data}):
            _LOG.warning("a notice was dropped: too many wait to be written")

    def close(self) -> None:
        """Write the notices that still wait."""
        self._queue.close()

    def _write(self, notices: list[dict[str, Any]]) -> bool:
        try:
            state = self._state()
            process = {"process": state.db.owner}
            state.live_events.write([{**one, "data": one["data"] | process} for one in notices])
        except GatewayError as error:
            _LOG.warning("%d notices were dropped: %s", len(notices), error.raw or error.message)
        return True
