"""The series of ``/metrics``: names, labels and buckets, as rows.

Names follow Prometheus: base units, ``_total`` for counters. The values of each label are bounded: operations
and providers by the configuration, statuses and kinds of errors by their tables, ``model`` by the names in the
configuration (all others are ``other``). Keys and users are no labels, because there may be any number of them.
Owners of limits and budgets are those of the configuration, and a few others that have used the most. Tests: tests/surfaces/test_metrics.py, and
tests/deploy/test_dashboard.py for the files that name them.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from app.config import Settings

OTHER: Final = "other"
"""The label of models that the configuration does not name."""

SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
ADDED: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)
GAPS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Series(NamedTuple):
    """One metric. ``kind`` is ``counter``, ``histogram`` or ``gauge``; the exposition adds ``_total`` to the names
    of counters. Gauges without ``sums`` are read at each scrape, the others added up over all workers."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str
    buckets: Sequence[float] = ()
    sums: bool = False


class Counter(Protocol):
    """Counts what happens; ``place`` is the name of a series and its labels."""

    def count(self, *place: str, by: float = 1) -> None: ...


_WHERE: Final = ("operation", "provider")

SERIES: Final = (
    Series(
        "sluice_requests",
        "counter",
        ("operation", "provider", "model", "status"),
        "Requests that ended, by the HTTP status they came to.",
    ),
    Series("sluice_errors", "counter", (*_WHERE, "kind"), "Requests that ended in an error, by its kind."),
    Series("sluice_request_duration_seconds", "histogram", _WHERE, "Whole time of calls.", SECONDS),
    Series(
        "sluice_upstream_duration_seconds",
        "histogram",
        _WHERE,
        "Time for which the requests of a call to providers were open.",
        SECONDS,
    ),
    Series(
        "sluice_added_duration_seconds",
        "histogram",
        ("operation",),
        "Time of a call that no provider took.",
        ADDED,
    ),
    Series(
        "sluice_first_content_seconds", "histogram", _WHERE, "Time to the first content of streams.", SECONDS
    ),
    Series(
        "sluice_chunk_gap_seconds",
        "histogram",
        _WHERE,
        "Time between two pieces of a stream's content.",
        GAPS,
    ),
    Series(
        "sluice_attempts",
        "counter",
        ("provider", "status"),
        "Tries at a provider, by the status it answered with ('none' where it did not).",
    ),
    Series("sluice_retries", "counter", ("provider",), "Tries at a target that had just failed."),
    Series(
        "sluice_fallbacks",
        "counter",
        ("provider",),
        "Times that a call left this provider for another target.",
    ),
    Series(
        "sluice_tokens", "counter", ("provider", "model", "kind"), "Tokens of calls that a provider answered."
    ),
    Series("sluice_cost_dollars", "counter", ("provider", "model"), "Known cost of answered calls."),
    Series(
        "sluice_cache_lookups", "counter", ("result",), "Calls that the cache was asked for: hit or miss."
    ),
    Series(
        "sluice_refusals",
        "counter",
        ("reason",),
        "Calls refused before any provider: for limits, budgets or load.",
    ),
    Series(
        "sluice_budget_alerts",
        "counter",
        ("level", "threshold"),
        "Thresholds (per cent) that budgets reached.",
    ),
    Series("sluice_limits_away", "counter", (), "Times that Redis did not answer for the limits."),
    Series("sluice_call_log_lost_rows", "counter", (), "Rows of the call log that could not be written."),
    Series("sluice_ledger_lost_rows", "counter", (), "Rows of the ledger that could not be written."),
    Series("sluice_open_requests", "gauge", (), "Calls in flight.", sums=True),
    Series("sluice_open_streams", "gauge", (), "Streams in flight.", sums=True),
    Series(
        "sluice_breaker_open",
        "gauge",
        ("provider",),
        "Open circuits (provider, model, key), over all workers.",
        sums=True,
    ),
    Series("sluice_background_queue", "gauge", (), "Background responses that wait for a worker."),
    Series("sluice_database_up", "gauge", (), "1 while the database answers, else 0."),
    Series(
        "sluice_limit_used_ratio",
        "gauge",
        ("level", "owner", "kind", "per", "models"),
        "Used part of a limit, 1 when it is used up.",
    ),
    Series(
        "sluice_budget_used_ratio",
        "gauge",
        ("level", "owner", "per", "models"),
        "Spent and reserved part of a budget, 1 when it is used up.",
    ),
    Series("sluice_build_info", "gauge", ("version",), "1, with the version that runs."),
)


def names_of(settings: Settings) -> frozenset[str]:
    """Return the models that may be labels: names of ``[models]``, their targets, and the ``models`` of providers."""
    names = set(settings.aliases)
    for alias in settings.aliases.values():
        names.update(target for target, _ in alias.targets)
        names.update(alias.fallbacks)
    for name, provider in settings.providers.items():
        names.update(f"{name}/{model}" for model in provider.models)
    return frozenset(names)


class Spread:
    """Values counted by bucket of a histogram: one count for each of ``bounds`` and one for all above."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def add_all(self, other: Spread) -> None:
        """Count what another of the same bounds has."""
        self.counts = [one + more for one, more in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


class Gaps:
    """The times between the pieces of one stream, in seconds."""

    __slots__ = ("_last", "spread")

    def __init__(self) -> None:
        self.spread = Spread(GAPS)
        self._last: float | None = None

    def note(self) -> None:
        """Note that a piece came."""
        now, last = time.monotonic(), self._last
        self._last = now
        if last is not None:
            self.spread.add(now - last)
