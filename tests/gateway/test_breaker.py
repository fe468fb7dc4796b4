"""Breakers only re-order: a target that rests goes behind the others, and is never lost."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from app.config import ProviderSettings
from app.errors import GatewayError
from app.gateway.breaker import Breaker
from app.gateway.call import Target
from app.providers.auth import NoAuth
from app.providers.base import Provider, Spec


@dataclass
class Clock:
    """A clock that the test moves."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Scene:
    """Two targets and the breaker between them."""

    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.breaker = Breaker(self.clock)
        self.first, self.second = _target("first"), _target("second")

    def order(self) -> list[str]:
        """Return the names in the order in which they would be tried."""
        found = self.breaker.order([self.first, self.second])
        return [target.provider.name for target in found if isinstance(target, Target)]


def _target(name: str) -> Target:
    spec = Spec(name=name, wires={}, auth=NoAuth(), base_url="http://127.0.0.1:9", needs_key=False)
    return Target(Provider(spec, ProviderSettings(name, max_concurrency=1), None), "m", None)


def _fault(kind: str = "upstream_error", retry_after: int | None = None) -> GatewayError:
    return GatewayError(kind, "it failed", retry_after=retry_after)


def test_each_change_of_a_circuit_is_told_once() -> None:
    told: list[tuple[str, str, float]] = []
    clock, first = Clock(), _target("first")
    breaker = Breaker(clock, lambda circuit, phase, seconds: told.append((circuit[0], phase, seconds)))
    for _ in range(7):
        breaker.failed(first, _fault())
    assert told == [("first", "open", 30.0)]
    clock.now += 31
    breaker.order([first])
    breaker.failed(first, _fault())
    clock.now += 31
    breaker.order([first])
    breaker.succeeded(first)
    breaker.succeeded(first)
    assert [phase for _, phase, _ in told] == ["open", "half_open", "open", "half_open", "closed"]


def test_a_target_rests_after_five_failures_in_a_row_and_is_kept_as_the_last() -> None:
    scene = Scene()
    for _ in range(4):
        scene.breaker.failed(scene.first, _fault())
    assert scene.order() == ["first", "second"]
    scene.breaker.failed(scene.first, _fault())
    assert scene.order() == ["second", "first"]


def test_an_answer_closes_the_circuit() -> None:
    scene = Scene()
    for _ in range(4):
        scene.breaker.failed(scene.first, _fault())
    scene.breaker.succeeded(scene.first)
    scene.breaker.failed(scene.first, _fault())
    assert scene.order() == ["first", "second"]


def test_after_the_pause_one_probe_goes_first() -> None:
    scene = Scene()
    for _ in range(5):
        scene.breaker.failed(scene.first, _fault())
    scene.clock.now += 31
    assert scene.order() == ["first", "second"]
    assert scene.order() == ["second", "first"]


def test_a_rate_limit_rests_for_as_long_as_it_was_asked_for() -> None:
    scene = Scene()
    scene.breaker.failed(scene.first, _fault("upstream_rate_limited", retry_after=7))
    assert scene.order() == ["second", "first"]
    scene.clock.now += 8
    assert scene.order() == ["first", "second"]


@pytest.mark.parametrize("kind", ["upstream_rejected", "unsupported_parameter", "content_filter"])
def test_a_refusal_of_the_request_is_no_failure_of_the_target(kind: str) -> None:
    scene = Scene()
    for _ in range(9):
        scene.breaker.failed(scene.first, _fault(kind))
    assert scene.order() == ["first", "second"]


def test_a_provider_takes_no_more_calls_at_once_than_it_is_set_to() -> None:
    provider = _target("first").provider
    with provider.slot():
        with pytest.raises(GatewayError) as refused, provider.slot():
            pass
        assert (refused.value.status, refused.value.retry_after) == (503, 1)
    with provider.slot():
        pass
