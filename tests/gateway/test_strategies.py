"""The order that strategies give, by a clock and draws of the test."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final

from app.gateway.strategies import Place, Strategies

A: Final[Place] = ("a", "m")
B: Final[Place] = ("b", "m")
C: Final[Place] = ("c", "m")
NO_CALL: Final[Any] = SimpleNamespace(progress=SimpleNamespace(only_looks=False))


class Scene:
    """Strategies with a clock and a draw that the test sets, and prices by place."""

    def __init__(self, **prices: int) -> None:
        self.now, self.draws = 1_000.0, [0.5]
        self.known = Strategies(
            lambda call, place: prices.get(place[0]),
            lambda: self.now,
            lambda: self.draws.pop(0) if len(self.draws) > 1 else self.draws[0],
        )

    def order(self, strategy: str, *places: Place) -> str:
        """Return the providers' names in order."""
        found = self.known.order(strategy, NO_CALL, list(places or (A, B, C)))
        return "".join(provider for provider, _ in found)

    def answers(self, place: Place, *seconds: float) -> None:
        """Let a place answer after so many seconds."""
        for one in seconds:
            self.known.record_start(place)
            self.known.record_latency(place, one)
            self.known.record_end(place)


def test_the_cheapest_comes_first_and_an_unknown_price_last() -> None:
    assert Scene(b=5, c=2).order("cheapest") == "cba"


def test_equal_prices_stay_in_their_order() -> None:
    assert Scene(a=2, b=2, c=1).order("cheapest", B, A, C) == "cba"


def test_the_least_busy_comes_first() -> None:
    scene = Scene()
    for place in (A, A, B):
        scene.known.record_start(place)
    assert scene.order("least-busy") == "cba"
    scene.known.record_end(A)
    scene.known.record_end(A)
    assert scene.order("least-busy") == "acb"


def test_the_lowest_median_comes_first() -> None:
    scene = Scene()
    scene.order("latency")
    scene.answers(A, 0.1, 0.1, 9.0)
    scene.answers(B, 0.2, 0.2, 0.2)
    scene.answers(C, 0.05, 3.0, 3.0)
    assert scene.order("latency") == "abc"


def test_the_last_twenty_answers_count() -> None:
    scene = Scene()
    scene.order("latency", A, B)
    scene.answers(A, *[9.0] * 20)
    scene.answers(B, *[1.0] * 20)
    assert scene.order("latency", A, B) == "ba"
    scene.answers(A, *[0.5] * 20)
    assert scene.order("latency", A, B) == "ab"


def test_an_untried_target_goes_first_and_one_that_never_answers_last() -> None:
    scene = Scene()
    scene.order("latency")
    scene.answers(A, 0.5)
    assert scene.order("latency") == "bca"
    scene.known.record_start(B)
    scene.known.record_end(B)
    assert scene.order("latency") == "cab"


def test_nothing_is_explored_before_each_target_was_tried() -> None:
    scene = Scene()
    scene.draws = [0.0]
    scene.order("latency", A, B)
    scene.answers(A, 0.5)
    assert scene.order("latency", A, B) == "ba"
    scene.answers(B, 0.6)
    assert scene.order("latency", A, B) == "ba"  # now it explores


def test_five_minutes_later_an_answer_counts_no_more() -> None:
    scene = Scene()
    scene.order("latency", A, B)
    scene.answers(A, 0.1)
    scene.now += 200
    scene.answers(B, 0.2)
    assert scene.order("latency", A, B) == "ab"
    scene.now += 101
    assert scene.order("latency", B, A) == "ab"  # as one that nobody knows
    scene.answers(A, 0.3)
    assert scene.order("latency", A, B) == "ba"


def test_one_call_in_twenty_explores_another_target() -> None:
    scene = Scene()
    scene.order("latency")
    for place, seconds in ((A, 0.1), (B, 0.2), (C, 0.3)):
        scene.answers(place, seconds)
    firsts = []
    for number in range(20):
        scene.draws = [number / 20, 0.99]
        firsts.append(scene.order("latency"))
    assert firsts == ["cab"] + ["abc"] * 19


def test_places_that_no_strategy_orders_are_not_remembered() -> None:
    scene = Scene()
    scene.answers(A, 0.1)
    assert scene.order("latency", B, A) == "ba"  # both unknown
