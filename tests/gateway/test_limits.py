"""The arithmetic of limits: in memory, in Redis, and held to each other; what clients are told of it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gevent
import pytest
import redis
from gevent.monkey import get_original
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.config import Limit
from app.config_loading import load
from app.dialects.shared.rate_limits import duration
from app.errors import GatewayError
from app.gateway import allowances
from app.gateway.estimates import tokens_of_body
from app.gateway.limits import gate as gates
from app.gateway.limits.charges import Touch, fits, lowest_of_each
from app.gateway.limits.redis_windows import HELD, SCRIPT, RedisWindows
from app.gateway.limits.windows import Charge, Decision, MemoryWindows, Settlement, Windows

MINUTE = Charge("minute", 5, 60, 1)
TOKENS = Charge("tokens", 100, 60, 40)
AT_ONCE = Charge("at once", 2, 0, 1)


@dataclass
class Clock:
    """A clock that the test moves; Unix seconds."""

    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class ClockedRedis(RedisWindows):
    """The script with the test's clock in place of Redis's own."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._clock = clock
        script = SCRIPT.replace(
            "local clock = redis.call('TIME')",
            "local clock = {table.remove(ARGV, 1), table.remove(ARGV, 1)}",
        )
        assert script != SCRIPT
        super().__init__(url, script=script, prefix=f"sluice-test-{secrets.token_hex(6)}:")

    def _run(self, op: str, keys: Any, holder: str, rows: Any) -> list[Any]:
        whole, micros = divmod(round(self._clock.now * 1_000_000), 1_000_000)
        arguments = [whole, micros, op, holder, HELD, *(value for row in rows for value in row)]
        found: list[Any] = self._script([self._prefix + key for key in keys], arguments)
        return found

    def forget(self) -> None:
        """Delete the keys of this test."""
        for key in self._redis.scan_iter(self._prefix + "*"):
            self._redis.delete(key)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "redis"])
def windows(request: pytest.FixtureRequest, clock: Clock) -> Iterator[Windows]:
    """Each back end, on the test's clock."""
    if request.param == "memory":
        yield MemoryWindows(clock)
        return
    made = ClockedRedis(request.getfixturevalue("redis_url"), clock)
    yield made
    made.forget()
    made.close()


def admitted(windows: Windows, *charges: Charge, holder: str = "a") -> bool:
    return windows.admit(charges, holder).refused is None


def test_so_many_are_admitted_and_the_next_hears_when_to_come_back(windows: Windows, clock: Clock) -> None:
    assert [admitted(windows, MINUTE) for _ in range(6)] == [True] * 5 + [False]
    clock.now += 10.25
    verdict = windows.admit([MINUTE], "a")
    assert (verdict.refused, round(verdict.wait, 3)) == (0, 50.75)  # a sixtieth late at most
    clock.now += 50.75
    assert admitted(windows, MINUTE)


def test_no_span_of_a_minute_holds_more_than_the_limit(windows: Windows, clock: Clock) -> None:
    moments = []
    for step in range(400):
        clock.now = 1_700_000_000.0 + step * 0.7
        if admitted(windows, MINUTE):
            moments.append(clock.now)
    assert len(moments) > 15
    spans = [later - first for first, later in zip(moments, moments[5:], strict=False)]
    assert min(spans) > 60
    assert max(spans) <= 61 + 0.7


def test_a_call_is_charged_to_all_of_its_limits_or_to_none(windows: Windows) -> None:
    assert admitted(windows, TOKENS, MINUTE)
    assert admitted(windows, TOKENS, MINUTE)
    verdict = windows.admit([MINUTE, TOKENS], "a")
    assert verdict.refused == 1
    assert verdict.used == [2, 80]


def test_what_never_fits_waits_for_the_whole_window(windows: Windows) -> None:
    verdict = windows.admit([TOKENS._replace(amount=101)], "a")
    assert (verdict.refused, verdict.wait) == (0, 60)


def test_the_end_adds_the_rest_whatever_the_limit_says(windows: Windows) -> None:
    part = windows.admit([TOKENS], "a").parts[0]
    windows.settle([Settlement(TOKENS, part, 500)], "a")
    verdict = windows.admit([TOKENS._replace(amount=0)], "a")
    assert (verdict.refused, verdict.used[0]) == (0, 540)


