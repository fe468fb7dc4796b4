"""Gauges of ``/metrics``, read when Prometheus scrapes or at intervals.

The queue, budgets, and limits in Redis are the same for all processes, so the scraped process reads them. A
reading is good for ``_MAX_AGE`` seconds, because the page needs no key. Circuits are each process's own; it
reports the open ones every ``_PAUSE`` seconds. What cannot be read is left out. Tests: tests/surfaces/test_metrics.py.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from app.config import Budget, Limit, Settings, budgets_of, limits_of
from app.errors import GatewayError
from app.gateway.budgets import charges as budgets
from app.gateway.layers.metrics import Metrics, Reading
from app.gateway.limits import charges as limits
from app.state.loops import PeriodicTask
from app.version import __version__

if TYPE_CHECKING:
    from app.gateway.core import Gateway


_LOG: Final = logging.getLogger(__name__)
_MAX_AGE: Final = 5.0  # seconds
_MAX_OWNER_AGE: Final = 60.0
_PAUSE: Final = 5.0
_MAX_KEYS: Final = 200
"""Keys of the database that are read, with their tenants: those that were used last."""
MAX_CONFIGURED: Final = 100
"""Limits, and budgets, of the configuration that have a gauge: the gateway's first, then those of tenants, providers and keys."""
MAX_STORED: Final = 20
"""Limits, and budgets, of keys and tenants in the database that have a gauge: those that are used the most."""
_MIN_RATIO: Final = 0.5
"""The used part below which those have no gauge, so that few names come and go."""


