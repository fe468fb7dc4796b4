"""The call log's writer: rows go to the database in batches, off every call's path.

Rows wait while the database is away, for a minute. A row that finds the queue full, or cannot be written, is dropped and counted. Tests: tests/surfaces/test_calls.py.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from app.config import NANO
from app.dialects.shared.losses import Loss
from app.errors import GatewayError
from app.gateway.budgets.entries import counts
from app.gateway.call import Attempt
from app.gateway.call_bodies import bodies_of, size_of
from app.gateway.layers.base import Listener, Services
from app.gateway.outcome import Outcome
from app.gateway.redaction import shorten
from app.gateway.row_queue import RowQueue
from app.operations import request_type
from app.state.call_rows import CallRow, Figures, Members, QueuedRow, body_of, with_user
from app.state.ids import new_id
from app.state.ledger_rows import COUNTS, Entry
from app.state.loops import PeriodicTask
from app.wire.json import loads_lenient

_LOG: Final = logging.getLogger(__name__)
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
        self._queue = RowQueue(self._write, self._lose)
        self._failed: list[QueuedRow] | None = None
        self._purger = PeriodicTask(self._purge, _PURGE_SECONDS, "the call log cannot be purged")
        self._keeps_bodies = services.settings.log_bodies
        self._bodies: dict[str, dict[str, Any]] = {}
        self._room = _MOST_BODIES

    def note(self, outcome: Outcome) -> None:
        """Queue the row of a call that ended."""
        if self._errors_only and outcome.error is None:
            return
        row, figures = _row(outcome)
        if not self._queue.add((row, figures)):
            self._drop(1)
            return
        if self._keeps_bodies:
            self._keep_bodies(row.id, outcome)

    def close(self) -> None:
        """Write what is still queued."""
        self._lose(self._queue.close())
        self._purger.stop()

    def _write(self, queued: list[QueuedRow]) -> bool:
        try:
            self._store(queued)
        except GatewayError as error:
            _LOG.warning("the call log cannot be written: %s", error.raw or error.message)
            self._failed = queued
            return False
        except Exception:  # noqa: BLE001 - a defect that is logged: the log of later calls goes on
            _LOG.exception("the call log cannot be written")
            self._lose(queued)
        else:
            self._drop_bodies(queued)
        return True

    def _store(self, queued: list[QueuedRow]) -> None:
        state, rows = self._services.state(), list(queued)
        for place, (row, figures) in enumerate(queued):
            if figures.user:
                user = state.keys.hasher.digest(figures.user)[:32]
                rows[place] = with_user(row, user), figures._replace(user=user)
        state.call_log.write_rows(rows, self._bodies, is_again=queued is self._failed)
        self._purger.start()

    def _lose(self, queued: list[QueuedRow]) -> None:
        """Drop rows and their bodies."""
        self._drop_bodies(queued)
        self._drop(len(queued))

    def _keep_bodies(self, call_id: str, outcome: Outcome) -> None:
        """Keep what was asked and answered until its row is written; what finds no room is left out."""
        bodies = bodies_of(outcome)
        size = size_of(bodies)
        if size > self._room:
            _LOG.warning("the bodies of a call are not logged: too many wait to be written")
            return
        self._room -= size
        self._bodies[call_id] = bodies

    def _drop_bodies(self, queued: list[QueuedRow]) -> None:
        if self._bodies:
            self._room += sum(size_of(self._bodies.pop(row.id, {})) for row, _ in queued)

    def _purge(self) -> None:
        settings, log = self._services.settings, self._services.state().call_log
        log.purge(settings.log_days * _DAY, settings.log_rows, settings.log_bodies_days * _DAY)

    def _drop(self, count: int) -> None:
        if not count:
            return
        if self._services.metrics is not None:
            self._services.metrics.count("sluice_call_log_lost_rows", by=count)
        else:
            _LOG.warning("%d rows of the call log were dropped", count)


def make(services: Services) -> Listener | None:
    """Return the listener that logs each call in the database; None where that is off."""
    if services.settings.call_log == "off":
        return None
    writer = CallWriter(services)
    services.on_close(writer.close)
    return writer.note


class _Charge(NamedTuple):
    """The tokens of a call by kind, its dollars, and what these are made of. ``is_partial``: it cost more, which nobody knows."""

    counts: Mapping[str, int | None] | None
    cost: float | None
    details: Mapping[str, Any] | None
    is_partial: bool = False


def _row(outcome: Outcome) -> QueuedRow:
    """Return the row of a call and its figures; its user is hashed when it is written."""
    call, attempts, principal = outcome.call, outcome.call.attempts, outcome.call.principal
    last = attempts[-1] if attempts else None
    target = outcome.target or (last.target if last else None)
    charge = _charge_of(outcome)
    figures = _figures_of(outcome, charge)
    # What was just made is written in a fraction of the time that it takes later, and what is written is forgotten.
    row = CallRow(
        new_id("call"),
        int(time.time() - (figures.latency or 0) / 1000),
        principal.tenant,
        principal.key,
        target.provider.name if target else None,
        target.model if target else None,
        request_type(call.operation, call.stream),
        outcome.status,
        call.id,
        call.response_id,
        principal.id,
        body_of(_others_of(outcome, charge, figures)),
    )
    return row, figures


def _charge_of(outcome: Outcome) -> _Charge:
    """Return what a call is charged, as the ledger's rows of its attempts say it; where it has none, or one that tells no
    more than the answer, as the answer does."""
    usage, cost, call = outcome.usage, outcome.cost, outcome.call
    beside = _entries_of(call.progress.side_attempts)
    entries = _entries_of(call.attempts)
    is_partial = any(entry.cost is None for entry in (*entries, *beside))
    charge = _Charge(counts(usage), cost.get("total_cost") if cost else None, cost or None, is_partial)
    if len(entries) > 1 or (entries and entries[0].state == "estimated"):
        details = entries[-1].cost_details
        charge = _sum_of(_Charge(None, None, cost or None, is_partial), entries)
        if len(entries) == 1 and details is not None:
            charge = charge._replace(details=loads_lenient(details))
    return _sum_of(charge, beside) if beside else charge


def _entries_of(attempts: Sequence[Attempt]) -> list[Entry]:
    """Return the ledger's rows of attempts that are over and may have cost something."""
    entries = [one.entry for one in attempts if one.entry is not None]
    return [entry for entry in entries if entry.cost != 0 or entry.input_tokens is not None]


