"""The event log: batches in, exact suffixes out, from any process."""

import time

import gevent
import pytest
from sqlalchemy import update

from app.state import retention
from app.state.ids import new_id
from app.state.state import State
from app.state.tables import response
from tests.state.faults import refusal
from tests.state.turns import (
    TENANT,
    claim_one,
    delta,
    ending,
    enqueue,
    in_progress,
    item_opened,
    message,
    numbers,
    read_log,
    take_turn,
)


def finished_log(state: State, count: int = 20) -> tuple[str, list[dict]]:
    """A finished streamed response with batches of several sizes; its id and whole log."""
    response_id = enqueue(state, stream=True)
    work = claim_one(state)
    events = [in_progress(), *item_opened(), *(delta(number, f"<{number}>") for number in range(5, count))]
    at = 0
    for size in (1, 3, 2, 7):
        assert state.events.append(response_id, work.fence, events[at : at + size])
        at += size
    last = {"type": "response.completed", "sequence_number": count, "response": {}}
    end = ending(response_id, [message("x")], events=[*events[at:], last])
    assert state.responses.finish(TENANT, response_id, work.fence, end)
    return response_id, [*read_log(state, response_id)[:2], *events, last]


def test_every_resume_gives_exactly_the_suffix(state: State, second: State) -> None:
    response_id, log = finished_log(state)
    assert numbers(log) == list(range(21))
    for store in (state, second):
        for after in range(-1, 25):
            assert read_log(store, response_id, after) == log[after + 1 :]


def test_a_log_opens_with_created_and_queued(state: State) -> None:
    response_id = enqueue(state, stream=True)
    log = next(state.events.follow(TENANT, response_id))
    assert [(event["type"], event["response"]["status"]) for event in log] == [
        ("response.created", "queued"),
        ("response.queued", "queued"),
    ]


def test_a_reader_gets_events_as_they_come_also_from_another_process(state: State, second: State) -> None:
    state.start()
    second.start()
    response_id = enqueue(state, stream=True)
    seen: list[int] = []

    def reader(store: State) -> None:
        seen.extend(numbers(read_log(store, response_id)))

    readers = [gevent.spawn(reader, store) for store in (state, second)]
    work = claim_one(state)
    for number in range(2, 12):
        event = in_progress() if number == 2 else delta(number, "x")
        assert state.events.append(response_id, work.fence, [event])
        gevent.sleep(0)
    end = ending(response_id, [], events=[delta(12, "end")])
    assert state.responses.finish(TENANT, response_id, work.fence, end)
    gevent.joinall(readers, timeout=5, raise_error=True)
    assert sorted(seen) == sorted([*range(13), *range(13)])


def test_a_waiting_reader_of_this_process_is_woken_not_polling(state: State) -> None:
    response_id = enqueue(state, stream=True)
    work = claim_one(state)
    batches = state.events.follow(TENANT, response_id, 1)
    reader = gevent.spawn(next, batches)
    gevent.sleep(0.05)
    started = time.monotonic()
    state.events.append(response_id, work.fence, [in_progress()])
    assert numbers(reader.get(timeout=2)) == [2]
    assert time.monotonic() - started < 0.3


def test_silence_is_reported_for_keep_alives(state: State) -> None:
    response_id = enqueue(state, stream=True)
    batches = state.events.follow(TENANT, response_id, 1, idle=0.1)
    assert next(batches) == []


def test_a_log_created_without_stream_opens_when_the_work_ended(state: State) -> None:
    response_id = enqueue(state)
    work = claim_one(state)
    assert not state.events.append(response_id, work.fence, [in_progress()])
    assert next(state.events.follow(TENANT, response_id, idle=0.05)) == []
    end = ending(response_id, [message("x")], events=[in_progress(), delta(3, "x")])
    assert state.responses.finish(TENANT, response_id, work.fence, end)
    log = read_log(state, response_id)
    assert numbers(log) == [0, 1, 2, 3]
    assert log[0]["response"]["status"] == log[1]["response"]["status"] == "queued"
    assert log[0]["response"]["output"] == []
    assert log[0]["response"]["usage"] is None


def test_what_has_no_log_is_refused_before_the_first_event(state: State) -> None:
    sync = take_turn(state)
    error = refusal(state.events.follow, TENANT, sync)
    assert (error.status, error.param, error.message) == (
        400,
        "stream",
        "This response cannot be streamed because it was not created with background=true.",
    )
    response_id, _ = finished_log(state)
    for tenant, one in (("other", response_id), (TENANT, new_id("resp"))):
        assert refusal(state.events.follow, tenant, one).message == f"Response with id '{one}' not found."


@pytest.mark.parametrize("age, kept", [(599, True), (3_500, True), (3_700, False)])
def test_a_log_is_kept_for_its_time_after_the_end_then_refused_clearly(
    state: State, age: float, kept: bool
) -> None:
    response_id, log = finished_log(state)
    older = update(response).values(completed_at=response.c.completed_at - age)
    state.db.write(lambda connection: connection.execute(older).rowcount)
    retention.purge(state.db, older_than=None)
    if kept:
        assert read_log(state, response_id) == log
        return
    error = refusal(state.events.follow, TENANT, response_id)
    assert (error.status, error.param) == (400, "stream")
    assert "no longer kept" in error.message
    assert state.responses.get(TENANT, response_id).status == "completed"


def test_deleting_a_response_ends_its_readers(state: State) -> None:
    response_id = enqueue(state, stream=True)
    batches = state.events.follow(TENANT, response_id, 1)
    reader = gevent.spawn(list, batches)
    gevent.sleep(0.02)
    state.responses.cancel(TENANT, response_id)
    state.responses.delete(TENANT, response_id)
    assert len(reader.get(timeout=2)) <= 1
