"""Keys of a provider that were refused lately: they are used last while the pool has others.

A key that is unknown, forbidden or out of quota fails every call that it is drawn for; other keys may not. It
goes behind all others for ten minutes; it is still tried when nothing else is left. State is kept per worker.

Tests: tests/gateway/test_breaker.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

from app.config import Settings
from app.errors import GatewayError
from app.gateway.call import Target

_COOLDOWN: Final = 600.0  # seconds
_REFUSALS: Final = frozenset({"upstream_auth", "upstream_quota"})


def has_pools(settings: Settings) -> bool:
    """Tell whether any provider has several keys."""
    return any(len(provider.keys) > 1 for provider in settings.providers.values())


class KeyCooldowns:
    """The refused keys of one worker, by provider and name."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._now = monotonic
        self._until: dict[tuple[str, str], float] = {}

    def order(self, targets: Iterable[Target | GatewayError]) -> list[Target | GatewayError]:
        """Return the targets, those with refused keys behind all others; the order is kept otherwise."""
        return sorted(targets, key=self._is_cooling)

    def record_failure(self, target: Target, error: GatewayError) -> None:
        """Note an error; a key of a pool that it refuses cools down."""
        pool = len(target.provider.settings.keys) > 1
        if pool and target.key is not None and error.kind.name in _REFUSALS:
            self._until[target.provider.name, target.key.name] = self._now() + _COOLDOWN

    def record_success(self, target: Target, began: float | None = None) -> None:
        """Note an answer: the key is good again."""
        if target.key is not None:
            self._until.pop((target.provider.name, target.key.name), None)

    def seconds(self, provider: str) -> dict[str, float]:
        """Return the seconds for which keys of a provider still cool down, by name."""
        now = self._now()
        left = {name: until - now for (owner, name), until in self._until.items() if owner == provider}
        return {name: seconds for name, seconds in left.items() if seconds > 0}

    def _is_cooling(self, target: Target | GatewayError) -> bool:
        if isinstance(target, GatewayError) or target.key is None:
            return False
        return self._now() < self._until.get((target.provider.name, target.key.name), 0.0)
