"""The keys that callers may hold: those of the configuration, and those of the database kept in memory.

A key of the database is asked for once; its row stays in memory until a change of keys or tenants is
heard of, within a second: by NOTIFY, else by a look at one number. Keys that nobody has are
remembered, too, for five seconds. With the database away, keys that were seen go on working for a minute.

Tests: tests/surfaces/test_admin_keys.py.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, TypeVar

from app.config import Budget, Limit, Settings, VirtualKey, budgets_of, limits_of
from app.errors import GatewayError
from app.gateway.allowances import Allowance, allowance
from app.gateway.call import Principal
from app.gateway.open_calls import OpenCalls
from app.state.key_format import is_sound
from app.state.loops import Loop
from app.state.wakeups import KEYS

if TYPE_CHECKING:
    from app.state.keys import FoundKey
    from app.state.state import State


_LOG: Final = logging.getLogger(__name__)
_MOST: Final = 10_000  # keys in memory, and as many that nobody has
_UNKNOWN_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.5
_BLIND_SECONDS: Final = 60.0  # without the database
_MINUTE: Final = 60


@dataclass(slots=True)
class _Seen:
    """A key in memory; ``minute`` is that of its last use, in Unix seconds."""

    found: FoundKey
    principal: Principal
    minute: int = 0


class KeyDirectory:
    """Who a key belongs to. ``state`` opens the store; ``now`` is in Unix seconds; ``on_change`` hears of each change."""

    def __init__(
        self,
        settings: Settings,
        state: Callable[[], State],
        open_calls: OpenCalls,
        now: Callable[[], float] = time.time,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._tenants = {
            name: allowance(row.models, row.operations) for name, row in settings.tenants.items()
        }
        self._tenant_limits = {name: row.limits for name, row in settings.tenants.items()}
        self._tenant_budgets = {name: row.budgets for name, row in settings.tenants.items()}
        self.configured = {(key.tenant, key.name): self._of_settings(key) for key in settings.keys}
        self._expiring = {(key.tenant, key.name): key.expires_at for key in settings.keys}
        self._state = state
        self._open_calls = open_calls
        self._now = now
        self._on_change = on_change
        self._pepper = secrets.token_bytes(32)
        self._seen: OrderedDict[bytes, _Seen] = OrderedDict()
        self._unknown_key: OrderedDict[bytes, float] = OrderedDict()
        self._uses: dict[str, float] = {}
        self._revision: int | None = None
        self._looked = 0.0
        self._watching = Loop(self._watch)

    def find(self, secret: str) -> Principal:
        """Return whose key of the database ``secret`` is; raises ``unauthenticated`` with the reason."""
        if not is_sound(secret):
            raise GatewayError(
                "unauthenticated",
                "This API key is mistyped: its check characters do not fit.",
                code="malformed_api_key",
            )
        label = blake2b(secret.encode(), key=self._pepper, digest_size=32).digest()
        seen = self._in_memory(label) or self._ask(label, secret)
        self._check(seen)
        self._note_use(seen)
        return seen.principal

    def of_name(self, tenant: str, name: str) -> Principal | None:
        """Return the key of a tenant by its name, None where there is none that may be used now."""
        configured = self.configured.get((tenant, name))
        if configured is not None:
            return None if self.is_over(configured) else configured
        found = self._state().keys.of_name(tenant, name)
        if found is None or not found.key.enabled or _is_past(found.key.expires_at, self._now()):
            return None
        return self._principal(found)

    def keyless(self, name: str, tenant: str, *, admin: bool = False) -> Principal:
        """Return the caller that no client key stands for: anyone where that is allowed, or the administrator."""
        return Principal(
            name,
            tenant,
            admin=admin,
            tenant_limits=self._tenant_limits.get(tenant, ()),
            tenant_budgets=self._tenant_budgets.get(tenant, ()),
        )

    def is_over(self, principal: Principal) -> bool:
        """Tell whether a key of the configuration has expired."""
        return _is_past(self._expiring.get((principal.tenant, principal.key)), self._now())

    def close(self) -> None:
        """Stop to listen for changes, and write down what was used last."""
        self._watching.stop()
        if self._uses:
            self._write_uses()

    def refresh(self) -> None:
        """Look for changes: forget what was in memory, and end the calls that they end."""
        if self._revision is None:
            return
        keys = self._state().keys
        number = keys.revision()
        self._looked = time.monotonic()
        if number == self._revision:
            return
        before, self._revision = self._revision, number
        self._seen.clear()
        self._unknown_key.clear()
        self._on_change()
        for ending in keys.endings(before):
            self._open_calls.abort_key(ending.key_id, ending.digest, _revoked_key)

    # --- memory --------------------------------------------------------------------------------

    def _in_memory(self, label: bytes) -> _Seen | None:
        if time.monotonic() - self._looked > _BLIND_SECONDS:
            return None
        until = self._unknown_key.get(label)
        if until is not None and until > time.monotonic():
            raise _unknown_key()
        seen = self._seen.get(label)
        if seen is not None:
            self._seen.move_to_end(label)
        return seen

    def _ask(self, label: bytes, secret: str) -> _Seen:
        self._listen()
        number = self._revision
        found = self._state().keys.find(secret)
        if found is None:
            _keep(self._unknown_key, label, time.monotonic() + _UNKNOWN_SECONDS)
            raise _unknown_key()
        seen = _Seen(found, self._principal(found))
        if number == self._revision:  # else it may be what was before the change
            _keep(self._seen, label, seen)
        return seen

    def _check(self, seen: _Seen) -> None:
        """Raise ``unauthenticated`` for a key that may not be used now."""
        key, now = seen.found.key, self._now()
        if (key.tenant, key.name) in self.configured:
            raise _refusal("is no longer used: the configuration has a key of the same name")
        if not key.enabled:
            raise _refusal("is disabled")
        if _is_past(key.expires_at, now):
            raise _refusal("has expired")
        if _is_past(seen.found.until, now):
            raise _refusal("was replaced by a new one")

    def _note_use(self, seen: _Seen) -> None:
        minute = int(self._now()) // _MINUTE * _MINUTE
        if minute != seen.minute:
            seen.minute = minute
            self._uses[seen.found.key.id] = minute

    # --- changes -------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Begin to listen before the first key is asked for, so that no change of it is missed."""
        if self._revision is None:
            self._revision = self._state().keys.revision()
        elif time.monotonic() - self._looked > _BLIND_SECONDS:
            self.refresh()
        self._looked = self._looked or time.monotonic()
        self._watching.start()

    def _watch(self) -> None:
        while True:
            with self._state().signals.wakeups.subscribed(KEYS) as wakeup:
                try:
                    self.refresh()
                    if self._uses:
                        self._write_uses()
                except GatewayError as error:
                    _LOG.warning("cannot look for changes of keys: %s", error.raw or error.message)
                wakeup.wait(_LOOK_SECONDS)

    def _write_uses(self) -> None:
        uses, self._uses = self._uses, {}
        self._state().keys.note_uses(uses)

    def _principal(self, found: FoundKey) -> Principal:
        key = found.key
        of_tenant = self._tenants.get(key.tenant)
        if of_tenant is None:
            members = found.tenant_members or {}
            of_tenant = allowance(members.get("models"), members.get("operations"))
        own = allowance(key.members.get("models"), key.members.get("operations"))
        return Principal(
            key.name,
            key.tenant,
            (*of_tenant, *own),
            id=key.id,
            digest=found.digest,
            limits=limits_of(key.members.get("limits") or ()),
            tenant_limits=self._limits_of_tenant(found),
            budgets=budgets_of(key.members.get("budgets") or ()),
            tenant_budgets=self._budgets_of_tenant(found),
        )

    def _limits_of_tenant(self, found: FoundKey) -> tuple[Limit, ...]:
        if found.key.tenant in self._tenants:
            return self._tenant_limits.get(found.key.tenant, ())
        return limits_of((found.tenant_members or {}).get("limits") or ())

    def _budgets_of_tenant(self, found: FoundKey) -> tuple[Budget, ...]:
        if found.key.tenant in self._tenants:
            return self._tenant_budgets.get(found.key.tenant, ())
        return budgets_of((found.tenant_members or {}).get("budgets") or ())

    def _of_settings(self, key: VirtualKey) -> Principal:
        of_tenant: tuple[Allowance, ...] = self._tenants.get(key.tenant, ())
        return Principal(
            key.name,
            key.tenant,
            (*of_tenant, *allowance(key.models, key.operations)),
            limits=key.limits,
            tenant_limits=self._tenant_limits.get(key.tenant, ()),
            budgets=key.budgets,
            tenant_budgets=self._tenant_budgets.get(key.tenant, ()),
        )


T = TypeVar("T")


def _keep(kept: OrderedDict[bytes, T], label: bytes, value: T) -> None:
    kept[label] = value
    if len(kept) > _MOST:
        kept.popitem(last=False)


def _is_past(moment: float | None, now: float) -> bool:
    return moment is not None and moment <= now


def _refusal(reason: str) -> GatewayError:
    return GatewayError("unauthenticated", f"This API key {reason}.")


def _unknown_key() -> GatewayError:
    return GatewayError("unauthenticated", "Incorrect API key provided: no such key exists.")


def _revoked_key() -> GatewayError:
    return GatewayError("unauthenticated", "This API key was revoked while the call ran.")
