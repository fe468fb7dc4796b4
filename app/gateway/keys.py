"""The keys of callers: those of the configuration, and those of the database, which are cached.

A key of the database is read once; its row stays in memory until keys or tenants change. A process notices
a change within a second: by NOTIFY, else by polling one number. Unknown keys are remembered, too, for five
seconds. While the database is away, cached keys work for a minute.

Tests: tests/surfaces/test_admin_keys.py.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, TypeVar

from app.canonical.record import record
from app.config import Budget, Limit, Settings, VirtualKey, budgets_of, limits_of
from app.errors import GatewayError
from app.gateway.allowances import Allowance, allowance
from app.gateway.call import Principal
from app.gateway.open_calls import OpenCalls
from app.state.key_format import is_sound
from app.state.loops import Watch
from app.state.wakeups import KEYS

if TYPE_CHECKING:
    from app.state.keys import FoundKey, Keys
    from app.state.state import State


_MAX_KEYS: Final = 10_000  # in memory, and as many unknown ones
_UNKNOWN_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.5
_OUTAGE_SECONDS: Final = 60.0  # that keys in memory are good without the database
_MINUTE: Final = 60


@dataclass(slots=True)
class _CachedKey:
    """A key in memory; ``minute`` is that of its last use, in Unix seconds."""

    row: FoundKey
    principal: Principal
    minute: int = 0


@record
class _Tenant:
    """What holds for all keys of a tenant."""

    allowances: tuple[Allowance, ...] = ()
    limits: tuple[Limit, ...] = ()
    budgets: tuple[Budget, ...] = ()


class KeyDirectory:
    """Finds who a key belongs to. ``state`` opens the store; ``on_change`` is called
    after each change of keys or tenants."""

    def __init__(
        self,
        settings: Settings,
        state: Callable[[], State],
        open_calls: OpenCalls,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._tenants = {
            name: _Tenant(allowance(row.models, row.operations), row.limits, row.budgets)
            for name, row in settings.tenants.items()
        }
        self.configured = {(key.tenant, key.name): self._of_settings(key) for key in settings.keys}
        self._expiry = {(key.tenant, key.name): key.expires_at for key in settings.keys}
        self._state = state
        self._open_calls = open_calls
        self._on_change = on_change
        self._pepper = secrets.token_bytes(32)
        self._cached: OrderedDict[bytes, _CachedKey] = OrderedDict()
        self._unknown_key: OrderedDict[bytes, float] = OrderedDict()
        self._uses: dict[str, float] = {}
        self._revision: int | None = None
        self._polled_at = 0.0
        self._watch = Watch(
            lambda: state().db, KEYS, self._look, _POLL_SECONDS, "cannot look for changes of keys"
        )

    def find(self, secret: str) -> Principal:
        """Return the owner of a key of the database; raises ``unauthenticated`` with the reason."""
        if not is_sound(secret):
            raise GatewayError(
                "unauthenticated",
                "This API key is mistyped: its check characters do not fit.",
                code="malformed_api_key",
            )
        label = blake2b(secret.encode(), key=self._pepper, digest_size=32).digest()
        cached = self._in_memory(label) or self._read(label, secret)
        self._check(cached)
        self._note_use(cached)
        return cached.principal

    def of_name(self, tenant: str, name: str) -> Principal | None:
        """Return the key of a tenant by its name, None if there is no valid one."""
        return self._valid(tenant, name, lambda keys: keys.of_name(tenant, name))

    def of_identity(self, tenant: str, identity: str) -> Principal | None:
        """Return the key of stored work, None if it is not valid any more; older work has its name instead of its id."""
        return self._valid(
            tenant, identity, lambda keys: keys.of_id(tenant, identity) or keys.of_name(tenant, identity)
        )

    def _valid(self, tenant: str, name: str, find: Callable[[Keys], FoundKey | None]) -> Principal | None:
        configured = self.configured.get((tenant, name))
        if configured is not None:
            return None if self.is_expired(configured) else configured
        row = find(self._state().keys)
        if row is None or not row.key.enabled or _is_past(row.key.expires_at, time.time()):
            return None
        return self._principal(row)

    def keyless(self, name: str, tenant: str, *, admin: bool = False) -> Principal:
        """Return a caller without a client key: anyone where that is allowed, or the administrator."""
        row = self._tenants.get(tenant, _Tenant())
        return Principal(name, tenant, admin=admin, tenant_limits=row.limits, tenant_budgets=row.budgets)

    def is_expired(self, principal: Principal) -> bool:
        """Tell whether a key of the configuration has expired."""
        moment = self._expiry.get((principal.tenant, principal.key))
        return moment is not None and _is_past(moment, time.time())

    def close(self) -> None:
        """Stop looking for changes; write down the last uses."""
        self._watch.stop()
        self._write_uses()

    def refresh(self) -> None:
        """Look for changes; after one, forget the keys in memory and end the calls of revoked keys."""
        if self._revision is None:
            return
        keys = self._state().keys
        number = keys.revision()
        self._polled_at = time.monotonic()
        if number == self._revision:
            return
        before, self._revision = self._revision, number
        self._cached.clear()
        self._unknown_key.clear()
        self._on_change()
        endings = [(ending.key_id, ending.digest) for ending in keys.endings(before)]
        self._open_calls.abort_keys(endings, _revoked_key)

    # --- memory --------------------------------------------------------------------------------

    def _in_memory(self, label: bytes) -> _CachedKey | None:
        if time.monotonic() - self._polled_at > _OUTAGE_SECONDS:
            return None
        until = self._unknown_key.get(label)
        if until is not None and until > time.monotonic():
            raise _unknown_key()
        if label in self._cached:
            self._cached.move_to_end(label)
        return self._cached.get(label)

    def _read(self, label: bytes, secret: str) -> _CachedKey:
        self._listen()
        number = self._revision
        row = self._state().keys.find(secret)
        if row is None:
            _remember(self._unknown_key, label, time.monotonic() + _UNKNOWN_SECONDS)
            raise _unknown_key()
        cached = _CachedKey(row, self._principal(row))
        if number == self._revision:  # else the row may be older than the change
            _remember(self._cached, label, cached)
        return cached

    def _check(self, cached: _CachedKey) -> None:
        """Raise ``unauthenticated`` for a key that may not be used now."""
        key, now = cached.row.key, time.time()
        if (key.tenant, key.name) in self.configured:
            raise _refusal("is no longer used: the configuration has a key of the same name")
        if not key.enabled:
            raise _refusal("is disabled")
        if _is_past(key.expires_at, now):
            raise _refusal("has expired")
        if _is_past(cached.row.until, now):
            raise _refusal("was replaced by a new one")

    def _note_use(self, cached: _CachedKey) -> None:
        minute = int(time.time()) // _MINUTE * _MINUTE
        if minute != cached.minute:
            cached.minute = minute
            self._uses[cached.row.key.id] = minute

    # --- changes -------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Start to look for changes before the first key is read, so that none is missed."""
        if self._revision is None:
            self._revision = self._state().keys.revision()
        elif time.monotonic() - self._polled_at > _OUTAGE_SECONDS:
            self.refresh()
        self._polled_at = self._polled_at or time.monotonic()
        self._watch.start()

    def _look(self) -> None:
        self.refresh()
        self._write_uses()

    def _write_uses(self) -> None:
        uses, self._uses = self._uses, {}
        if uses:
            self._state().keys.note_uses(uses)

    def _principal(self, row: FoundKey) -> Principal:
        key = row.key
        tenant = self._tenants.get(key.tenant) or _Tenant(*_rules(row.tenant_members or {}))
        allowances, limits, budgets = _rules(key.members)
        return Principal(
            key.name,
            key.tenant,
            (*tenant.allowances, *allowances),
            id=key.id,
            digest=row.digest,
            limits=limits,
            tenant_limits=tenant.limits,
            budgets=budgets,
            tenant_budgets=tenant.budgets,
            history=key.history,
        )

    def _of_settings(self, key: VirtualKey) -> Principal:
        tenant = self._tenants.get(key.tenant, _Tenant())
        return Principal(
            key.name,
            key.tenant,
            (*tenant.allowances, *allowance(key.models, key.operations)),
            limits=key.limits,
            tenant_limits=tenant.limits,
            budgets=key.budgets,
            tenant_budgets=tenant.budgets,
        )


def _rules(
    members: Mapping[str, Any],
) -> tuple[tuple[Allowance, ...], tuple[Limit, ...], tuple[Budget, ...]]:
    """Return the allowances, limits and budgets of a stored key's or tenant's members."""
    return (
        allowance(members.get("models"), members.get("operations")),
        limits_of(members.get("limits") or ()),
        budgets_of(members.get("budgets") or ()),
    )


T = TypeVar("T")


def _remember(values: OrderedDict[bytes, T], label: bytes, value: T) -> None:
    values[label] = value
    if len(values) > _MAX_KEYS:
        values.popitem(last=False)


def _is_past(moment: float | None, now: float) -> bool:
    return moment is not None and moment <= now


def _refusal(reason: str) -> GatewayError:
    return GatewayError("unauthenticated", f"This API key {reason}.")


def _unknown_key() -> GatewayError:
    return GatewayError("unauthenticated", "Incorrect API key provided: no such key exists.")


def _revoked_key() -> GatewayError:
    return GatewayError("unauthenticated", "This API key was revoked while the call ran.")
