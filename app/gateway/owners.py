"""Tenants and keys for administrators: those of the configuration, then those of the database.

Those of the configuration come first in every list, cannot be changed here, and win where two have the same
name. Schemas have checked the members. Tests: tests/surfaces/test_admin_keys.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from app.canonical.record import record
from app.config import Settings, VirtualKey, budget_row, limit_rows
from app.errors import GatewayError
from app.gateway.cache.store import CacheStore
from app.gateway.call import Principal
from app.state import keys, tenants
from app.state.audit import Actor
from app.state.ids import storable
from app.state.keys import StoredKey
from app.state.lookup import Page
from app.state.state import State

Json = dict[str, Any]

_CONFIGURED: Final = "key_config."
_RESERVED: Final = frozenset({"master", "open"})


@record
class Owners:
    """Lists and changes them. ``state`` opens the store; ``cache_store`` has the cached answers of tenants."""

    settings: Settings
    state: Callable[[], State]
    cache_store: CacheStore

    # --- keys ----------------------------------------------------------------------------------

    def keys(self, limit: int, after: str | None, tenant: str | None = None) -> Page[Json]:
        """Return ``limit`` keys after the one with the id ``after``, of one tenant or of all."""
        configured = [_show_configured(key) for key in self.settings.keys if tenant in (None, key.tenant)]
        return _join(
            configured, limit, after, lambda n, a: _map_page(self.state().keys.page(n, a, tenant), keys.show)
        )

    def key(self, key_id: str) -> Json:
        """Return a key; raises ``not_found``."""
        configured = self._configured_key(key_id)
        return (
            keys.show(self.state().keys.get(key_id)) if configured is None else _show_configured(configured)
        )

    def keys_called(self, text: str, tenant: str | None = None) -> list[Json]:
        """Return the key with the id ``text``, else those with that name, of one tenant or of all."""
        fitting = [
            _show_configured(key)
            for key in self.settings.keys
            if tenant in (None, key.tenant) and text in (key.name, f"{_CONFIGURED}{key.name}")
        ]
        fitting += (
            [keys.show(key) for key in self.state().keys.find_by_name(text, tenant)] if storable(text) else []
        )
        return [key for key in fitting if key["id"] == text] or fitting

    def key_of(self, principal: Principal) -> Json | None:
        """Return a caller's key, None if it has none."""
        if principal.id is not None:
            stored = self.state().keys.of_id(principal.tenant, principal.id)
            return None if stored is None else keys.show(stored.key)
        wanted = principal.tenant, principal.key
        mine = (_show_configured(key) for key in self.settings.keys if (key.tenant, key.name) == wanted)
        return next(mine, None)

    def create_key(self, actor: Actor, members: Mapping[str, Any]) -> Json:
        """Make a key; the answer alone has its secret, as ``key``. Raises ``bad_request``, ``conflict``."""
        present = {name: value for name, value in members.items() if value is not None}
        tenant, name = present.pop("tenant"), present.pop("name")
        enabled, expires_at = present.pop("enabled", True), present.pop("expires_at", None)
        self._check_key_name(tenant, name)
        self._check_future(expires_at)
        key = StoredKey("", tenant, name, "", enabled, expires_at, present, 0)
        is_stored = tenant not in self._list_configured_tenants()
        created, secret = self.state().keys.create(actor, key, is_tenant_stored=is_stored)
        return {**keys.show(created), "key": secret}

    def change_key(self, actor: Actor, key_id: str, changes: Mapping[str, Any], *, end_now: bool) -> Json:
        """Change a key; None removes a member. ``end_now`` ends its running calls when it is disabled."""
        before = self._get_key(key_id)
        for required in ("name", "enabled"):
            if required in changes and changes[required] is None:
                raise _invalid(required, "cannot be null")
        self._check_future(changes.get("expires_at"))
        if changes.get("name", before.name) != before.name:
            self._check_key_name(before.tenant, changes["name"])
        ends = end_now and changes.get("enabled") is False
        return keys.show(self.state().keys.change(actor, key_id, changes, end_now=ends))

    def delete_key(self, actor: Actor, key_id: str, *, end_now: bool) -> None:
        """Revoke a key; ``end_now`` ends its running calls."""
        self._get_key(key_id)
        self.state().keys.delete(actor, key_id, end_now=end_now)

    def rotate_key(self, actor: Actor, key_id: str, grace: int, *, end_now: bool) -> Json:
        """Give a key a new secret; the answer alone has it, as ``key``."""
        self._get_key(key_id)
        rotated, secret = self.state().keys.rotate(actor, key_id, grace, end_now=end_now)
        return {**keys.show(rotated), "key": secret}

    def _get_key(self, key_id: str) -> StoredKey:
        if self._configured_key(key_id) is not None:
            raise _read_only("key")
        return self.state().keys.get(key_id)

    def _configured_key(self, key_id: str) -> VirtualKey | None:
        return next((key for key in self.settings.keys if f"{_CONFIGURED}{key.name}" == key_id), None)

    def _check_key_name(self, tenant: str, name: str) -> None:
        if name in _RESERVED:
            raise _invalid("name", f"'{name}' is reserved; choose another name")
        if any((key.tenant, key.name) == (tenant, name) for key in self.settings.keys):
            raise keys.name_taken(tenant, name)

    def _check_future(self, moment: int | None) -> None:
        if moment is not None and moment <= time.time():
            raise _invalid("expires_at", "is in the past; give Unix seconds to come")

    # --- tenants -------------------------------------------------------------------------------

    def tenants(self, limit: int, after: str | None) -> Page[Json]:
        """Return ``limit`` tenants after the one with the name ``after``."""
        configured = list(self._list_configured_tenants().values())
        return _join(
            configured, limit, after, lambda n, a: _map_page(self.state().tenants.page(n, a), tenants.show)
        )

    def tenant(self, name: str) -> Json:
        """Return a tenant; raises ``not_found``."""
        configured = self._list_configured_tenants().get(name)
        return configured or tenants.show(self.state().tenants.get(name))

    def create_tenant(self, actor: Actor, members: Mapping[str, Any]) -> Json:
        """Make a tenant; raises ``conflict``."""
        present = {name: value for name, value in members.items() if value is not None}
        name = present.pop("name")
        if name in self._list_configured_tenants():
            raise tenants.name_taken(name)
        self.cache_store.make_room_for(name)
        return tenants.show(self.state().tenants.create(actor, name, present))

    def change_tenant(self, actor: Actor, name: str, changes: Mapping[str, Any]) -> Json:
        """Change a tenant; None removes a member."""
        self._check_stored_tenant(name)
        return tenants.show(self.state().tenants.change(actor, name, changes))

    def stored_of_tenant(self, name: str) -> dict[str, int]:
        """Count what is stored of a tenant; raises ``not_found``, and ``conflict`` for one of the configuration."""
        self._check_stored_tenant(name)
        self.state().tenants.get(name)
        return self.state().tenants.counts(name)

    def delete_tenant(self, actor: Actor, name: str) -> dict[str, int]:
        """Delete a tenant and its keys; return what was stored of it."""
        self._check_stored_tenant(name)
        counts = self.state().tenants.delete(actor, name)
        self.cache_store.drop_tenant_soon(name)
        return counts

    def _check_stored_tenant(self, name: str) -> None:
        if name in self._list_configured_tenants():
            raise _read_only("tenant")

    def _list_configured_tenants(self) -> dict[str, Json]:
        names = dict.fromkeys([*self.settings.tenants, *(key.tenant for key in self.settings.keys)])
        return {name: self._show_configured_tenant(name) for name in names}

    def _show_configured_tenant(self, name: str) -> Json:
        row = self.settings.tenants.get(name)
        return {
            "id": name,
            "object": "tenant",
            "name": name,
            "source": "config",
            "models": _list(row.models) if row else None,
            "operations": _list(row.operations) if row else None,
            "limits": limit_rows(row.limits) if row else [],
            "budgets": [budget_row(one) for one in row.budgets] if row else [],
            "metadata": dict(row.metadata) if row else {},
            "created_at": None,
        }