def test_the_end_takes_back_what_was_not_used_and_no_more(windows: Windows, clock: Clock) -> None:
    part = windows.admit([TOKENS], "a").parts[0]
    clock.now += 5
    windows.admit([TOKENS], "b")
    windows.settle([Settlement(TOKENS, part, -30)], "a")
    assert windows.admit([TOKENS._replace(amount=0)], "c").used[0] == 50
    windows.settle([Settlement(TOKENS, part, -300)], "a")
    assert windows.admit([TOKENS._replace(amount=0)], "c").used[0] == 40


def test_places_among_calls_at_once_are_held_by_their_calls(windows: Windows) -> None:
    assert admitted(windows, AT_ONCE, holder="a")
    assert admitted(windows, AT_ONCE, holder="b")
    verdict = windows.admit([AT_ONCE], "c")
    assert (verdict.refused, verdict.wait) == (0, 1)
    windows.settle([Settlement(AT_ONCE, 0, 0)], "a")
    assert admitted(windows, AT_ONCE, holder="c")


def test_limits_of_which_nothing_is_used_any_more_are_forgotten(clock: Clock) -> None:
    windows, day = MemoryWindows(clock), Charge("day", 5_000, 86_400, 1)
    for number in range(5_000):
        clock.now += 1
        assert admitted(windows, Charge(f"caller {number}", 5, 60, 1), day)
    assert len(windows._windows) <= 1_001
    assert not admitted(windows, day), "what is used is not forgotten"


def test_a_look_charges_nothing(windows: Windows) -> None:
    admitted(windows, MINUTE, AT_ONCE)
    looks = [one._replace(amount=0) for one in (MINUTE, AT_ONCE)]
    assert [windows.admit(looks, f"look {number}").used for number in range(3)] == [[1, 1]] * 3


def test_places_of_a_killed_process_are_free_after_fifteen_seconds(redis_url: str, clock: Clock) -> None:
    windows = ClockedRedis(redis_url, clock)
    assert admitted(windows, AT_ONCE, holder="lives")
    assert admitted(windows, AT_ONCE, holder="killed")
    clock.now += 14
    windows.renew([(AT_ONCE.key, "lives")])
    assert not admitted(windows, AT_ONCE, holder="new")
    clock.now += 1
    assert admitted(windows, AT_ONCE, holder="new")
    assert not admitted(windows, AT_ONCE, holder="newer")
    windows.renew([(AT_ONCE.key, "gone")])  # who lost its place does not get it back
    windows.forget()
    windows.close()


@pytest.mark.parametrize("seconds", [60, 3_600])
def test_a_clock_that_is_set_back_delays_nobody_by_more_than_a_span(
    windows: Windows, clock: Clock, seconds: int
) -> None:
    charge = Charge("set back", 5, seconds, 1)
    assert [admitted(windows, charge) for _ in range(5)] == [True] * 5
    clock.now -= 2 * seconds
    decision = windows.admit([charge], "a")
    assert decision.refused == 0
    assert seconds - 1 < decision.wait <= seconds * 61 / 60
    assert decision.resets[0] == pytest.approx(decision.wait, abs=1e-3)
    clock.now += decision.wait
    assert [admitted(windows, charge) for _ in range(6)] == [True] * 5 + [False]


def test_places_of_before_a_clock_was_set_back_are_free_after_fifteen_seconds(
    redis_url: str, clock: Clock
) -> None:
    windows = ClockedRedis(redis_url, clock)
    assert [admitted(windows, AT_ONCE, holder=holder) for holder in "ab"] == [True, True]
    clock.now -= 3_600
    assert not admitted(windows, AT_ONCE, holder="c")
    clock.now += HELD
    assert admitted(windows, AT_ONCE, holder="c")
    windows.forget()
    windows.close()


def test_the_clock_of_one_process_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = MemoryWindows()
    assert [admitted(windows, MINUTE) for _ in range(6)] == [True] * 5 + [False]
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert not admitted(windows, MINUTE)
    assert windows.admit([MINUTE], "a").wait <= 61


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["admit", "settle", "wait"]),
        st.sampled_from([1, 60, 3_600, 86_400]),
        st.integers(1, 40),
        st.integers(-30, 60),
        st.integers(0, 3_000_000_000),  # microseconds to wait, times the window's part of a minute
    ),
    max_size=25,
)


