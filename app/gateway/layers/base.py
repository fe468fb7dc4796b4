"""Types of layers, and the services of the gateway that layers use.

A call layer is a function ``(call, proceed) -> Run``: it may refuse the call, change it, return a run of
its own, or listen to the run's attempts and end. An attempt layer is a context manager around one
attempt: what it raises on entering is that target's error, so that the next target is tried; on leaving it
knows ``attempt.usage`` and ``attempt.cost``, also of a stream whose client left. A listener hears of every
end, last. Each is made once a process by a function that takes the services and returns None if the layer
is not configured: then it costs nothing.

Tests: tests/test_additions.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from app.config import Settings
from app.dialects.base import Frame
from app.errors import GatewayError
from app.gateway.attempt_scope import AttemptLayer
from app.gateway.breaker import Breaker
from app.gateway.budgets.accounts import Accounts
from app.gateway.cache.store import CacheStore
from app.gateway.call import Call, Principal
from app.gateway.cost import PriceList
from app.gateway.key_cooldowns import KeyCooldowns
from app.gateway.layers.metrics import Metrics
from app.gateway.layers.traces import Traces
from app.gateway.limits.gate import Gate
from app.gateway.outcome import Outcome
from app.gateway.plan import Route
from app.gateway.redaction import Redactor
from app.gateway.run import Run, Source
from app.gateway.strategies import Strategies

if TYPE_CHECKING:
    from app.state.state import State


Proceed = Callable[[Call], Run]


class CallLayer(Protocol):
    """Runs ``call``, itself or by ``proceed``."""

    def __call__(self, call: Call, proceed: Proceed) -> Run: ...


Listener = Callable[[Outcome], None]


class Services(Protocol):
    """The services of the gateway that layers use."""

    settings: Settings
    prices: PriceList
    redactor: Redactor
    metrics: Metrics | None
    traces: Traces | None
    breaker: Breaker | None
    key_cooldowns: KeyCooldowns | None
    strategies: Strategies | None
    limits: Gate
    accounts: Accounts
    cache_store: CacheStore

    def on_close(self, step: Callable[[], None]) -> None:
        """Have ``step`` done when the gateway closes, while the store is still open."""

    def state(self) -> State:
        """Return the store, opened at first use; raises ``store_unavailable``."""

    def plan(self, call: Call) -> Route:
        """Return the planned targets of ``call``."""

    def feed(self, call: Call, source: Source) -> Run:
        """Return a run of ``call`` that ``source`` feeds."""

    def run_inner(self, call: Call) -> Run:
        """Return the run of a call that another call makes: without layers of its own."""

    def principal_of(self, key: str | None, tenant: str) -> Principal:
        """Return the owner of stored work as he is now; raises ``forbidden`` when the key is gone."""

    def failure_frames(self, call: Call, error: GatewayError) -> list[Frame]:
        """Return the frames of a stream that failed before anything of it was made."""


MakeCallLayer = Callable[[Services], CallLayer | None]
MakeAttemptLayer = Callable[[Services], AttemptLayer | None]
MakeListener = Callable[[Services], Listener | None]
