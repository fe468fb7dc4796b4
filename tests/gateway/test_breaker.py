"""Breakers only re-order: a target that rests goes behind the others, and is never lost."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from app.config import ProviderKey, ProviderSettings, Secret
from app.errors import GatewayError
from app.gateway.breaker import Breaker
from app.gateway.call import Target
from app.gateway.key_cooldowns import KeyCooldowns
from app.providers.auth import BearerAuth
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

    def order(self, caller: int | None = 1) -> list[str]:
        """Return the names in the order in which ``caller`` would try them, None: in which they are looked at."""
        found = self.breaker.order([self.first, self.second], caller)
        return [target.provider.name for target in found if isinstance(target, Target)]

    def fail(self, times: int = 10) -> None:
        """Let the first target fail so many calls."""
        for _ in range(times):
            self.breaker.record_failure(self.first, _fault())


def _target(name: str) -> Target:
    spec = Spec(name=name, wires={}, auth=BearerAuth(), base_url="http://127.0.0.1:9", needs_key=False)
    return Target(Provider(spec, ProviderSettings(name, max_concurrency=1), None), "m", None)


def _fault(kind: str = "upstream_error", retry_after: int | None = None) -> GatewayError:
    return GatewayError(kind, "it failed", retry_after=retry_after)


def test_each_change_of_a_circuit_is_told_once() -> None:
    told: list[tuple[str, str, float]] = []
    scene = Scene()
    scene.breaker = Breaker(scene.clock, lambda circuit, phase, rest: told.append((circuit[0], phase, rest)))
    scene.fail(12)
    assert told == [("first", "open", 15.0)]
    scene.clock.now += 16
    scene.order()
    scene.fail(1)
    scene.clock.now += 31
    scene.order()
    scene.breaker.record_success(scene.first)
    scene.breaker.record_success(scene.first)
    assert [phase for _, phase, _ in told] == ["open", "half_open", "open", "half_open", "closed"]


@pytest.mark.parametrize(
    ("good", "bad", "opens"), [(0, 9, False), (0, 10, True), (5, 5, True), (6, 5, False), (90, 89, False)]
)
def test_half_of_at_least_ten_calls_open_a_circuit(good: int, bad: int, opens: bool) -> None:
    scene = Scene()
    for _ in range(good):
        scene.breaker.record_success(scene.first)
    scene.fail(bad)
    assert scene.order() == (["second", "first"] if opens else ["first", "second"])


def test_calls_of_more_than_thirty_seconds_ago_do_not_count() -> None:
    scene = Scene()
    scene.fail(9)
    scene.clock.now += 31
    scene.fail(9)
    assert scene.order() == ["first", "second"]
    scene.fail(1)
    assert scene.order() == ["second", "first"]


def test_after_its_rest_one_call_is_the_probe_and_its_answer_closes_the_circuit() -> None:
    scene = Scene()
    scene.fail()
    scene.clock.now += 16
    assert scene.order(caller=1) == ["first", "second"]
    assert scene.order(caller=2) == ["second", "first"]
    assert scene.order(caller=1) == ["first", "second"], "a call may be planned twice"
    scene.breaker.record_success(scene.first)
    assert scene.order(caller=2) == ["first", "second"]
    scene.fail(8)
    assert scene.order(caller=2) == ["first", "second"], "it begins to count anew"


def test_a_look_takes_no_probe() -> None:
    scene = Scene()
    scene.fail()
    scene.clock.now += 16
    assert scene.order(caller=None) == ["first", "second"]
    assert scene.order(caller=1) == ["first", "second"]
    assert scene.order(caller=None) == ["second", "first"], "somebody probes"


def test_each_failed_probe_doubles_the_rest_up_to_five_minutes() -> None:
    scene = Scene()
    scene.fail()
    rests = []
    for _ in range(7):
        (rest,) = scene.breaker.open_circuits().values()
        rests.append(rest)
        scene.clock.now += rest
        assert scene.order() == ["first", "second"]
        scene.fail(1)
    assert rests == [15, 30, 60, 120, 240, 300, 300]


def test_a_probe_that_nobody_hears_of_again_is_given_to_another() -> None:
    scene = Scene()
    scene.fail()
    scene.clock.now += 16
    assert scene.order(caller=1) == ["first", "second"]
    scene.clock.now += 16
    assert scene.order(caller=2) == ["first", "second"]


def test_a_call_that_asked_nobody_gives_its_probe_back() -> None:
    scene = Scene()
    scene.fail()
    scene.clock.now += 16
    assert scene.order(caller=1) == ["first", "second"]
    scene.breaker.release(2)
    assert scene.order(caller=3) == ["second", "first"]
    scene.breaker.release(1)
    assert scene.order(caller=3) == ["first", "second"]
    scene.breaker.release(1)
    assert scene.order(caller=4) == ["second", "first"]


def test_an_answer_to_what_began_before_the_circuit_opened_does_not_close_it() -> None:
    scene = Scene()
    began = scene.clock.now
    scene.clock.now += 1
    scene.fail()
    scene.breaker.record_success(scene.first, began)
    assert scene.order() == ["second", "first"]
    scene.breaker.record_success(scene.first, scene.clock.now)
    assert scene.order() == ["first", "second"]


def test_a_worker_keeps_a_bounded_number_of_circuits() -> None:
    scene = Scene()
    for number in range(5_000):
        scene.breaker.record_failure(
            replace(scene.first, model=f"m{number}"), _fault("upstream_rate_limited", 9)
        )
    assert len(scene.breaker.open_circuits()) == 4096


def test_a_rate_limit_rests_for_as_long_as_it_was_asked_for() -> None:
    scene = Scene()
    scene.breaker.record_failure(scene.first, _fault("upstream_rate_limited", retry_after=7))
    assert scene.order() == ["second", "first"]
    scene.clock.now += 8
    assert scene.order() == ["first", "second"]


@pytest.mark.parametrize("kind", ["upstream_rejected", "unsupported_parameter", "content_filter"])
def test_a_refusal_of_the_request_is_no_failure_of_the_target(kind: str) -> None:
    scene = Scene()
    for _ in range(30):
        scene.breaker.record_failure(scene.first, _fault(kind))
    assert scene.order() == ["first", "second"]


def test_a_provider_takes_no_more_calls_at_once_than_it_is_set_to() -> None:
    provider = _target("first").provider
    with provider.slots:
        with pytest.raises(GatewayError) as refused, provider.slots:
            pass
        assert (refused.value.status, refused.value.retry_after) == (503, 1)
    with provider.slots:
        pass


def _pooled(*names: str) -> list[Target]:
    keys = tuple(ProviderKey(name, Secret(name)) for name in names)
    spec = Spec(name="pool", wires={}, auth=BearerAuth(), base_url="http://127.0.0.1:9", needs_key=False)
    provider = Provider(spec, ProviderSettings("pool", keys=keys, max_concurrency=1), None)
    return [Target(provider, "m", key) for key in keys]


@pytest.mark.parametrize(
    ("kind", "passed_over"), [("upstream_auth", True), ("upstream_quota", True), ("upstream_error", False)]
)
def test_a_refused_key_of_a_pool_is_passed_over_for_ten_minutes(kind: str, passed_over: bool) -> None:
    clock = Clock()
    spent, (one, two) = KeyCooldowns(clock), _pooled("one", "two")
    spent.record_failure(one, _fault(kind))
    assert spent.order([one, two]) == ([two, one] if passed_over else [one, two])
    assert spent.seconds("pool") == ({"one": 600.0} if passed_over else {})
    clock.now += 601
    assert spent.order([one, two]) == [one, two]


def test_a_key_that_answers_again_or_has_no_neighbour_is_not_passed_over() -> None:
    spent, (one, two), (alone,) = KeyCooldowns(), _pooled("one", "two"), _pooled("alone")
    spent.record_failure(one, _fault("upstream_auth"))
    spent.record_success(one)
    assert spent.order([one, two]) == [one, two]
    spent.record_failure(alone, _fault("upstream_auth"))
    assert spent.order([alone, two]) == [alone, two]
