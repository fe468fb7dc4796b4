"""Limits and budgets of keys and tenants that were made at run time, for gauges: of the most recently used keys.

There may be any number of them, so few are read, and fewer are shown: see ``app/gateway/gauges.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from app.config import Settings, budgets_of, limits_of
from app.gateway.budgets import charges as budgets
from app.gateway.limits import charges as limits

if TYPE_CHECKING:
    from app.state.keys import Keys


MAX_KEYS: Final = 200
"""Keys that are read, with their tenants: those that were used last."""


class OwnerGauges:
    """The limits and budgets as they were last read."""

    def __init__(self, settings: Settings) -> None:
        self._keys = {(key.tenant, key.name) for key in settings.keys}
        self._tenants = {*settings.tenants, *(key.tenant for key in settings.keys)}
        self.limits: list[limits.Touch] = []
        self.budgets: list[budgets.Touch] = []

    def read(self, keys: Keys) -> None:
        """Read them again; raises ``store_unavailable``."""
        owners: dict[tuple[str, str], Mapping[str, Any]] = {}
        for key, of_tenant in keys.used_last(MAX_KEYS):
            if (key.tenant, key.name) not in self._keys:  # the configuration's wins
                owners["key", f"{key.tenant}/{key.name}"] = key.members
            if key.tenant not in self._tenants:
                owners["tenant", key.tenant] = of_tenant or {}
        self.limits = limits.lowest_of_each(
            limits.Touch(level, owner, "", limit)
            for (level, owner), members in owners.items()
            for limit in limits_of(members.get("limits") or ())
        )
        self.budgets = budgets.lowest_of_each(
            budgets.Touch(level, owner, "", budget)
            for (level, owner), members in owners.items()
            for budget in budgets_of(members.get("budgets") or ())
        )
