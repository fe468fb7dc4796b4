"""Sums of hours and days that ended: what is read from them is what the single sums say, whenever calls come."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from typing import Any

import gevent
import pytest

from app.state import rollups, sums
from app.state.rollups import DAY, WHOLE
from app.state.state import State
from app.state.sums import HOUR
from tests.state.test_call_log import row

BEGIN = 20_000 * DAY
SPANS = [
    (None, None),
    (BEGIN, None),
    (BEGIN + 5 * HOUR, BEGIN + 2 * DAY + 7 * HOUR),
    (BEGIN + 5 * HOUR + 1_800, BEGIN + DAY + 1_800.5),
    (BEGIN + DAY, BEGIN + 2 * DAY),
    (BEGIN + 30 * DAY, None),
]


def some_rows(chance: random.Random, count: int) -> list[dict[str, Any]]:
    return [
        row(
            created_at=BEGIN + chance.randrange(3 * DAY),
            provider=chance.choice([None, "openai", "groq"]),
            model=chance.choice(["x", "y"]),
            key=chance.choice(["ann", "bob"]),
            key_id=chance.choice([None, "key_1", "key_2"]),
            tenant=chance.choice(["red", "blue"]),
            status=chance.choice([200, 429]),
            latency=chance.randrange(1, 5_000),
            first_content=chance.choice([None, 40, 300]),
        )
        for _ in range(count)
    ]


Found = dict[Any, Any]


def join_all(state: State) -> list[rollups.Period]:
    db = state.db
    found = rollups.pending(db, time.time())
    for period in found:
        rollups.roll_up(db, period)
    return found


def summed(groups: Iterable[tuple[int, Any, sums.Sums]], unit: int) -> Found:
    found: dict[Any, sums.Sums] = {}
    for start, value, some in groups:
        found.setdefault((start // unit, value), sums.Sums()).add(some)
    return {label: sums.numbers(some) for label, some in found.items()}


def assert_equal_to_the_single_sums(state: State) -> None:
    log = state.call_log
    for span in SPANS:
        for member in (WHOLE, "provider", "key", "tenant"):
            for unit in (HOUR, DAY, None):
                single = (
                    (hour, sums.value_of(member, names), some)
                    for hour, names, some in log.usage(span, detailed=False)
                )
                joined = log.usage_by(span, member, unit=unit)
                assert summed(joined, unit or 10**12) == summed(single, unit or 10**12), (span, member, unit)


def test_what_is_joined_is_what_the_single_sums_say_also_after_late_calls(state: State) -> None:
    chance = random.Random(3)
    state.call_log.write(some_rows(chance, 300))
    assert_equal_to_the_single_sums(state)
    periods = join_all(state)
    assert {seconds for seconds, _ in periods} == {HOUR, DAY}
    assert len([1 for seconds, _ in periods if seconds == DAY]) == 3
    assert join_all(state) == []
    assert_equal_to_the_single_sums(state)
    late = some_rows(chance, 5)
    state.call_log.write(late)
    assert_equal_to_the_single_sums(state)
    again = join_all(state)
    assert {start for seconds, start in again if seconds == HOUR} == {
        one["created_at"] // HOUR * HOUR for one in late
    }
    assert_equal_to_the_single_sums(state)
    only = list(
        state.call_log.usage_by((BEGIN, None), "provider", unit=DAY, fits=lambda value: value == "groq")
    )
    assert {value for _, value, _ in only} == {"groq"}
    assert len(only) == 3


def test_long_spans_are_read_from_days(state: State) -> None:
    state.call_log.write(some_rows(random.Random(4), 300))
    join_all(state)
    whole = list(state.call_log.usage_by((BEGIN, None), WHOLE, unit=DAY))
    assert sorted(start for start, _, _ in whole) == [BEGIN, BEGIN + DAY, BEGIN + 2 * DAY]


@pytest.mark.parametrize("is_first", [True, False])
def test_a_call_that_comes_while_its_hour_is_joined_is_not_lost(
    is_first: bool, state: State, second: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.call_log.write([row(created_at=BEGIN)])
    if not is_first:
        join_all(state)
        state.call_log.write([row(created_at=BEGIN)])
    real = rollups._of_hour

    def slow(db: Any, hour: int) -> Any:
        found = real(db, hour)
        second.call_log.write([row(created_at=BEGIN + 1)])
        return found

    monkeypatch.setattr(rollups, "_of_hour", slow)
    join_all(state)
    monkeypatch.undo()
    calls = 2 if is_first else 3
    for _ in range(2):  # first from the single sums, then joined
        for unit in (HOUR, DAY, None):
            ((_, _, some),) = state.call_log.usage_by((BEGIN, None), WHOLE, unit=unit)
            assert some.calls == calls
        join_all(state)
    assert join_all(state) == []


def test_an_hour_that_just_ended_is_not_joined_yet(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    state.call_log.write([row(created_at=BEGIN)])
    for now, found in ((BEGIN + HOUR + 599, []), (BEGIN + HOUR + 600, [(HOUR, BEGIN)])):
        assert rollups.pending(state.db, now) == found


def test_hours_that_are_not_joined_are_read_once_until_a_call_comes(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    real = rollups._of_hours
    monkeypatch.setattr(
        rollups, "_of_hours", lambda connection, hours: read.append(hours) or real(connection, hours)
    )

    def calls(member: str) -> int:
        return sum(some.calls for _, _, some in state.call_log.usage_by((BEGIN, None), member, unit=DAY))

    state.call_log.write([row(created_at=BEGIN), row(created_at=BEGIN + HOUR)])
    assert [calls(member) for member in (WHOLE, "provider", "key", WHOLE)] == [2, 2, 2, 2]
    assert read == [[BEGIN, BEGIN + HOUR]]
    state.call_log.write([row(created_at=BEGIN + HOUR)])
    assert [calls(member) for member in (WHOLE, "tenant")] == [3, 3]
    assert read == [[BEGIN, BEGIN + HOUR], [BEGIN + HOUR]]


def test_of_many_hours_that_are_not_joined_few_are_kept(state: State) -> None:
    log = state.call_log
    log.write(some_rows(random.Random(5), 300))
    assert sum(some.calls for _, _, some in log.usage_by((BEGIN, None), WHOLE, unit=None)) == 300
    assert log._recent._hours == {}
    for hour in range(6):
        list(log.usage_by((BEGIN + hour * HOUR, BEGIN + (hour + 1) * HOUR), WHOLE, unit=None))
    assert len(log._recent._hours) <= 3


def test_what_several_processes_join_at_once_is_joined_once(state: State, second: State) -> None:
    state.call_log.write(some_rows(random.Random(6), 20))
    tasks = [gevent.spawn(rollups.roll_up_all, one.db) for one in (state, second)]
    gevent.joinall(tasks, raise_error=True)
    assert rollups.pending(state.db, time.time()) == []
    assert_equal_to_the_single_sums(state)


def test_joining_many_hours_tells_how_many_are_left(
    state: State, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("_AT_ONCE", 20), ("_SHARE", 0)):
        monkeypatch.setattr(rollups, name, value)
    state.call_log.write([row(created_at=BEGIN + number * HOUR) for number in range(30)])
    with caplog.at_level("INFO", rollups.__name__):
        for _ in range(2):
            rollups.roll_up_all(state.db)
    assert [record.getMessage() for record in caplog.records] == [
        "32 hours and days of the call log's sums are to be rolled up",
        "12 hours and days of the call log's sums are to be rolled up",
        "the call log's sums are rolled up",
    ]
