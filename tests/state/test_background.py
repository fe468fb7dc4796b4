"""Background work: queue, leases, fences, cancellation, hand-over."""

import time

import gevent
import pytest
from sqlalchemy import text, update

from app.errors import GatewayError
from app.state.background import Queue
from app.state.leases import sweep
from app.state.records import Fence
from app.state.runner import Job, Runner
from app.state.state import State
from app.state.tables import response
from tests.state.faults import refusal
from tests.state.turns import (
    TENANT,
    begin,
    claim_one,
    delta,
    ending,
    enqueue,
    in_progress,
    item_opened,
    message,
    numbers,
    read_log,
)


def expire(state: State, response_id: str) -> None:
    """Let a lease run out, as if its holder had died long ago."""
    work = update(response).where(response.c.id == response_id).values(lease_until=1.0)
    state.db.write(lambda connection: connection.execute(work).rowcount)


def types(events: list[dict]) -> list[str]:
    return [event["type"] for event in events]


def test_work_is_claimed_once_oldest_first_with_all_it_needs(state: State, second: State) -> None:
    first = enqueue(state, key_id="k1", headers={"x-a": "b"}, extra={"n": 1})
    other = enqueue(state)
    work = claim_one(state)
    assert (work.id, work.tenant, work.key_id) == (first, TENANT, "k1")
    assert (work.request, work.headers, work.extra["n"]) == ({"model": "sandbox/echo"}, {"x-a": "b"}, 1)
    assert (work.fence, work.next_number, work.started) == (Fence(state.db.owner, 1), 2, False)
    assert claim_one(second).id == other
    assert state.queue.claim(5) == []
    assert state.responses.get(TENANT, first).object["status"] == "in_progress"


def test_many_claimers_never_share_work(state: State, second: State) -> None:
    expected = {enqueue(state) for _ in range(30)}
    claimed: list[str] = []

    def claimer(store: State) -> None:
        while work := store.queue.claim(3):
            claimed.extend(one.id for one in work)

    gevent.joinall([gevent.spawn(claimer, store) for store in (state, second) * 3], raise_error=True)
    assert sorted(claimed) == sorted(expected)


def test_the_queue_is_bounded_for_each_key(state: State) -> None:
    queue = Queue(state.db, limit=2)
    state.queue = queue
    enqueue(state, key_id="k1")
    enqueue(state, key_id="k1")
    error = refusal(enqueue, state, key_id="k1")
    assert (error.status, error.kind.name) == (429, "rate_limited")
    assert error.retry_after
    enqueue(state, key_id="k2")
    state.queue.claim(1)
    enqueue(state, key_id="k1")


def test_a_dead_holders_work_is_claimed_again_and_its_writes_are_refused(state: State, second: State) -> None:
    response_id = enqueue(state, stream=True)
    zombie = claim_one(state)
    expire(state, response_id)
    heir = claim_one(second)
    assert heir.fence == Fence(second.db.owner, 2)
    assert not state.events.append(response_id, zombie.fence, [in_progress()])
    late = ending(response_id, [message("zombie")])
    assert not state.responses.finish(TENANT, response_id, zombie.fence, late)
    assert state.queue.stop_reasons({response_id: zombie.fence}) == {response_id: "server_lost"}
    assert second.queue.stop_reasons({response_id: heir.fence}) == {}
    end = ending(response_id, [message("heir")], events=[in_progress()])
    assert second.responses.finish(TENANT, response_id, heir.fence, end)
    stored = state.responses.get(TENANT, response_id)
    assert (stored.attempt, stored.object["output"][0]["content"][0]["text"]) == (2, "heir")


def test_the_same_process_is_fenced_from_its_own_older_attempt(state: State) -> None:
    response_id = enqueue(state)
    old = claim_one(state)
    expire(state, response_id)
    new = claim_one(state)
    state.queue.renew({response_id: old.fence})
    assert state.queue.stop_reasons({response_id: old.fence}) == {response_id: "server_lost"}
    assert not state.responses.finish(TENANT, response_id, old.fence, ending(response_id, []))
    assert state.responses.finish(TENANT, response_id, new.fence, ending(response_id, []))


def test_life_cycle_events_alone_do_not_forbid_another_attempt(state: State) -> None:
    response_id = enqueue(state, stream=True)
    work = claim_one(state)
    assert state.events.append(response_id, work.fence, [in_progress()])
    expire(state, response_id)
    assert sweep(state.db) == 0
    again = claim_one(state)
    assert (again.next_number, again.started) == (3, True)