@given(steps=STEPS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_back_ends_do_the_same_sums(steps: list[Any], redis_url: str) -> None:
    clock = Clock()
    memory, shared = MemoryWindows(clock), ClockedRedis(redis_url, clock)
    last: dict[int, int] = {}
    try:
        for op, seconds, amount, delta, micros in steps:
            charge = Charge(f"w{seconds}", 50, seconds, amount)
            if op == "wait":
                clock.now = round(clock.now + micros * seconds / 60 / 1_000_000, 3) + 0.0004
            elif op == "settle":
                rows = [Settlement(charge, last.get(seconds, 0), delta)]
                memory.settle(rows, "a")
                shared.settle(rows, "a")
            else:
                mine, theirs = memory.admit([charge], "a"), shared.admit([charge], "a")
                assert (mine.refused, mine.wait) == (theirs.refused, pytest.approx(theirs.wait, abs=1e-3))
                assert (mine.used, mine.parts) == (theirs.used, theirs.parts)
                assert mine.resets == pytest.approx(theirs.resets, abs=1e-3)
                last[seconds] = mine.parts[0]
    finally:
        shared.forget()
        shared.close()


@given(
    waits=st.lists(st.floats(0, 30), min_size=1, max_size=60),
    amounts=st.lists(st.integers(1, 9), min_size=60, max_size=60),
)
@settings(max_examples=100)
def test_a_sliding_minute_never_holds_more_than_the_limit(waits: list[float], amounts: list[int]) -> None:
    clock = Clock()
    windows = MemoryWindows(clock)
    moments: list[tuple[float, int]] = []
    for wait, amount in zip(waits, amounts, strict=False):
        clock.now += wait
        if admitted(windows, Charge("t", 10, 60, amount)):
            moments.append((clock.now, amount))
        assert sum(used for when, used in moments if clock.now - when <= 60) <= 10


@pytest.mark.parametrize(
    ("pattern", "text", "fit"),
    [
        ("anthropic/*", "anthropic/claude", True),
        ("anthropic/*", "openai/anthropic/x", False),
        ("openai/gpt-5*", "openai/gpt-5-mini", True),
        ("*/gpt-*-mini", "openai/gpt-5-mini", True),
        ("a*a", "a", False),
        ("a*b*c", "a-b-b-c", True),
        ("gpt[5]", "gpt5", False),
        ("gpt?", "gpt5", False),
        ("*" * 200 + "x", "a" * 5_000, False),
    ],
)
def test_only_a_star_is_special_in_a_pattern(pattern: str, text: str, fit: bool) -> None:
    assert allowances.fits(pattern, text) is fit


def test_a_pattern_without_a_provider_is_about_the_name_that_was_asked_for() -> None:
    limit = Limit("requests", 1, "minute", "fast")
    assert fits(limit, ["openai/gpt-5"], ["fast"])
    assert not fits(limit, ["openai/fast"], ["openai/gpt-5"])


def test_of_two_limits_of_one_kind_the_tighter_counts() -> None:
    rows = [Touch("key", "t/k", "this key", Limit("requests", most, "minute")) for most in (9, 3, 5)]
    assert [touch.limit.most for touch in lowest_of_each(rows)] == [3]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (0.2, "1s"), (59.1, "1m0s"), (360, "6m0s"), (7_205, "2h0m5s")]
)
def test_a_reset_is_told_as_openai_tells_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text


BASE64 = "A" * 400_000


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({"model": "x" * 900, "messages": [{"role": "user", "content": "a" * 400}]}, 100),
        ({"input": "ü" * 200}, 100),  # bytes, not characters
        ({"input": [1, 2, 3]}, 3),
        ({"messages": [{"content": [{"type": "image_url", "image_url": {"url": BASE64}}]}]}, 765),
        ({"input": [{"content": [{"type": "input_file", "file_data": BASE64}]}]}, 1_500),
        ({"messages": [{"content": [{"type": "input_audio", "input_audio": {"data": BASE64}}]}]}, 500),
        ({"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": BASE64}}]}]}, 765),
        ({"messages": [{"content": [{"image": {"format": "png", "source": {"bytes": BASE64}}}]}]}, 765),
        ({"input": "data: " + "a" * 394}, 100),
        ({"input": "data:audio/wav;base64," + BASE64}, 500),
        (
            {"messages": [{"content": [{"type": "document", "source": {"type": "text", "data": "a" * 40}}]}]},
            10,
        ),
    ],
)
def test_an_input_is_estimated_by_its_text_and_never_by_base64(body: Any, tokens: int) -> None:
    assert tokens_of_body(body) == tokens


