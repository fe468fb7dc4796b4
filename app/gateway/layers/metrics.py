"""The metrics for Prometheus: requests, attempts, tokens, money and times; ``app/gateway/metric_series.py`` has the rows.

The values of all workers of one server add up: gunicorn's configuration names a folder
(``PROMETHEUS_MULTIPROC_DIR``) that they share. A call is counted in plain dictionaries, which are handed over to
the library, whose every addition locks and writes to that folder, all ``_DELAY`` seconds. The library is imported when the metrics are made, which is when they are asked for
(``SLUICE_METRICS``). Tests: tests/surfaces/test_metrics.py.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, Protocol

import gevent

from app.canonical.response import Usage
from app.errors import GatewayError
from app.gateway.call import Attempt, Call
from app.gateway.metric_series import OTHER, SERIES, Series, Spread
from app.gateway.outcome import Outcome

SHARED: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names the folder of all workers; the library reads it when imported."""

_NONE: Final = "none"
_DELAY: Final = 0.2
_REFUSALS: Final = {"rate_limited": "limit", "budget_exceeded": "budget", "overloaded": "load"}

_ROWS: Final = {row.name: row for row in SERIES}

Reading = tuple[str, tuple[str, ...], float]
"""A gauge as it stands at a scrape: the name of its series, its labels, its value."""