def _show_configured(key: VirtualKey) -> Json:
    """Return a key of the configuration as an administrator sees it."""
    return {
        "id": f"{_CONFIGURED}{key.name}",
        "object": "key",
        "name": key.name,
        "tenant": key.tenant,
        "prefix": None,
        "source": "config",
        "enabled": True,
        "expires_at": key.expires_at,
        "models": _list(key.models),
        "operations": _list(key.operations),
        "limits": limit_rows(key.limits),
        "budgets": [budget_row(one) for one in key.budgets],
        "metadata": dict(key.metadata),
        "created_at": None,
        "last_used_at": None,
        "rotated_at": None,
    }


def _join(
    configured: list[Json],
    limit: int,
    after: str | None,
    stored: Callable[[int, str | None], Page[Json]],
) -> Page[Json]:
    """Return one page of a list that begins with the rows of the configuration."""
    places = {row["id"]: place for place, row in enumerate(configured, 1)}
    if after is not None and after not in places:
        return stored(limit, after)
    first = configured[places.get(after or "", 0) :]
    if len(first) > limit:
        return Page(first[:limit], True)
    if len(first) == limit:
        return Page(first, bool(stored(1, None).rows))
    rest = stored(limit - len(first), None)
    return Page([*first, *rest.rows], rest.has_more)


def _map_page(page: Page[Any], show: Callable[[Any], Json]) -> Page[Json]:
    return Page([show(row) for row in page.rows], page.has_more)


def _list(texts: tuple[str, ...] | None) -> list[str] | None:
    return None if texts is None else list(texts)


def _invalid(member: str, reason: str) -> GatewayError:
    return GatewayError("bad_request", f"Invalid '{member}': {reason}.", param=member, code="invalid_value")


def _read_only(what: str) -> GatewayError:
    return GatewayError("conflict", f"This {what} is the configuration's; change it there.", code="read_only")
