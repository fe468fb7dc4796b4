"""Limits and budgets of keys and tenants that were made at run time, for gauges: of those whose keys were used last.

There may be any number of them, so few are looked at, and fewer are told: see ``app/gateway/gauges.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from app.config import Settings, budgets_of, limits_of
from app.gateway.budgets import charges as budgets
from app.gateway.limits import charges as limits

if TYPE_CHECKING:
    from app.state.keys import Keys


LOOKED_AT: Final = 200
"""Keys that are looked at, with their tenants: those that were used last."""


class OwnerGauges:
    """What was found when last looked at."""

    def __init__(self, settings: Settings) -> None:
        self._keys = {(key.tenant, key.name) for key in settings.keys}
        self._tenants = {*settings.tenants, *(key.tenant for key in settings.keys)}
        self.limits: list[limits.Touch] = []
        self.budgets: list[budgets.Touch] = []

    def read(self, keys: Keys) -> None:
        """Look anew; raises ``store_unavailable``."""
        owners: dict[tuple[str, str], Mapping[str, Any]] = {}
        for key, of_tenant in keys.used_last(LOOKED_AT):
            if (key.tenant, key.name) not in self._keys:  # the configuration's wins
                owners["key", f"{key.tenant}/{key.name}"] = key.members
            if key.tenant not in self._tenants:
                owners["tenant", key.tenant] = of_tenant or {}
        self.limits = limits.lowest_of_each(_limits(owners))
        self.budgets = budgets.lowest_of_each(_budgets(owners))


def _limits(owners: Mapping[tuple[str, str], Mapping[str, Any]]) -> Iterable[limits.Touch]:
    for (level, owner), members in owners.items():
        for one in limits_of(members.get("limits") or ()):
            yield limits.Touch(level, owner, "", one)


def _budgets(owners: Mapping[tuple[str, str], Mapping[str, Any]]) -> Iterable[budgets.Touch]:
    for (level, owner), members in owners.items():
        for one in budgets_of(members.get("budgets") or ()):
            yield budgets.Touch(level, owner, "", one)