def test_shown_output_ends_lost_work_as_failed_with_what_was_shown(state: State) -> None:
    response_id = enqueue(state, stream=True)
    work = claim_one(state)
    shown = [in_progress(), *item_opened(), delta(5, "Hel"), delta(6, "lo")]
    assert state.events.append(response_id, work.fence, shown)
    expire(state, response_id)
    assert state.queue.claim(1) == []
    assert sweep(state.db) == 1
    stored = state.responses.get(TENANT, response_id).object
    assert (stored["status"], stored["error"]["code"]) == ("failed", "server_lost")
    assert stored["output"] == [
        {
            "id": "msg_1",
            "type": "message",
            "status": "incomplete",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}],
        }
    ]
    log = read_log(state, response_id)
    assert numbers(log) == list(range(9))
    assert types(log)[-2:] == ["error", "response.failed"]
    assert log[-2]["error"]["code"] == log[-2]["code"] == "server_lost"
    assert log[-1]["response"]["output"] == stored["output"]


def test_three_dead_attempts_are_enough(state: State) -> None:
    response_id = enqueue(state)
    for attempt in (1, 2, 3):
        assert claim_one(state).fence.attempt == attempt
        expire(state, response_id)
    assert state.queue.claim(1) == []
    assert sweep(state.db) == 1
    stored = state.responses.get(TENANT, response_id)
    assert (stored.status, stored.object["error"]["code"], stored.attempt) == ("failed", "server_lost", 3)
    expected = ["response.created", "response.queued", "response.in_progress", "error", "response.failed"]
    assert types(read_log(state, response_id)) == expected


def test_work_handed_over_at_shutdown_is_due_at_once_whatever_its_attempts(state: State) -> None:
    response_id = enqueue(state)
    for attempt in range(1, 6):
        work = claim_one(state)
        assert work.fence.attempt == attempt
        state.queue.release(response_id, work.fence)
    assert sweep(state.db) == 0
    assert state.responses.get(TENANT, response_id).status == "in_progress"


def test_shown_work_cannot_be_handed_over(state: State) -> None:
    response_id = enqueue(state, stream=True)
    work = claim_one(state)
    state.events.append(response_id, work.fence, [in_progress(), *item_opened()])
    state.queue.release(response_id, work.fence)
    stored = state.responses.get(TENANT, response_id).object
    assert (stored["status"], stored["error"]["code"]) == ("failed", "server_shutdown")


@pytest.mark.parametrize("stream", [False, True])
def test_cancel_wins_over_a_running_job(state: State, second: State, stream: bool) -> None:
    response_id = enqueue(state, stream=stream)
    work = claim_one(state)
    if stream:
        assert state.events.append(response_id, work.fence, [in_progress(), *item_opened(), delta(5, "x")])
    cancelled = second.responses.cancel(TENANT, response_id)
    assert cancelled.object["status"] == "cancelled"
    assert len(cancelled.object["output"]) == int(stream)
    assert state.queue.stop_reasons({response_id: work.fence}) == {response_id: "cancelled"}
    assert not state.events.append(response_id, work.fence, [delta(6, "y")])
    assert not state.responses.finish(TENANT, response_id, work.fence, ending(response_id, [message("z")]))
    assert state.responses.get(TENANT, response_id).object == cancelled.object
    log = read_log(state, response_id)
    assert numbers(log) == list(range(len(log)))
    assert types(log)[-1] == "response.failed"
    assert log[-1]["response"]["status"] == "cancelled"


def test_of_cancel_and_completion_exactly_one_wins(state: State, second: State) -> None:
    outcomes = set()
    for _ in range(15):
        response_id = enqueue(state)
        work = claim_one(state)
        end = ending(response_id, [message("done")], events=[in_progress()])
        finish = gevent.spawn(state.responses.finish, TENANT, response_id, work.fence, end)
        cancel = gevent.spawn(lambda one=response_id: attempt_cancel(second, one))
        gevent.joinall([finish, cancel], raise_error=True)
        stored = state.responses.get(TENANT, response_id)
        assert finish.value != cancel.value
        assert stored.status == ("completed" if finish.value else "cancelled")
        assert types(read_log(state, response_id))[-1] in ("response.in_progress", "response.failed")
        outcomes.add(stored.status)
    assert outcomes <= {"completed", "cancelled"}