def _sum_of(charge: _Charge, entries: Sequence[Entry]) -> _Charge:
    """Return a charge together with the ledger's rows of further attempts."""
    before = charge.counts or {}
    counted = {
        name: (before.get(name) or 0) + sum(getattr(entry, name) or 0 for entry in entries) for name in COUNTS
    }
    costs = [entry.cost / NANO for entry in entries if entry.cost is not None]
    if charge.cost is not None:
        costs.append(charge.cost)
    return charge._replace(counts=counted, cost=round(sum(costs), 9) if costs else None)


def _figures_of(outcome: Outcome, charge: _Charge) -> Figures:
    call, error, first, body = outcome.call, outcome.error, outcome.first_content, outcome.call.body
    counted = charge.counts or {}
    return Figures(
        call.surface or None,
        (error.code or error.kind.name) if error else None,
        _text(body.get("safety_identifier")) or _text(body.get("user")),
        {**_texts(body.get("metadata")), **call.log_metadata},
        counted.get("input_tokens") or 0,
        counted.get("output_tokens") or 0,
        charge.cost,
        call.progress.cached,
        call.elapsed_ms(),
        None if first is None else round((first - call.started) * 1000),
        charge.is_partial,
    )


def _others_of(outcome: Outcome, charge: _Charge, figures: Figures) -> Members:
    """Return the members of a row without columns."""
    attempts, losses = outcome.call.attempts, outcome.losses
    return {
        "door": figures.door,
        "model_requested": outcome.call.model,
        "provider_key": attempts[-1].key if attempts else None,
        "error_code": figures.error_code,
        "finish_reason": outcome.finish.reason if outcome.finish else None,
        "usage": charge.counts,
        "cost": figures.cost,
        "cost_details": charge.details,
        "latency": figures.latency,
        "first_content": figures.first_content,
        "attempts": [attempt.row() for attempt in attempts],
        "cache": figures.cache,
        "warnings": len(losses),
        "user": figures.user,
        "metadata": figures.metadata,
        "warned": [_loss_row(loss) for loss in losses[:_MOST_WARNINGS]] if losses else None,
    }


def _loss_row(loss: Loss) -> dict[str, str | None]:
    """Return a warning as a row keeps it: its path and its sentence, cut where it is long."""
    return {"param": loss.param, "message": shorten(loss.message, _MOST_OF_WARNING)}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {name: text for name, text in value.items() if isinstance(text, str)}
