"""kill -9: what was acknowledged is whole, what was running goes on or ends clearly."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import gevent
import pytest
from sqlalchemy import select, update

from app.state.state import State
from app.state.tables import db_now, response
from tests.conftest import REPO
from tests.state.turns import TENANT, enqueue

Start = Callable[[str], subprocess.Popen]


@pytest.fixture
def start(database_url: str) -> Iterator[Start]:
    """Start worker processes; whatever is left of them is killed at the end."""
    started: list[subprocess.Popen] = []

    def one(role: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "tests.state.worker", database_url, role]
        started.append(subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield one
    for process in started:
        process.kill()
        process.wait()


def first_words(process: subprocess.Popen) -> str:
    return process.stdout.readline().strip()


def kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def shorten_leases(state: State, seconds: float = 0.3) -> None:
    """Spare the test most of the ten seconds that a real lease has left."""
    work = update(response).values(lease_until=db_now() + seconds)
    state.db.write(lambda connection: connection.execute(work).rowcount)


def ended(state: State, response_id: str, seconds: float) -> str:
    """The status a response ends with, within ``seconds``."""
    with gevent.Timeout(seconds):
        while (status := status_of(state, response_id)) in ("queued", "in_progress"):
            gevent.sleep(0.05)
    return status


def status_of(state: State, response_id: str) -> str:
    statement = select(response.c.status).where(response.c.id == response_id)
    return str(state.db.read(lambda connection: connection.execute(statement).scalar_one()))


def test_work_of_a_killed_process_is_completed_by_another(state: State, start: Start) -> None:
    response_id = enqueue(state)
    victim = start("claims")
    assert first_words(victim) == response_id
    heir = start("runs")
    kill(victim)
    shorten_leases(state)
    assert ended(state, response_id, 10) == "completed"
    assert first_words(heir) == response_id
    stored = state.responses.get(TENANT, response_id)
    assert (stored.attempt, len(stored.object["output"])) == (2, 1)


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_whole_lease_and_its_sweep_take_less_than_fifteen_seconds(state: State, start: Start) -> None:
    response_id = enqueue(state)
    victim = start("claims")
    assert first_words(victim) == response_id
    start("runs")
    started = time.monotonic()
    kill(victim)
    assert ended(state, response_id, 15) == "completed"
    assert time.monotonic() - started < 15


def test_shown_work_of_a_killed_process_ends_failed_with_what_was_shown(state: State, start: Start) -> None:
    response_id = enqueue(state, stream=True)
    victim = start("shows")
    assert first_words(victim) == response_id
    kill(victim)
    start("runs")
    shorten_leases(state)
    assert ended(state, response_id, 10) == "failed"
    stored = state.responses.get(TENANT, response_id).object
    assert stored["error"]["code"] == "server_lost"
    assert stored["output"][0]["content"][0]["text"] == "shown"


def test_a_synchronous_response_of_a_killed_process_ends_failed(state: State, start: Start) -> None:
    victim = start("holds")
    response_id = first_words(victim)
    kill(victim)
    shorten_leases(state, 0.0)
    state.lease_renewer.renew_and_sweep()
    assert ended(state, response_id, 1) == "failed"
    assert state.responses.get(TENANT, response_id).object["error"]["code"] == "server_lost"


def test_what_was_acknowledged_before_the_kill_is_whole(state: State, start: Start) -> None:
    victim = start("stores")
    acknowledged = [first_words(victim) for _ in range(30)]
    kill(victim)
    acknowledged += [line.strip() for line in victim.stdout if line.endswith("\n")]
    for response_id in acknowledged:
        stored = state.responses.get(TENANT, response_id)
        assert stored.status == "completed"
        assert len(stored.object["output"]) == 1