def attempt_cancel(state: State, response_id: str) -> bool:
    try:
        state.responses.cancel(TENANT, response_id)
    except GatewayError as error:
        return error.message != "Cannot cancel a completed response."
    return True


def test_a_synchronous_row_whose_process_died_ends_as_server_lost(state: State, second: State) -> None:
    response_id, _ = begin(state)
    assert sweep(second.db) == 0
    expire(state, response_id)
    assert sweep(second.db) == 1
    stored = second.responses.get(TENANT, response_id)
    assert (stored.status, stored.object["error"]["code"]) == ("failed", "server_lost")


def test_a_held_response_outlives_its_first_lease(state: State, second: State) -> None:
    response_id, _ = begin(state)
    expire(state, response_id)
    state.lease_renewer.renew_and_sweep()
    assert sweep(second.db) == 0
    state.responses.abandon(response_id)
    expire(state, response_id)
    state.lease_renewer.renew_and_sweep()
    assert second.responses.get(TENANT, response_id).status == "failed"


def run(state: State, execute, **more) -> Runner:
    runner = Runner(state.db, state.queue, execute, **more)
    state.runners.append(runner)
    runner.start()
    return runner


def complete(state: State):
    def execute(job: Job) -> None:
        end = ending(job.work.id, [message("done")], events=[in_progress(job.work.next_number)])
        state.responses.finish(job.work.tenant, job.work.id, job.work.fence, end)

    return execute


def wait_for(state: State, response_id: str, status: str, seconds: float = 20.0) -> None:
    with gevent.Timeout(seconds):
        while state.responses.get(TENANT, response_id).status != status:
            gevent.sleep(0.02)


