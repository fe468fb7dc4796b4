"""What Prometheus is told: calls, attempts, tokens, money and times, by operation and provider.

The values of all workers of one server add up: gunicorn's configuration names a folder
(``PROMETHEUS_MULTIPROC_DIR``) that they share. No model, key or tenant is a label, because a
caller could make as many of them as he likes; the log has those. The library is imported
when the metrics are made, which is when they are asked for (``SLUICE_METRICS``). Tests:
tests/surfaces/test_metrics.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, Protocol

from app.canonical.response import Usage
from app.gateway.outcome import Outcome

SHARED: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names the folder of all workers; the library reads it when imported."""

_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_NONE: Final = "none"


class Metrics:
    """The counters of one process."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        registry = self._registry = CollectorRegistry()
        self._calls = Counter(
            "sluice_calls",
            "Calls that ended, by the HTTP status they came to.",
            ("operation", "provider", "status"),
            registry=registry,
        )
        self._attempts = Counter(
            "sluice_attempts",
            "Tries at a provider, by the status it answered with ('none' where it did not).",
            ("provider", "status"),
            registry=registry,
        )
        self._tokens = Counter(
            "sluice_tokens", "Tokens of answered calls.", ("provider", "kind"), registry=registry
        )
        self._cost = Counter(
            "sluice_cost_dollars", "Known cost of answered calls.", ("provider",), registry=registry
        )
        self._seconds = Histogram(
            "sluice_call_seconds",
            "Whole time of calls.",
            ("operation", "provider"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._first = Histogram(
            "sluice_first_content_seconds",
            "Time to the first content of streams.",
            ("operation", "provider"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._away = Counter(
            "sluice_limits_away", "Times that Redis did not answer for the limits.", registry=registry
        )
        self._lost_rows = Counter(
            "sluice_call_log_lost_rows", "Rows of the call log that could not be written.", registry=registry
        )
        self._lost_entries = Counter(
            "sluice_ledger_lost_rows", "Rows of the ledger that could not be written.", registry=registry
        )
        self._alerts = Counter(
            "sluice_budget_alerts",
            "Thresholds (per cent) that budgets reached.",
            ("level", "threshold"),
            registry=registry,
        )
        self._open = Gauge(
            "sluice_open_calls", "Calls in flight.", registry=registry, multiprocess_mode="livesum"
        )

    def limits_away(self) -> None:
        """Note that Redis did not answer for the limits."""
        self._away.inc()

    def opened(self) -> None:
        """Note a call that began."""
        self._open.inc()

    def closed(self) -> None:
        """Note that it is over."""
        self._open.dec()

    def observe(self, outcome: Outcome) -> None:
        """Count a call that ended, however it ended."""
        if not outcome.began:
            return
        call = outcome.call
        provider = _provider_of(outcome)
        status = str(outcome.status)
        self._calls.labels(call.operation, provider, status).inc()
        self._seconds.labels(call.operation, provider).observe(call.elapsed_ms() / 1000)
        if outcome.first_content is not None:
            waited = max(0.0, outcome.first_content - call.started)
            self._first.labels(call.operation, provider).observe(waited)
        for attempt in call.attempts:
            self._attempts.labels(attempt.provider, str(attempt.status or _NONE)).inc()
        if outcome.usage is not None:
            self._count_tokens(provider, outcome.usage)
        cost = outcome.cost.get("total_cost") if outcome.cost else None
        if cost:
            self._cost.labels(provider).inc(max(0.0, cost))

    def _count_tokens(self, provider: str, usage: Usage) -> None:
        kinds = {
            "input": usage.input_tokens,
            "output": usage.output_tokens,
            "cached": usage.cached_tokens,
            "reasoning": usage.reasoning_tokens,
        }
        for kind, count in kinds.items():
            if count:
                self._tokens.labels(provider, kind).inc(count)

    def note_lost_rows(self, count: int) -> None:
        """Count rows of the call log that were dropped."""
        self._lost_rows.inc(count)

    def note_lost_entries(self, count: int) -> None:
        """Count rows of the ledger that were dropped."""
        self._lost_entries.inc(count)

    def note_alert(self, level: str, threshold: int) -> None:
        """Count a threshold that a budget reached."""
        self._alerts.labels(level, str(threshold)).inc()

    def note_request(self, operation: str, status: int) -> None:
        """Count a request of a door that was no call."""
        self._calls.labels(operation, _NONE, str(status)).inc()

    def page(self) -> tuple[bytes, str]:
        """Return the exposition and its content type; of all workers where they share a folder."""
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = self._registry
        if os.environ.get(SHARED):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
        return generate_latest(registry), CONTENT_TYPE_LATEST


class _Measured(Protocol):
    metrics: Metrics | None


def make(house: _Measured) -> Callable[[Outcome], None] | None:
    """Return the listener that counts each end; None where no metrics are asked for."""
    return None if house.metrics is None else house.metrics.observe


def _provider_of(outcome: Outcome) -> str:
    """Return the provider that answered, else the last that was tried."""
    if outcome.target is not None:
        return outcome.target.provider.name
    return outcome.call.attempts[-1].provider if outcome.call.attempts else _NONE
