"""Circuit breakers and cooldowns: which targets are better passed over for now.

They only re-order. A target that keeps failing, or that asked for a pause, goes behind the
others and is still tried when nothing else is left. Kept per worker; off unless configured.

Tests: tests/gateway/test_breaker.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from app.errors import GatewayError
from app.gateway.call import Target

_TRIPS: Final = 5  # failures in a row that open a circuit
_PAUSE: Final = 30.0  # seconds until one probe is let through

_FAULTS: Final = frozenset(
    {
        "upstream_unreachable",
        "upstream_dns",
        "upstream_tls",
        "upstream_timeout",
        "upstream_idle",
        "upstream_invalid",
        "upstream_cut",
        "upstream_error",
        "upstream_overloaded",
        "upstream_auth",
        "upstream_quota",
        "egress_proxy",
    }
)
_PAUSES: Final = frozenset({"upstream_rate_limited", "upstream_overloaded"})

Circuit = tuple[str, str, str]
OnChange = Callable[[Circuit, str, float], None]
"""Is told of a circuit that is now ``open``, with the seconds that it rests, ``half_open`` or ``closed``."""


@dataclass(slots=True)
class _State:
    """Failures in a row, the monotonic second until which the target rests, and what was told of it last."""

    failures: int = 0
    rests_until: float = 0.0
    phase: str = "closed"


class Breaker:
    """The circuits of one worker, by provider, model and key."""

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        on_change: OnChange = lambda circuit, phase, seconds: None,
    ) -> None:
        self._now = monotonic
        self._on_change = on_change
        self._states: dict[Circuit, _State] = {}

    def order(self, targets: Iterable[Target | GatewayError]) -> list[Target | GatewayError]:
        """Return the targets, those that rest behind all others, order kept otherwise."""
        listed = list(targets)
        resting = [isinstance(target, Target) and self._rests(target) for target in listed]
        well = [target for target, rests in zip(listed, resting, strict=True) if not rests]
        return well + [target for target, rests in zip(listed, resting, strict=True) if rests]

    def succeeded(self, target: Target) -> None:
        """Note an answer: the circuit closes."""
        state = self._states.pop(_circuit(target), None)
        if state is not None:
            self._move(target, state, "closed")

    def failed(self, target: Target, error: GatewayError) -> None:
        """Note a failure: enough in a row, or a pause that was asked for, make the target rest."""
        if error.kind.name not in _FAULTS | _PAUSES:
            return
        state = self._states.setdefault(_circuit(target), _State())
        if error.kind.name in _FAULTS:
            state.failures += 1
        pause = _PAUSE if state.failures >= _TRIPS else 0.0
        if error.kind.name in _PAUSES and error.retry_after is not None:
            pause = max(pause, float(error.retry_after))
        if pause:
            state.rests_until = max(state.rests_until, self._now() + pause)
            self._move(target, state, "open")

    def resting(self) -> dict[Circuit, float]:
        """Return the seconds that each circuit still rests; those that are closed are not in it."""
        now = self._now()
        return {
            circuit: state.rests_until - now
            for circuit, state in self._states.items()
            if state.rests_until > now
        }

    def _rests(self, target: Target) -> bool:
        """Tell whether ``target`` rests; the first who asks after its pause is the one probe."""
        state = self._states.get(_circuit(target))
        if state is None or state.rests_until == 0.0:
            return False
        if self._now() < state.rests_until:
            return True
        state.rests_until = self._now() + _PAUSE
        self._move(target, state, "half_open")
        return False

    def _move(self, target: Target, state: _State, phase: str) -> None:
        """Tell of a circuit that is not what it was."""
        if phase != state.phase:
            state.phase = phase
            self._on_change(_circuit(target), phase, max(0.0, state.rests_until - self._now()))


def _circuit(target: Target) -> Circuit:
    return target.provider.name, target.model, target.key.name if target.key else ""
