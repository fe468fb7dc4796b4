"""Sums of hours and days that ended: what is read from them is what the single sums say, whenever calls come."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest

from app.state import rollups, sums
from app.state.rollups import DAY, WHOLE
from app.state.state import State
from app.state.sums import HOUR
from tests.state.test_calllog import row

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
            tenant=chance.choice(["red", "blue"]),
            status=chance.choice([200, 429]),
            latency=chance.randrange(1, 5_000),
            first_content=chance.choice([None, 40, 300]),
        )
        for _ in range(count)
    ]


Found = dict[Any, Any]


def summed(groups: Iterable[tuple[int, Any, sums.Sums]], unit: int) -> Found:
    found: dict[Any, sums.Sums] = {}
    for start, value, some in groups:
        found.setdefault((start // unit, value), sums.Sums()).add(some)
    return {label: sums.numbers(some) for label, some in found.items()}


def assert_equal_to_the_single_sums(state: State) -> None:
    log = state.call_log
    for span in SPANS:
        for member in (WHOLE, "provider", "tenant"):
            for unit in (HOUR, DAY, None):
                single = (
                    (hour, names.get(member), some) for hour, names, some in log.usage(span, detailed=False)
                )
                joined = log.usage_by(span, member, unit=unit)
                assert summed(joined, unit or 10**12) == summed(single, unit or 10**12), (span, member, unit)


def test_what_is_joined_is_what_the_single_sums_say_also_after_late_calls(state: State) -> None:
    chance = random.Random(3)
    state.call_log.write(some_rows(chance, 300))
    assert_equal_to_the_single_sums(state)
    periods = list(state.call_log.join_sums(1_000))
    assert {seconds for seconds, _ in periods} == {HOUR, DAY}
    assert len([1 for seconds, _ in periods if seconds == DAY]) == 3
    assert list(state.call_log.join_sums(1_000)) == []
    assert_equal_to_the_single_sums(state)
    late = some_rows(chance, 5)
    state.call_log.write(late)
    assert_equal_to_the_single_sums(state)
    again = list(state.call_log.join_sums(1_000))
    assert {start for seconds, start in again if seconds == HOUR} == {
        one["created_at"] // HOUR * HOUR for one in late
    }
    assert_equal_to_the_single_sums(state)
    only = list(state.call_log.usage_by((BEGIN, None), "provider", unit=DAY, only="groq"))
    assert {value for _, value, _ in only} == {"groq"}
    assert len(only) == 3


def test_long_spans_are_read_from_days(state: State) -> None:
    state.call_log.write(some_rows(random.Random(4), 300))
    list(state.call_log.join_sums(1_000))
    whole = list(state.call_log.usage_by((BEGIN, None), WHOLE, unit=DAY))
    assert sorted(start for start, _, _ in whole) == [BEGIN, BEGIN + DAY, BEGIN + 2 * DAY]


@pytest.mark.parametrize("is_first", [True, False])
def test_a_call_that_comes_while_its_hour_is_joined_is_not_lost(
    is_first: bool, state: State, second: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.call_log.write([row(created_at=BEGIN)])
    if not is_first:
        list(state.call_log.join_sums(10))
        state.call_log.write([row(created_at=BEGIN)])
    real = rollups._of_hour

    def slow(db: Any, hour: int) -> Any:
        found = real(db, hour)
        second.call_log.write([row(created_at=BEGIN + 1)])
        return found

    monkeypatch.setattr(rollups, "_of_hour", slow)
    list(state.call_log.join_sums(10))
    monkeypatch.undo()
    calls = 2 if is_first else 3
    for _ in range(2):  # first from the single sums, then joined
        for unit in (HOUR, DAY, None):
            ((_, _, some),) = state.call_log.usage_by((BEGIN, None), WHOLE, unit=unit)
            assert some.calls == calls
        list(state.call_log.join_sums(10))
    assert list(state.call_log.join_sums(10)) == []


def test_an_hour_that_just_ended_is_not_joined_yet(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    state.call_log.write([row(created_at=BEGIN)])
    for now, found in ((BEGIN + HOUR + 599, []), (BEGIN + HOUR + 600, [(HOUR, BEGIN)])):
        assert rollups.unjoined(state.call_log._db, now, 10) == found
