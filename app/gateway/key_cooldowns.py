"""Keys of a provider that were refused lately: passed over while another of the pool is left.

A key that is unknown, forbidden or out of quota fails each call that it is drawn for; its neighbours may not. It
goes behind all others for ten minutes, and is still tried when nothing else is left. Kept per worker.

Tests: tests/gateway/test_breaker.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

from app.config import Settings
from app.errors import GatewayError
from app.gateway.call import Target

_COOLDOWN: Final = 600.0
_REFUSALS: Final = frozenset({"upstream_auth", "upstream_quota"})


def has_pools(settings: Settings) -> bool:
    """Tell whether any provider has several keys."""
    return any(len(provider.keys) > 1 for provider in settings.providers.values())


class KeyCooldowns:
    """The refused keys of one worker, by provider and name: as many as are configured, at most."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._now = monotonic
        self._cooled_until: dict[tuple[str, str], float] = {}

    def order(self, targets: Iterable[Target | GatewayError]) -> list[Target | GatewayError]:
        """Return the targets, those with refused keys behind all others, order kept otherwise."""
        listed = list(targets)
        return sorted(listed, key=self._is_spent) if self._cooled_until else listed

    def failed(self, target: Target, error: GatewayError) -> None:
        """Note that a key of a pool was refused."""
        pool = len(target.provider.settings.keys) > 1
        if pool and target.key is not None and error.kind.name in _REFUSALS:
            self._cooled_until[target.provider.name, target.key.name] = self._now() + _COOLDOWN

    def succeeded(self, target: Target, began: float | None = None) -> None:
        """Note an answer: the key is good again, whenever it was asked."""
        if self._cooled_until and target.key is not None:
            self._cooled_until.pop((target.provider.name, target.key.name), None)

    def seconds(self, provider: str) -> dict[str, float]:
        """Return the seconds for which keys of a provider are still passed over, by name."""
        now = self._now()
        left = {name: until - now for (owner, name), until in self._cooled_until.items() if owner == provider}
        return {name: seconds for name, seconds in left.items() if seconds > 0}

    def _is_spent(self, target: Target | GatewayError) -> bool:
        if isinstance(target, GatewayError) or target.key is None:
            return False
        return self._now() < self._cooled_until.get((target.provider.name, target.key.name), 0.0)
