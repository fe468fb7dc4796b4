"""Circuit breakers and cooldowns: which targets are better passed over for now.

They only re-order. A target of which half the calls failed lately, or that asked for a pause, goes behind the
others and is still tried when nothing else is left. After its rest one call is the probe: its answer closes the
circuit, its failure doubles the rest. Kept per worker; off unless configured (contract/governance.md 6).

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

_SPAN: Final = 30  # seconds that are looked at
_LEAST: Final = 10  # calls in them, below which nothing opens
_FIRST_REST: Final = 15.0
_LONGEST_REST: Final = 300.0
_LONGEST_PAUSE: Final = 3600.0  # seconds that a provider may ask for
_MOST: Final = 4096  # circuits of one worker; those that were not used longest go

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
    """What is known of one circuit. Moments are monotonic seconds.

    ``seconds`` counts calls and failures of each second lately. ``rest`` is how long a circuit that opened at
    ``opened_at`` rests, 0 while it is closed, ``rests_until`` when that, or a pause that was asked for, is over. ``prober`` is the
    call that probes, until ``probes_until`` at most."""

    seconds: deque[list[int]] = field(default_factory=deque)
    rest: float = 0.0
    rests_until: float = 0.0
    opened_at: float = 0.0
    prober: int | None = None
    probes_until: float = 0.0
    phase: str = "closed"

    def count(self, now: float, failures: int) -> None:
        """Count one call."""
        second = int(now)
        while self.seconds and self.seconds[0][0] <= second - _SPAN:
            self.seconds.popleft()
        if not self.seconds or self.seconds[-1][0] != second:
            self.seconds.append([second, 0, 0])
        self.seconds[-1][1] += 1
        self.seconds[-1][2] += failures

    def fails(self) -> bool:
        """Tell whether half of enough calls failed."""
        calls, failures = (sum(one[place] for one in self.seconds) for place in (1, 2))
        return calls >= _LEAST and 2 * failures >= calls

    def rests(self, now: float, caller: int | None) -> bool:
        """Tell whether ``caller`` had better go elsewhere: it rests, or somebody else probes."""
        if now < self.rests_until:
            return True
        return self.prober not in (None, caller) and now < self.probes_until


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
        self._probed: dict[int, _State] = {}

    def order(
        self, targets: Iterable[Target | GatewayError], caller: int | None = None
    ) -> list[Target | GatewayError]:
        """Return the targets, those that rest behind all others, order kept otherwise.

        ``caller`` names who is going to ask: where the first target is due for a probe he is the one. Without
        it nothing is changed."""
        listed, now = list(targets), self._now()
        states = [self._states.get(_circuit(t)) if isinstance(t, Target) else None for t in listed]
        resting = [state is not None and state.rests(now, caller) for state in states]
        places = sorted(range(len(listed)), key=resting.__getitem__)
        if caller is not None and places and not resting[places[0]]:
            self._claim(listed[places[0]], states[places[0]], caller, now)
        return [listed[place] for place in places]

    def succeeded(self, target: Target, began: float | None = None) -> None:
        """Note an answer to what began then: the circuit closes, if that was after it opened. A pause that was
        asked for stays."""
        state = self._state(target)
        if state.rest and (began is None or began >= state.opened_at):
            state.seconds.clear()
            state.rest = state.rests_until = 0.0
            state.prober = None
        state.count(self._now(), 0)
        if not state.rest and state.rests_until <= self._now():
            self._move(target, state, "closed")

    def failed(self, target: Target, error: GatewayError) -> None:
        """Note a failure: too many, a failed probe, or a pause that was asked for make the target rest."""
        kind, now = error.kind.name, self._now()
        if kind not in _FAULTS | _PAUSES:
            return
        state = self._state(target)
        rest = 0.0
        if kind in _FAULTS:
            state.count(now, 1)
            if state.rest and now >= state.rests_until:
                rest = state.rest = min(2 * state.rest, _LONGEST_REST)
            elif not state.rest and state.fails():
                rest = state.rest = _FIRST_REST
        if kind in _PAUSES and error.retry_after is not None:
            rest = max(rest, min(float(error.retry_after), _LONGEST_PAUSE))
        state.prober = None
        if rest:
            state.opened_at = now
            state.rests_until = max(state.rests_until, now + rest)
            self._move(target, state, "open")

    def release(self, caller: int) -> None:
        """Note that ``caller`` asks nobody any more: a probe of his that nothing came of is another's."""
        state = self._probed.pop(caller, None)
        if state is not None and state.prober == caller:
            state.prober = None

    def resting(self) -> dict[Circuit, float]:
        """Return the seconds that each circuit still rests; those that are closed are not in it."""
        now = self._now()
        return {
            circuit: state.rests_until - now
            for circuit, state in self._states.items()
            if state.rests_until > now
        }

    def _state(self, target: Target) -> _State:
        """Return the state of a target, the last of those that are kept."""
        circuit = _circuit(target)
        state = self._states.pop(circuit, None) or _State()
        self._states[circuit] = state
        if len(self._states) > _MOST:
            del self._states[next(iter(self._states))]
        return state

    def _claim(self, target: Target | GatewayError, state: _State | None, caller: int, now: float) -> None:
        """Make ``caller`` the probe of a circuit whose rest is over."""
        if state is not None and isinstance(target, Target) and state.rest:
            state.prober, state.probes_until = caller, now + state.rest
            self._probed[caller] = state
            self._move(target, state, "half_open")

    def _move(self, target: Target, state: _State, phase: str) -> None:
        """Tell of a circuit that is not what it was."""
        if phase != state.phase:
            state.phase = phase
            self._on_change(_circuit(target), phase, max(0.0, state.rests_until - self._now()))


def _circuit(target: Target) -> Circuit:
    return target.provider.name, target.model, target.key.name if target.key else ""