def test_the_estimate_is_linear_in_the_body() -> None:
    deep: Any = "x" * 40
    for _ in range(50_000):
        deep = [deep]
    steps: Callable[[Any], int] = tokens_of_body
    assert steps({"input": deep}) == 10


def test_a_crowd_waits_for_a_few_connections_to_redis(redis_url: str, clock: Clock) -> None:
    crowded = ClockedRedis(redis_url, clock)
    with redis.Redis.from_url(redis_url) as store:
        before = store.info("stats")["total_connections_received"]
        admissions = [gevent.spawn(crowded.admit, [Charge("crowd", 64, 60, 1)], "") for _ in range(80)]
        gevent.joinall(admissions, raise_error=True)
        assert store.info("stats")["total_connections_received"] - before <= 16
    assert sum(one.value.refused is None for one in admissions) == 64
    crowded.forget()
    crowded.close()


SLOW = 2.0


class _SlowSteps:
    """Redis, asked in two steps; how long ``pause`` keeps the process from the first to the second."""

    pause: Callable[[float], Any] = staticmethod(time.sleep)

    def __init__(self, url: str) -> None:
        self.url = url

    def admit(self, charges: Any, holder: str) -> Decision:
        """Answer after the pause."""
        gevent.sleep(0)
        self.pause(SLOW)
        gevent.sleep(0.001)
        return Decision(())


@pytest.mark.parametrize(
    ("pause", "answers"),
    [(get_original("time", "sleep"), True), (time.sleep, False)],
    ids=["process", "Redis"],
)
def test_redis_is_not_away_because_its_process_is_late(
    pause: Callable[[float], Any], answers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "RedisWindows", _SlowSteps)
    monkeypatch.setattr(_SlowSteps, "pause", staticmethod(pause))
    gate = gates.Gate(load({"REDIS_URL": "redis://127.0.0.1:1/0", "SLUICE_LIMITS_FAIL": "closed"}))
    if answers:
        assert gate.admit([], 0).decision == Decision(())
    else:
        with pytest.raises(GatewayError, match="cannot be looked up"):
            gate.admit([], 0)


class _SharedRedis:
    """A Redis that answers the first who asks after four times ``WAIT``, all others at once; its process is not late."""

    def __init__(self, url: str) -> None:
        self._asked = 0

    def admit(self, charges: Any, holder: str) -> Decision:
        """Answer."""
        self._asked += 1
        if self._asked == 1:
            gevent.sleep(4 * gates.WAIT)
        return Decision(())


@pytest.mark.parametrize("others", [True, False], ids=["answers others", "answers nobody"])
def test_redis_is_not_away_while_it_answers_others(others: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "RedisWindows", _SharedRedis)
    gate = gates.Gate(load({"REDIS_URL": "redis://127.0.0.1:1/0", "SLUICE_LIMITS_FAIL": "closed"}))
    first = gevent.spawn(gate.admit, [], 0)
    while others and not first.ready():
        gevent.sleep(0.005)
        assert gate.admit([], 0).decision == Decision(())
    first.join()
    assert (first.exception is None) is others


class _FullRedis:
    """A Redis where a limit is full of others' calls at the first look, and at ``looks`` looks at all."""

    looks = 1

    def __init__(self, url: str, **options: Any) -> None:
        self.asked = 0

    def admit(self, charges: Any, holder: str) -> Decision:
        """Answer."""
        self.asked += 1
        is_full = self.asked <= self.looks
        return Decision([1], [0.0], [0], 0 if is_full else None, 1.0 if is_full else 0.0)

    def settle(self, settlements: Any, holder: str) -> None:
        """Forget."""

    def close(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("limit", "looks", "asked", "refused"),
    [
        (Limit("concurrent", 1), 1, 2, False),
        (Limit("concurrent", 1), 2, 2, True),
        (Limit("requests", 1, "minute"), 1, 1, True),
    ],
    ids=["a place that comes free", "no place", "requests"],
)
def test_a_place_that_was_let_go_a_moment_ago_is_looked_for_again(
    limit: Limit, looks: int, asked: int, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "RedisWindows", _FullRedis)
    monkeypatch.setattr(_FullRedis, "looks", looks)
    gate = gates.Gate(load({"REDIS_URL": "redis://127.0.0.1:1/0"}))
    admission = gate.admit([Touch("key", "red/ann", "this key", limit)], 0)
    assert ((admission.refused is not None), admission.windows.asked) == (refused, asked)  # type: ignore[attr-defined]
    if not refused:
        gate.end(admission, [1])
    gate.close()