def test_the_runner_does_what_is_queued_before_and_after_its_start(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.state.runner._TURN_SECONDS", 300.0)  # so that only a notification wakes it
    before = enqueue(state)
    run(state, complete(state), lease=1000.0)
    after = enqueue(state)
    for response_id in (before, after):
        wait_for(state, response_id, "completed")


def test_work_queued_by_another_process_starts_within_a_turn(state: State, second: State) -> None:
    state.start()
    run(state, complete(state))
    wait_for(state, enqueue(second), "completed")


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_postgresql_tells_other_processes_at_once(
    state: State, second: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.state.runner._TURN_SECONDS", 300.0)  # so that it is the notice that wakes it
    state.start()
    run(state, complete(state), lease=1000.0)
    listening = text(
        "SELECT count(*) FROM pg_stat_activity WHERE query = 'LISTEN sluice' AND datname = current_database()"
    )
    with gevent.Timeout(20):
        while not second.db.read(lambda connection: connection.execute(listening).scalar_one()):
            gevent.sleep(0.02)
    for _ in range(3):
        wait_for(second, enqueue(second), "completed")


def test_the_runner_keeps_to_its_concurrency(state: State) -> None:
    running, most = [], []

    def execute(job: Job) -> None:
        running.append(job)
        most.append(len(running))
        gevent.sleep(0.02)
        running.remove(job)
        complete(state)(job)

    responses = [enqueue(state) for _ in range(8)]
    run(state, execute, concurrency=3)
    for response_id in responses:
        wait_for(state, response_id, "completed")
    assert max(most) == 3


def test_a_job_that_raises_or_forgets_its_end_is_failed(state: State) -> None:
    def execute(job: Job) -> None:
        if job.work.extra.get("raise"):
            raise RuntimeError("a defect")

    run(state, execute)
    for response_id in (enqueue(state, extra={"raise": True}), enqueue(state)):
        wait_for(state, response_id, "failed")
        assert state.responses.get(TENANT, response_id).object["error"]["code"] == "server_error"


def test_cancel_reaches_a_silent_job_of_this_process_at_once(state: State) -> None:
    reasons = []

    def execute(job: Job) -> None:
        stopped = gevent.event.Event()
        job.on_abort(lambda reason: (reasons.append(reason), stopped.set()))
        stopped.wait(10)

    runner = run(state, execute)
    response_id = enqueue(state)
    wait_for(state, response_id, "in_progress")
    state.responses.cancel(TENANT, response_id)
    with gevent.Timeout(0.9):
        while runner.running:
            gevent.sleep(0.01)
    assert reasons == ["cancelled"]
    assert state.responses.get(TENANT, response_id).status == "cancelled"


def test_a_long_job_keeps_its_short_lease(state: State, second: State) -> None:
    state.queue = Queue(state.db, lease=0.5)

    def execute(job: Job) -> None:
        gevent.sleep(1.5)
        complete(state)(job)

    run(state, execute, lease=0.5)
    response_id = enqueue(state)
    wait_for(state, response_id, "in_progress")
    with gevent.Timeout(5):
        while state.responses.get(TENANT, response_id).status == "in_progress":
            assert second.queue.claim(1) == []
            gevent.sleep(0.05)
    assert state.responses.get(TENANT, response_id).attempt == 1


def test_stopping_waits_for_the_grace_then_hands_over(state: State, second: State) -> None:
    aborted = []

    def execute(job: Job) -> None:
        if job.work.extra.get("quick"):
            gevent.sleep(0.1)
            return complete(state)(job)
        stopped = gevent.event.Event()
        job.on_abort(lambda reason: (aborted.append(reason), stopped.set()))
        stopped.wait(10)
        return None

    runner = run(state, execute)
    quick, slow = enqueue(state, extra={"quick": True}), enqueue(state)
    wait_for(state, slow, "in_progress")
    runner.stop(grace=0.5)
    assert aborted == ["server_shutdown"]
    assert state.responses.get(TENANT, quick).status == "completed"
    assert second.queue.claim(1)[0].id == slow


def test_a_runner_that_lost_its_lease_stops_its_job(state: State, second: State) -> None:
    aborted = []

    def execute(job: Job) -> None:
        stopped = gevent.event.Event()
        job.on_abort(lambda reason: (aborted.append(reason), stopped.set()))
        stopped.wait(10)

    run(state, execute)
    response_id = enqueue(state)
    wait_for(state, response_id, "in_progress")
    expire(state, response_id)
    assert claim_one(second).id == response_id
    with gevent.Timeout(3):
        while not aborted:
            gevent.sleep(0.02)
    assert aborted == ["server_lost"]


def test_the_runner_survives_a_database_that_fails(state: State) -> None:
    broken = state.db.write
    calls = []

    def failing(*args, **kwargs):
        calls.append(1)
        if len(calls) == 1:
            raise GatewayError("store_unavailable", "down")
        return broken(*args, **kwargs)

    response_id = enqueue(state)
    state.db.write = failing  # type: ignore[method-assign]
    run(state, complete(state))
    wait_for(state, response_id, "completed")
    assert len(calls) > 1


def test_the_clock_is_the_databases(state: State) -> None:
    enqueue(state)
    work = claim_one(state)
    until = text("SELECT lease_until FROM response WHERE id = :id")
    lease = state.db.read(lambda connection: connection.execute(until, {"id": work.id}).scalar_one())
    assert lease - time.time() == pytest.approx(10.0, abs=1.0)


def test_tenants_take_turns_whoever_queued_first(state: State) -> None:
    """Those of ``red`` are older, and four of them run already."""
    for _ in range(8):
        enqueue(state, tenant="red")
    assert [work.tenant for work in state.queue.claim(4)] == ["red"] * 4
    for tenant in ("blue", "blue", "green"):
        enqueue(state, tenant=tenant)
    assert [work.tenant for work in state.queue.claim(1)] == ["blue"]
    assert {work.tenant for work in state.queue.claim(2)} == {"blue", "green"}
    assert [work.tenant for work in state.queue.claim(9)] == ["red"] * 4


def test_a_full_house_has_room_for_tenants_that_run_nothing_in_it(state: State) -> None:
    running: list[str] = []

    def execute(job: Job) -> None:
        running.append(job.work.tenant)
        gevent.sleep(60)

    for _ in range(40):
        enqueue(state, tenant="red")
    runner = run(state, execute, concurrency=16)
    with gevent.Timeout(10):
        for tenant, expected in [("red", 16), ("blue", 17), ("green", 18)]:
            enqueue(state, tenant=tenant)
            while len(running) < expected:
                gevent.sleep(0.01)
    enqueue(state, tenant="grey")
    gevent.sleep(0.1)
    assert (running.count("red"), running.count("blue"), running.count("green")) == (16, 1, 1)
    assert len(running) == 18
    runner.stop(0)