class Gauges:
    """Reads the gauges of one gateway for ``metrics``."""

    def __init__(self, gateway: Gateway, metrics: Metrics) -> None:
        self._gateway = gateway
        self._metrics = metrics
        self._readings: list[Reading] = []
        self._read_at: float | None = None
        self._task = PeriodicTask(self._report_circuits, _PAUSE, "open circuits cannot be counted")
        self._providers: set[str] = set()
        rules = list(_rules(gateway.settings))
        self._limits = limits.lowest_of_each(
            limits.Touch(level, owner, "", limit, owner) for level, owner, own, _ in rules for limit in own
        )[:MAX_CONFIGURED]
        self._budgets = budgets.lowest_of_each(
            budgets.Touch(level, owner, "", budget, owner) for level, owner, _, own in rules for budget in own
        )[:MAX_CONFIGURED]
        self._stored_limits: list[limits.Touch] = []
        self._stored_budgets: list[budgets.Touch] = []
        self._stored_at: float | None = None
        metrics.read_at_scrape(self.read)

    def start(self) -> None:
        """Start to report which circuits are open."""
        if self._gateway.breaker is not None:
            self._task.start()

    def close(self) -> None:
        """Stop reporting."""
        self._task.stop()

    def read(self) -> Iterable[Reading]:
        """Return readings of the gauges that are at most ``_MAX_AGE`` seconds old."""
        if self._read_at is None or time.monotonic() - self._read_at > _MAX_AGE:
            self._read_at = time.monotonic()
            self._readings = list(self._read_all())
        return self._readings

    def _read_all(self) -> Iterator[Reading]:
        yield "sluice_build_info", (__version__,), 1
        try:
            queued = self._gateway.state().queue.count_queued()
            spent = list(self._read_spending())
        except GatewayError as error:
            _LOG.warning("the database cannot be read for metrics: %s", error.raw or error.message)
            yield "sluice_database_up", (), 0
        else:
            yield "sluice_database_up", (), 1
            yield "sluice_background_queue", (), queued
            yield from spent
        try:
            yield from self._read_usage()
        except GatewayError as error:
            _LOG.warning("limits cannot be read for metrics: %s", error.message)

    def _read_owners(self) -> None:
        """Read the limits and budgets of the keys and tenants in the database."""
        settings = self._gateway.settings
        configured_keys = {(key.tenant, key.name) for key in settings.keys}
        configured_tenants = {*settings.tenants, *(key.tenant for key in settings.keys)}
        owners: dict[tuple[str, str, str], Mapping[str, Any]] = {}
        for key, of_tenant in self._gateway.state().keys.used_last(_MAX_KEYS):
            if (key.tenant, key.name) not in configured_keys:  # the configuration's wins
                owners["key", f"{key.tenant}/{key.id}", f"{key.tenant}/{key.name}"] = key.members
            if key.tenant not in configured_tenants:
                owners["tenant", key.tenant, key.tenant] = of_tenant or {}
        self._stored_limits = limits.lowest_of_each(
            limits.Touch(level, owner, "", limit, name)
            for (level, owner, name), members in owners.items()
            for limit in limits_of(members.get("limits") or ())
        )
        self._stored_budgets = budgets.lowest_of_each(
            budgets.Touch(level, owner, "", budget, name)
            for (level, owner, name), members in owners.items()
            for budget in budgets_of(members.get("budgets") or ())
        )

    def _read_spending(self) -> Iterator[Reading]:
        if self._stored_at is None or time.monotonic() - self._stored_at > _MAX_OWNER_AGE:
            self._read_owners()
            self._stored_at = time.monotonic()
        yield from self._read_touches(self._budgets)
        yield from _highest(self._read_touches(self._stored_budgets, adopt=False))

    def _read_touches(self, touches: Sequence[budgets.Touch], *, adopt: bool = True) -> Iterator[Reading]:
        balances = self._gateway.accounts.balances(touches, adopt=adopt)
        for touch, balance in zip(touches, balances, strict=True):
            labels = (touch.level, touch.name, touch.budget.per, touch.budget.models or "*")
            used = balance.spent + balance.reserved
            yield "sluice_budget_used_ratio", labels, _ratio(used, touch.budget.most)

    def _read_usage(self) -> Iterator[Reading]:
        touches = [*self._limits, *self._stored_limits]
        if not touches:
            return
        admission = self._gateway.limits.peek(touches)
        readings: list[Reading] = []
        for touch, charge, used in zip(
            admission.touches, admission.charges, admission.decision.used, strict=True
        ):
            limit = touch.limit
            labels = (touch.level, touch.name, limit.kind, limit.per or "", limit.models or "*")
            readings.append(("sluice_limit_used_ratio", labels, _ratio(used, charge.most)))
        yield from readings[: len(self._limits)]
        yield from _highest(readings[len(self._limits) :])

    def _report_circuits(self) -> None:
        """Report how many circuits of each provider are open; providers that had open ones stay in the report."""
        breaker = self._gateway.breaker
        if breaker is not None:
            circuits = Counter(provider for provider, _, _ in breaker.open_circuits())
            self._providers.update(circuits)
            self._metrics.note_open_circuits({name: circuits[name] for name in self._providers})


def _highest(readings: Iterable[Reading]) -> list[Reading]:
    """Return the readings of what is used the most, where much of it is used."""
    high = [reading for reading in readings if reading[2] >= _MIN_RATIO]
    return sorted(high, key=lambda reading: -reading[2])[:MAX_STORED]


def _ratio(used: int, most: int) -> float:
    """Return the used part, 1 where nothing is allowed."""
    return used / most if most else 1.0


def _rules(settings: Settings) -> Iterator[tuple[str, str, Sequence[Limit], Sequence[Budget]]]:
    """Yield the limits and budgets of the configuration, with the level and the owner of each group."""
    yield "gateway", "", settings.limits, settings.budgets
    for name, tenant in settings.tenants.items():
        yield "tenant", name, tenant.limits, tenant.budgets
    for name, provider in settings.providers.items():
        yield "provider", name, provider.limits, ()
        for account in provider.keys:
            yield "provider-key", f"{name}/{account.name}", account.limits, ()
    for key in settings.keys:
        yield "key", f"{key.tenant}/{key.name}", key.limits, key.budgets