class Metrics:
    """The series of one process. ``models`` are those that may be labels."""

    def __init__(self, models: Iterable[str] = ()) -> None:
        from prometheus_client import CollectorRegistry

        self._models = frozenset(models)
        self._registry = CollectorRegistry()
        self._series = {
            row.name: _make_metric(row, self._registry) for row in SERIES if row.kind != "gauge" or row.sums
        }
        self._children: dict[tuple[str, ...], Any] = {}
        self._read: list[Callable[[], Iterable[Reading]]] = []
        self._sums: dict[tuple[str, ...], float] = {}
        self._spreads: dict[tuple[str, ...], Spread] = {}
        self._due = False

    # --- as things happen ----------------------------------------------------------------------

    def count(self, *place: str, by: float = 1) -> None:
        """Add to a counter, or to a gauge that is summed: the name of its series and its labels."""
        self._sums[place] = self._sums.get(place, 0) + by
        if not self._due:
            self._begin()

    def note_open_circuits(self, counts: Mapping[str, int]) -> None:
        """Set how many circuits of each provider are open in this process."""
        for provider, count in counts.items():
            self._of("sluice_breaker_open", provider).set(count)

    def note_request(self, operation: str, status: int, error: GatewayError | None = None) -> None:
        """Count a request of a surface that was no call."""
        self.count("sluice_requests", operation, _NONE, OTHER, str(status))
        if error is not None:
            self.count("sluice_errors", operation, _NONE, error.kind.name)

    def observe(self, outcome: Outcome) -> None:
        """Count a call that ended, however it ended."""
        call, provider, model = outcome.call, _provider_of(outcome), self._model_of(outcome)
        self.count("sluice_requests", call.operation, provider, model, str(outcome.status))
        if outcome.error is not None:
            self._count_error(call, provider, outcome.error)
        self._time(call, provider, outcome)
        self._count_attempts(call.attempts)
        if call.progress.cached != "off":
            self.count("sluice_cache_lookups", call.progress.cached)
        if outcome.usage is not None and call.progress.cached != "hit":
            self._count_tokens(provider, model, outcome.usage)
        cost = outcome.cost.get("total_cost") if outcome.cost else None
        if cost:
            self.count("sluice_cost_dollars", provider, model, by=max(0.0, cost))

    def _count_error(self, call: Call, provider: str, error: GatewayError) -> None:
        kind = error.kind.name
        self.count("sluice_errors", call.operation, provider, kind)
        if kind in _REFUSALS and all(attempt.refused for attempt in call.attempts):
            self.count("sluice_refusals", _REFUSALS[kind])

    def _time(self, call: Call, provider: str, outcome: Outcome) -> None:
        whole = time.monotonic() - call.started
        away = sum(attempt.away for attempt in call.attempts)
        self._spread("sluice_request_duration_seconds", call.operation, provider).add(whole)
        if away:
            self._spread("sluice_upstream_duration_seconds", call.operation, provider).add(away)
            self._spread("sluice_added_duration_seconds", call.operation).add(max(0.0, whole - away))
        if outcome.first_content is not None:
            waited = max(0.0, outcome.first_content - call.started)
            self._spread("sluice_first_content_seconds", call.operation, provider).add(waited)
        if outcome.gaps is not None and call.progress.cached != "hit":
            self._spread("sluice_chunk_gap_seconds", call.operation, provider).add_all(outcome.gaps.spread)

    def _count_attempts(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            if attempt.refused:
                continue
            self.count("sluice_attempts", attempt.provider, str(attempt.status or _NONE))
        for before, after in pairwise(attempts):
            again = before.target == after.target
            self.count("sluice_retries" if again else "sluice_fallbacks", before.provider)

    def _count_tokens(self, provider: str, model: str, usage: Usage) -> None:
        kinds = {
            "input": usage.input_tokens,
            "output": usage.output_tokens,
            "cached": usage.cached_tokens,
            "reasoning": usage.reasoning_tokens,
        }
        for kind, count in kinds.items():
            if count:
                self.count("sluice_tokens", provider, model, kind, by=count)

    def _model_of(self, outcome: Outcome) -> str:
        """Return the name that the client asked for, else the target's, where the operator wrote it down."""
        names = [outcome.call.model]
        if outcome.target is not None:
            names.append(outcome.target.label)
        return next((name for name in names if name in self._models), OTHER)

    def _spread(self, *place: str) -> Spread:
        """Return what is counted for a histogram and not yet in the library."""
        spread = self._spreads.get(place)
        if spread is None:
            spread = self._spreads[place] = Spread(_ROWS[place[0]].buckets)
            if not self._due:
                self._begin()
        return spread

    def _begin(self) -> None:
        self._due = True
        gevent.spawn_later(_DELAY, self.flush)

    def flush(self) -> None:
        """Hand over to the library what was counted since, in one go for each series."""
        self._due = False
        sums, self._sums = self._sums, {}
        spreads, self._spreads = self._spreads, {}
        for place, count in sums.items():
            self._of(*place).inc(count)
        for place, spread in spreads.items():
            _add(self._of(*place), spread)

    def _of(self, name: str, *labels: str) -> Any:
        """Return one child of a series, as the library has it."""
        place = (name, *labels)
        child = self._children.get(place)
        if child is None:
            child = self._series[name]
            child = self._children[place] = child.labels(*labels) if labels else child
        return child

    # --- at a scrape ---------------------------------------------------------------------------

    def read_at_scrape(self, read: Callable[[], Iterable[Reading]]) -> None:
        """Call ``read`` for readings of gauges at each scrape."""
        self._read.append(read)

    def page(self) -> tuple[bytes, str]:
        """Return the exposition and its content type; of all workers where they share a folder."""
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        self.flush()
        standing = CollectorRegistry()
        standing.register(self)
        registry = self._registry
        if os.environ.get(SHARED):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
        return generate_latest(registry) + generate_latest(standing), CONTENT_TYPE_LATEST

    def collect(self) -> Iterable[Any]:
        """Return the gauges that are read now, as the library asks for them; they are in no shared folder."""
        from prometheus_client.core import GaugeMetricFamily

        families: dict[str, Any] = {}
        for name, labels, value in (reading for read in self._read for reading in read()):
            row = _ROWS[name]
            family = families.setdefault(name, GaugeMetricFamily(name, row.text, labels=row.labels))
            family.add_metric(labels, value)
        return families.values()


class _Measured(Protocol):
    metrics: Metrics | None


def make(services: _Measured) -> Callable[[Outcome], None] | None:
    """Return the listener that counts each end; None where no metrics are asked for."""
    return None if services.metrics is None else services.metrics.observe


def _make_metric(row: Series, registry: Any) -> Any:
    from prometheus_client import Counter, Gauge, Histogram

    if row.kind == "counter":
        return Counter(row.name, row.text, row.labels, registry=registry)
    if row.kind == "histogram":
        return Histogram(row.name, row.text, row.labels, registry=registry, buckets=row.buckets)
    return Gauge(row.name, row.text, row.labels, registry=registry, multiprocess_mode="livesum")


def _add(histogram: Any, spread: Spread) -> None:
    """Add many observations at once, which the library has no call for: its buckets are counters that it adds up."""
    for place, count in enumerate(spread.counts):
        if count:
            histogram._buckets[place].inc(count)
    histogram._sum.inc(spread.total)


def _provider_of(outcome: Outcome) -> str:
    """Return the provider that answered, else the last that was tried."""
    if outcome.target is not None:
        return outcome.target.provider.name
    return outcome.call.attempts[-1].provider if outcome.call.attempts else _NONE
