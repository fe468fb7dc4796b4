"""The call log at rest: sums that many writers add to, percentiles within 5 %, and what is purged."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import insert

from app.state import call_rows, histogram
from app.state.ids import new_id
from app.state.state import State
from app.state.sums import Sums
from app.state.tables import call_log
from app.wire.json import dumps
from tests.state.faults import lying_commits


def row(**members: Any) -> dict[str, Any]:
    return {
        "id": new_id("call"),
        "created_at": 7_200,
        "tenant": "team",
        "key": "ann",
        "request_type": "chat_completion",
        "status": 200,
        "request_id": "req",
        "usage": {"input_tokens": 3, "output_tokens": 2},
        "cost": 0.000000001,
        "latency": 10,
        **members,
    }


def counted_in(times: int) -> int:
    return sum(calls for _, calls in histogram.pairs(times))


def test_the_columns_of_a_row_are_those_of_the_table() -> None:
    assert tuple(column.name for column in call_log.columns) == call_rows.CallRow._fields


def test_a_row_is_shown_as_it_was_written(state: State) -> None:
    """So is one of an older version, whose body has all members."""
    new, old = row(provider="groq", door="unified", warned=[{"param": "n"}]), row(model="x", error_code=None)
    state.call_log.write([new])
    values = call_rows.row_of(old)[0]._replace(body=dumps({"object": "call", **old}))
    written = insert(call_log).values(values._asdict())
    state.db.write(lambda connection: connection.execute(written) and None)
    for one in (new, old):
        shown = state.call_log.get(one["id"])
        assert {name: shown[name] for name in one} == one
        assert list(shown)[:4] == ["id", "object", "created_at", "request_id"]
        assert {shown[name] for name in shown.keys() - one.keys()} == {"call", None}


def test_writers_at_once_lose_no_sum(state: State, second: State) -> None:
    def write(number: int) -> None:
        (state, second)[number % 2].call_log.write([row(first_content=4), row(key="bob"), row(status=500)])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(24)))
    total = Sums()
    groups = list(state.call_log.usage((None, None)))
    for hour, _, sums in groups:
        assert hour == 7_200
        total.add(sums)
    assert len(groups) == 2
    assert (total.calls, total.errors, total.input_tokens, total.cost) == (72, 24, 216, 72)
    assert (counted_in(total.latency), counted_in(total.first_content)) == (72, 24)


def test_rows_that_were_written_though_the_database_said_otherwise_count_once(state: State) -> None:
    for number in (1, 2):
        with lying_commits(state, 1):
            state.call_log.write([row(), row(status=500)])
        assert len(state.call_log.page(10, None, {}, (None, None)).rows) == 2 * number
        (_, _, sums), *_ = state.call_log.usage((None, None))
        assert (sums.calls, sums.errors) == (2 * number, number)


def test_a_percentile_is_right_within_five_in_a_hundred() -> None:
    sums = Sums()
    for latency in range(1, 2001):
        sums.count([call_rows.row_of(row(latency=latency))])
    shares = (50, 95, 99)
    for share, found in zip(shares, histogram.percentiles(sums.latency, shares), strict=True):
        assert found is not None
        assert abs(found - share * 20) <= 0.05 * share * 20
    assert histogram.percentiles(0, shares) == [None, None, None]
    one = Sums()
    one.count([call_rows.row_of(row(latency=100))])
    assert len(set(histogram.percentiles(one.latency, shares))) == 1


def test_old_rows_go_and_the_oldest_beyond_the_most_and_sums_stay(state: State) -> None:
    now = int(time.time())
    state.call_log.write([row(created_at=now - age) for age in (1, 2, 3, 4, 900)])
    assert state.call_log.purge(600, 1_000, 600) == 1
    assert state.call_log.purge(600, 2, 600) == 2
    kept = state.call_log.page(10, None, {}, (None, None)).rows
    assert [round(now - one["created_at"]) for one in kept] == [1, 2]
    assert sum(sums.calls for _, _, sums in state.call_log.usage((None, None))) == 5


def test_what_was_said_goes_before_its_row(state: State) -> None:
    now = int(time.time())
    young, old = row(created_at=now), row(created_at=now - 900)
    said = {"request": {"text": "hi", "cut": False}, "answer": None}
    state.call_log.write([young, old], {young["id"]: said, old["id"]: said})
    assert state.call_log.bodies(young["id"]) == state.call_log.bodies(old["id"]) == said
    assert state.call_log.purge(1_000, 1_000, 600) == 0
    assert (state.call_log.bodies(young["id"]), state.call_log.bodies(old["id"])) == (said, None)
    state.call_log.purge(1_000, 1, 600)
    assert state.call_log.bodies("nobody") is None


def test_groups_without_details_are_few_however_calls_differ_in_them(state: State) -> None:
    rows = [row(metadata={"trace": str(number)}, user=f"u{number % 3}") for number in range(30)]
    state.call_log.write([*rows, row(), row(key="bob")])
    counted = {}
    for detailed in (False, True):
        groups = list(state.call_log.usage((None, None), detailed=detailed))
        counted[detailed] = len(groups), sum(sums.calls for _, _, sums in groups)
        assert sum(counted_in(sums.latency) for _, _, sums in groups) == 32
    assert counted == {False: (3, 32), True: (32, 32)}
    broad = [members for _, members, _ in state.call_log.usage((None, None), detailed=False)]
    assert {(members["user"], members["metadata"]) for members in broad} == {(None, None)}


def test_rows_that_may_be_there_are_written_once(state: State) -> None:
    """They are written again, all of them, after a database that was away did not say whether it took them."""
    queued = [call_rows.row_of(row()) for _ in range(3)]
    for _ in range(2):
        state.call_log.write_rows(queued, is_again=True)
        assert len(state.call_log.page(10, None, {}, (None, None)).rows) == 3
    assert sum(sums.calls for _, _, sums in state.call_log.usage((None, None))) == 3
