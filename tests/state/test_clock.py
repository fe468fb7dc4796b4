"""Leases after the clock was set forward: what lives is renewed first, and what is dead is found a little later."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import update

from app.errors import GatewayError
from app.state.clock import Clock
from app.state.idempotency import first_answer
from app.state.state import State
from tests.state.test_background import expire
from tests.state.turns import TENANT, begin, enqueue


class Clocks:
    """Two clocks that a test moves: one may be set, the other only goes on."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_700_000_000.0, 100.0
        self.clock = Clock(lambda: self.wall, lambda: self.steady)

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += seconds
        self.steady += seconds


def test_a_clock_is_settled_unless_it_was_set_forward_a_moment_ago() -> None:
    clocks = Clocks()
    assert clocks.clock.is_settled()
    for _ in range(10):
        clocks.pass_by(3_600)
        clocks.wall -= 1
        assert clocks.clock.is_settled()
    clocks.wall -= 3_600
    assert clocks.clock.is_settled()
    clocks.wall += 3_600
    assert not clocks.clock.is_settled()
    clocks.pass_by(11)
    assert not clocks.clock.is_settled()
    clocks.pass_by(2)
    assert clocks.clock.is_settled()


def test_what_runs_outlives_a_clock_that_is_set_forward(state: State, second: State) -> None:
    clocks = Clocks()
    second.db.clock = clocks.clock
    running, _ = begin(state)
    queued = enqueue(state)
    (work,) = state.queue.claim(1)
    assert work.id == queued
    clocks.wall += 3_600  # for both databases: all leases are over by their clock
    for response_id in (running, queued):
        expire(state, response_id)
    second.lease_renewer.renew_and_sweep()
    assert second.queue.claim(1) == []
    state.lease_renewer.renew_and_sweep()
    state.queue.renew({queued: work.fence})
    clocks.pass_by(13)
    second.lease_renewer.renew_and_sweep()
    assert second.queue.claim(1) == []
    assert second.responses.get(TENANT, queued).status == "in_progress"
    for response_id in (running, queued):
        expire(state, response_id)
    second.lease_renewer.renew_and_sweep()
    assert second.responses.get(TENANT, running).status == "failed"
    assert [one.id for one in second.queue.claim(1)] == [queued]


def test_a_claim_of_an_idempotency_key_outlives_a_clock_that_is_set_forward(
    state: State, second: State
) -> None:
    clocks = Clocks()
    second.db.clock = clocks.clock
    state.first_answers.claim("n", TENANT, "body")
    state.first_answers.stop()
    state.db.execute(update(first_answer).values(lease_until=1.0))
    clocks.wall += 3_600
    with pytest.raises(GatewayError, match="still runs"):
        second.first_answers.claim("n", TENANT, "body")
    clocks.pass_by(13)
    assert second.first_answers.claim("n", TENANT, "body") is None


def test_a_reader_of_events_hears_of_new_ones_though_the_clock_was_set_back(state: State) -> None:
    reader = state.live_events.reader()
    reader._moment += 3_600
    state.live_events.write([{"type": "breaker"}])
    assert [one.body["type"] for one in reader.read()] == ["breaker"]
    assert list(reader.read()) == []
    reader.close()


@pytest.mark.parametrize("ahead", [3_600, -3_600])
def test_an_alert_is_due_at_once_whatever_the_clock_of_its_process_says(
    ahead: float, state: State, second: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + ahead)
    monkeypatch.setattr(state.alerts, "_clock", time.time, raising=False)
    assert state.alerts.note("key:red/ann:day:0:", {50: {"type": "budget.threshold"}}, sends=True) == [50]
    monkeypatch.undo()
    (due,) = second.alerts.claim(60)
    assert (due.threshold, state.alerts.claim(60)) == (50, [])
