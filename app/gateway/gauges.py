"""Gauges of ``/metrics``: what stands somewhere else and is read when Prometheus asks, or now and then.

Queue, budgets and limits in Redis are the same for all processes, so whoever is asked reads them; a reading is
good for ``_FRESH`` seconds, because the page needs no key. Circuits are each process's own: it tells
every ``_PAUSE`` seconds how many rest. What cannot be read is left out. Tests: tests/surfaces/test_metrics.py.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import gevent

from app.config import Settings
from app.errors import GatewayError
from app.gateway.budgets import charges as budgets
from app.gateway.layers.metrics import Metrics, Reading
from app.gateway.limits import charges as limits
from app.gateway.owner_gauges import OwnerGauges
from app.state.loops import Loop
from app.version import __version__

if TYPE_CHECKING:
    from app.gateway.core import Gateway


_LOG: Final = logging.getLogger(__name__)
_FRESH: Final = 5.0
_FRESH_OWNERS: Final = 60.0
_PAUSE: Final = 5.0
MOST: Final = 100
"""Limits, and budgets, that are shown: the gateway's first, then those of tenants, providers and keys."""
MOST_MADE: Final = 20
"""Limits, and budgets, of keys and tenants made at run time that are shown: those that are used the most."""
_TELLING: Final = 0.5
"""The used part below which those are not shown, so that few names come and go."""


class Gauges:
    """Reads the gauges of one gateway for ``metrics``."""

    def __init__(self, gateway: Gateway, metrics: Metrics) -> None:
        self._gateway = gateway
        self._metrics = metrics
        self._readings: list[Reading] = []
        self._read_at: float | None = None
        self._loop = Loop(self._tell_circuits)
        self._limits = _limits_of(gateway.settings)[:MOST]
        self._budgets = _budgets_of(gateway.settings)[:MOST]
        self._made = OwnerGauges(gateway.settings)
        self._made_at: float | None = None
        metrics.read_at_scrape(self.read)

    def start(self) -> None:
        """Begin to tell which circuits rest."""
        if self._gateway.breaker is not None:
            self._loop.start()

    def close(self) -> None:
        """Tell nothing more."""
        self._loop.stop()

    def read(self) -> Iterable[Reading]:
        """Return how the gauges stand, at most ``_FRESH`` seconds ago."""
        if self._read_at is None or time.monotonic() - self._read_at > _FRESH:
            self._read_at = time.monotonic()
            self._readings = list(self._read_all())
        return self._readings

    def _read_all(self) -> Iterator[Reading]:
        yield "sluice_build_info", (__version__,), 1
        try:
            waiting = self._gateway.state().queue.count_queued()
            spent = list(self._read_spending())
        except GatewayError as error:
            _LOG.warning("the database cannot be read for metrics: %s", error.raw or error.message)
            yield "sluice_database_up", (), 0
        else:
            yield "sluice_database_up", (), 1
            yield "sluice_background_queue", (), waiting
            yield from spent
        try:
            yield from self._read_usage()
        except GatewayError as error:
            _LOG.warning("limits cannot be read for metrics: %s", error.message)

    def _refresh_owners(self) -> None:
        if self._made_at is None or time.monotonic() - self._made_at > _FRESH_OWNERS:
            self._made.read(self._gateway.state().keys)
            self._made_at = time.monotonic()

    def _read_spending(self) -> Iterator[Reading]:
        self._refresh_owners()
        yield from self._read_touches(self._budgets)
        made = self._read_touches(self._made.budgets, adopt=False)
        yield from _highest(made)

    def _read_touches(self, touches: Sequence[budgets.Touch], *, adopt: bool = True) -> Iterator[Reading]:
        standings = self._gateway.accounts.standings(touches, adopt=adopt)
        for touch, standing in zip(touches, standings, strict=True):
            labels = (touch.level, touch.owner, touch.budget.per, touch.budget.models or "*")
            used = standing.spent + standing.reserved
            yield "sluice_budget_used_ratio", labels, _ratio(used, touch.budget.most)

    def _read_usage(self) -> Iterator[Reading]:
        every = [*self._limits, *self._made.limits]
        if not every:
            return
        hold = self._gateway.limits.peek(every)
        found: list[Reading] = []
        for touch, charge, standing in zip(hold.touches, hold.charges, hold.verdict.standings, strict=True):
            limit = touch.limit
            labels = (touch.level, touch.owner, limit.kind, limit.per or "", limit.models or "*")
            found.append(("sluice_limit_used_ratio", labels, _ratio(standing.used, charge.most)))
        yield from found[: len(self._limits)]
        yield from _highest(found[len(self._limits) :])

    def _tell_circuits(self) -> None:
        seen: set[str] = set()
        while True:
            breaker = self._gateway.breaker
            resting = (
                Counter(provider for provider, _, _ in breaker.open_circuits()) if breaker else Counter()
            )
            seen.update(resting)
            self._metrics.note_resting({provider: resting[provider] for provider in seen})
            gevent.sleep(_PAUSE)


def _highest(readings: Iterable[Reading]) -> list[Reading]:
    """Return those that are used the most, of those of which much is."""
    telling = [one for one in readings if one[2] >= _TELLING]
    return sorted(telling, key=lambda one: -one[2])[:MOST_MADE]


def _ratio(used: int, most: int) -> float:
    """Return the used part; of nothing, all is used."""
    return used / most if most else 1.0


def _limits_of(settings: Settings) -> list[limits.Touch]:
    """Return the limits of the configuration, one for each thing that is counted."""
    found = [limits.Touch("gateway", "", "", one) for one in settings.limits]
    for name, tenant in settings.tenants.items():
        found += [limits.Touch("tenant", name, "", one) for one in tenant.limits]
    for name, provider in settings.providers.items():
        found += [limits.Touch("provider", name, "", one) for one in provider.limits]
        for account in provider.keys:
            owner = f"{name}/{account.name}"
            found += [limits.Touch("provider-key", owner, "", one) for one in account.limits]
    for key in settings.keys:
        found += [limits.Touch("key", f"{key.tenant}/{key.name}", "", one) for one in key.limits]
    return limits.lowest_of_each(found)


def _budgets_of(settings: Settings) -> list[budgets.Touch]:
    """Return the budgets of the configuration; of two of one owner, span and pattern the tighter one."""
    found = [budgets.Touch("gateway", "", "", one) for one in settings.budgets]
    for name, tenant in settings.tenants.items():
        found += [budgets.Touch("tenant", name, "", one) for one in tenant.budgets]
    for key in settings.keys:
        found += [budgets.Touch("key", f"{key.tenant}/{key.name}", "", one) for one in key.budgets]
    return budgets.lowest_of_each(found)
