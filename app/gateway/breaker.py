"""Circuit breakers: which targets are tried last for now.

They only change the order. A target whose calls failed half the time lately, or that asked for a pause, goes
behind the others; it is still tried when nothing else is left. When a circuit has been open long enough, one
call is its probe: a success closes it, a failure opens it for twice as long. State is kept per worker; breakers
are off unless configured (docs/configuration.md, "Models").

Tests: tests/gateway/test_breaker.py.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from app.errors import GatewayError
from app.gateway.call import Target

_WINDOW: Final = 30  # seconds whose calls count
_MIN_CALLS: Final = 10  # in the window; with fewer no circuit opens
_MIN_OPEN: Final = 15.0  # seconds that a circuit is open at first
_MAX_OPEN: Final = 300.0
_MAX_PAUSE: Final = 3600.0  # seconds that a provider may ask for
_MAX_CIRCUITS: Final = 4096  # of one worker; the least recently used go first

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
"""Called with a circuit, its new phase (``open``, ``half_open``, ``closed``) and the seconds it stays open."""


@dataclass(slots=True)
class _State:
    """The state of one circuit; times are monotonic seconds.

    ``seconds`` has a row for each second of the window: the second, its calls and its failures. ``duration`` is
    how long a circuit that opened at ``opened_at`` stays open, 0 while it is closed; ``open_until`` is when that,
    or a pause that the provider asked for, is over. ``probe`` is the caller that probes, until ``probe_until``
    at most."""

    seconds: deque[list[int]] = field(default_factory=deque)
    duration: float = 0.0
    open_until: float = 0.0
    opened_at: float = 0.0
    probe: int | None = None
    probe_until: float = 0.0
    phase: str = "closed"

    def count(self, now: float, failures: int) -> None:
        """Count one call."""
        second = int(now)
        while self.seconds and self.seconds[0][0] <= second - _WINDOW:
            self.seconds.popleft()
        if not self.seconds or self.seconds[-1][0] != second:
            self.seconds.append([second, 0, 0])
        self.seconds[-1][1] += 1
        self.seconds[-1][2] += failures

    def is_failing(self) -> bool:
        """Tell whether at least half of enough calls failed."""
        calls, failures = (sum(row[column] for row in self.seconds) for column in (1, 2))
        return calls >= _MIN_CALLS and 2 * failures >= calls

    def is_open(self, now: float, caller: int | None) -> bool:
        """Tell whether ``caller`` should go elsewhere: the circuit is open, or another caller probes it."""
        if now < self.open_until:
            return True
        return self.probe not in (None, caller) and now < self.probe_until


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
        self._probes: dict[int, _State] = {}

    def order(
        self, targets: Iterable[Target | GatewayError], caller: int | None = None
    ) -> list[Target | GatewayError]:
        """Return the targets, those with open circuits behind all others; the order is kept otherwise.

        ``caller`` is the call that goes to the first target: where that is due for a probe, the call becomes
        the probe. Without ``caller`` nothing changes."""
        steps, now = list(targets), self._now()
        states = [self._states.get(_circuit(t)) if isinstance(t, Target) else None for t in steps]
        is_open = [state is not None and state.is_open(now, caller) for state in states]
        order = sorted(range(len(steps)), key=is_open.__getitem__)
        if caller is not None and order and not is_open[order[0]]:
            self._claim(steps[order[0]], states[order[0]], caller, now)
        return [steps[index] for index in order]

    def record_success(self, target: Target, began: float | None = None) -> None:
        """Note an answer to an attempt that began at ``began``: the circuit closes if it was open by then. A pause
        that the provider asked for stays."""
        state = self._state(target)
        if state.duration and (began is None or began >= state.opened_at):
            state.seconds.clear()
            state.duration = state.open_until = 0.0
            state.probe = None
        state.count(self._now(), 0)
        if not state.duration and state.open_until <= self._now():
            self._move(target, state, "closed")

    def record_failure(self, target: Target, error: GatewayError) -> None:
        """Note a failure; too many, a failed probe, or a pause that the provider asks for open the circuit."""
        kind, now = error.kind.name, self._now()
        if kind not in _FAULTS | _PAUSES:
            return
        state = self._state(target)
        duration = 0.0
        if kind in _FAULTS:
            state.count(now, 1)
            if state.duration and now >= state.open_until:
                duration = state.duration = min(2 * state.duration, _MAX_OPEN)
            elif not state.duration and state.is_failing():
                duration = state.duration = _MIN_OPEN
        if kind in _PAUSES and error.retry_after is not None:
            duration = max(duration, min(float(error.retry_after), _MAX_PAUSE))
        state.probe = None
        if duration:
            state.opened_at = now
            state.open_until = max(state.open_until, now + duration)
            self._move(target, state, "open")

    def release(self, caller: int) -> None:
        """Note that ``caller`` is over: if its probe had no outcome, another caller may probe."""
        state = self._probes.pop(caller, None)
        if state is not None and state.probe == caller:
            state.probe = None

    def open_circuits(self) -> dict[Circuit, float]:
        """Return the seconds that each open circuit stays open."""
        now = self._now()
        return {
            circuit: state.open_until - now
            for circuit, state in self._states.items()
            if state.open_until > now
        }

    def _state(self, target: Target) -> _State:
        """Return the state of a target and make it the most recently used one."""
        circuit = _circuit(target)
        state = self._states.pop(circuit, None) or _State()
        self._states[circuit] = state
        if len(self._states) > _MAX_CIRCUITS:
            del self._states[next(iter(self._states))]
        return state

    def _claim(self, target: Target | GatewayError, state: _State | None, caller: int, now: float) -> None:
        """Make ``caller`` the probe of a circuit that was open long enough."""
        if state is not None and isinstance(target, Target) and state.duration:
            state.probe, state.probe_until = caller, now + state.duration
            self._probes[caller] = state
            self._move(target, state, "half_open")

    def _move(self, target: Target, state: _State, phase: str) -> None:
        """Set the phase of a circuit; report a new one."""
        if phase != state.phase:
            state.phase = phase
            self._on_change(_circuit(target), phase, max(0.0, state.open_until - self._now()))


def _circuit(target: Target) -> Circuit:
    return target.provider.name, target.model, target.key.name if target.key else ""
