"""The call log's writer: rows wait in a bounded queue, and go to the database in batches, off every call's path.

What finds the queue full, or cannot be written, is dropped and counted. Tests: tests/surfaces/test_calls.py.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import gevent
from gevent.event import Event

from app.dialects.shared.losses import Loss
from app.errors import GatewayError
from app.gateway.call_bodies import bodies_of, size_of
from app.gateway.layers.base import Listener, Services
from app.gateway.outcome import Outcome
from app.operations import request_type
from app.state.ids import new_id
from app.state.loops import Loop

_LOG: Final = logging.getLogger(__name__)
_MOST_WAITING: Final = 10_000
_BATCH: Final = 200
_GATHER: Final = 0.2
_MOST_BODIES: Final = 64 * 1024 * 1024  # characters that wait
_PURGE_SECONDS: Final = 600.0
_DAY: Final = 86_400.0
_MOST_WARNINGS: Final = 20  # kept with their words; the row's number counts all
_MOST_OF_WARNING: Final = 300  # characters


class CallWriter:
    """Takes the end of each call, and writes it down soon."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._errors_only = services.settings.call_log == "errors"
        self._waiting: deque[dict[str, Any]] = deque()
        self._bell = Event()
        self._loop = Loop(self._run)
        self._purge_at = 0.0
        self._keeps_bodies = services.settings.log_bodies
        self._bodies: dict[str, dict[str, Any]] = {}
        self._room = _MOST_BODIES

    def note(self, outcome: Outcome) -> None:
        """Queue the row of a call that ended."""
        if not outcome.began or (self._errors_only and outcome.error is None):
            return
        if len(self._waiting) >= _MOST_WAITING:
            self._drop(1)
            return
        row = _row(outcome)
        self._waiting.append(row)
        if self._keeps_bodies:
            self._keep_bodies(row["id"], outcome)
        self._bell.set()
        self._loop.start()

    def close(self) -> None:
        """Write what still waits."""
        self._loop.stop()
        while self._waiting:
            self._write()

    def _run(self) -> None:
        while True:
            self._bell.wait(_PURGE_SECONDS)
            self._bell.clear()
            gevent.sleep(_GATHER)  # calls that end soon after come in the same batch
            for _ in range(0, len(self._waiting), _BATCH):  # those that end meanwhile gather, too
                self._write()
            if time.monotonic() >= self._purge_at:
                self._purge_at = time.monotonic() + _PURGE_SECONDS
                self._try(self._purge)

    def _write(self) -> None:
        rows = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
        bodies = self._take_bodies(rows)
        if not self._try(lambda: self._store(rows, bodies)):
            self._drop(len(rows))

    def _store(self, rows: list[dict[str, Any]], bodies: dict[str, dict[str, Any]]) -> None:
        state = self._services.state()
        for row in rows:
            if row["user"] is not None:
                row["user"] = state.keys.hasher.digest(row["user"])[:32]
        state.call_log.write(rows, bodies)

    def _keep_bodies(self, call_id: str, outcome: Outcome) -> None:
        """Keep what was asked and answered until its row is written; what finds no room is left out."""
        bodies = bodies_of(outcome)
        size = size_of(bodies)
        if size > self._room:
            _LOG.warning("the bodies of a call are not logged: too many wait to be written")
            return
        self._room -= size
        self._bodies[call_id] = bodies

    def _take_bodies(self, rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        found = {row["id"]: self._bodies.pop(row["id"]) for row in rows if row["id"] in self._bodies}
        self._room += sum(map(size_of, found.values()))
        return found

    def _purge(self) -> None:
        settings, log = self._services.settings, self._services.state().call_log
        log.purge(settings.log_days * _DAY, settings.log_rows, settings.log_bodies_days * _DAY)

    def _try(self, work: Callable[[], None]) -> bool:
        """Do what may fail without a call's failing for it; tell whether it was done."""
        try:
            work()
        except GatewayError as error:
            _LOG.warning("the call log cannot be written: %s", error.raw or error.message)
            return False
        except Exception:  # noqa: BLE001 - a defect that is logged: the log of later calls goes on
            _LOG.exception("the call log cannot be written")
            return False
        return True

    def _drop(self, count: int) -> None:
        if self._services.metrics is not None:
            self._services.metrics.note_lost_rows(count)
        else:
            _LOG.warning("%d rows of the call log were dropped", count)


def make(services: Services) -> Listener | None:
    """Return the listener that logs each call in the database; None where that is off."""
    if services.settings.call_log == "off":
        return None
    writer = CallWriter(services)
    services.on_close(writer.close)
    return writer.note


def _row(outcome: Outcome) -> dict[str, Any]:
    """Return the row of a call, as an administrator sees it."""
    call, error, cost = outcome.call, outcome.error, outcome.cost
    last = call.attempts[-1] if call.attempts else None
    target = outcome.target
    first = outcome.first_content
    row = {
        "id": new_id("call"),
        "object": "call",
        "created_at": int(time.time() - call.elapsed_ms() / 1000),
        "request_id": call.id,
        "tenant": call.principal.tenant,
        "key": call.principal.key,
        "door": call.door or None,
        "request_type": request_type(call.operation, call.stream),
        "model_requested": call.model,
        "model": target.model if target else last.model if last else None,
        "provider": target.provider.name if target else last.provider if last else None,
        "provider_key": last.key if last else None,
        "status": outcome.status,
        "error_code": (error.code or error.kind.name) if error else None,
        "finish_reason": outcome.finish.reason if outcome.finish else None,
        "usage": _usage(outcome),
        "cost": cost.get("total_cost") if cost else None,
        "cost_details": dict(cost) if cost else None,
        "latency": call.elapsed_ms(),
        "first_content": None if first is None else round((first - call.started) * 1000),
        "queued": None,
        "attempts": [attempt.row() for attempt in call.attempts],
        "cache": call.progress.cached,
        "warnings": len(outcome.losses),
        "user": _user(call.body),
        "metadata": {**_texts(call.body.get("metadata")), **call.log_metadata},
        "response_id": call.response_id,
    }
    if outcome.losses:
        row["warned"] = [_loss_row(loss) for loss in outcome.losses[:_MOST_WARNINGS]]
    return row


def _loss_row(loss: Loss) -> dict[str, str | None]:
    """Return a warning as a row keeps it: its path and its sentence, cut where it is long."""
    text = loss.message
    cut = text if len(text) <= _MOST_OF_WARNING else text[: _MOST_OF_WARNING - 1] + "…"
    return {"param": loss.param, "message": cut}


def _usage(outcome: Outcome) -> dict[str, int] | None:
    usage = outcome.usage
    if usage is None:
        return None
    names = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
    return {name: getattr(usage, name) for name in names}


def _user(body: Any) -> str | None:
    named = (body.get(name) for name in ("safety_identifier", "user"))
    return next((text for text in named if isinstance(text, str) and text), None)


def _texts(value: Any) -> dict[str, str]:
    members = value.items() if isinstance(value, dict) else ()
    return {name: text for name, text in members if isinstance(text, str)}
