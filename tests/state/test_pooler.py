"""PostgreSQL behind PgBouncer in transaction mode, and the connections of one process."""

import os
import subprocess
import sys
from collections.abc import Iterator

import gevent
import psycopg
import pytest
from sqlalchemy import text

from app.state.database import Access, Database, parse_url
from app.state.migrations import upgrade
from app.state.runner import Job
from app.state.state import State, open_state
from tests.conftest import REPO
from tests.services import new_postgres, pooler
from tests.state.conftest import ENVIRON
from tests.state.faults import refusal
from tests.state.turns import (
    TENANT,
    delta,
    ending,
    enqueue,
    in_progress,
    item_opened,
    message,
    take_turn,
    texts,
)

PID = text("SELECT pg_backend_pid()")


@pytest.fixture(scope="module")
def direct() -> Iterator[str]:
    """An empty PostgreSQL database, reached without a pooler."""
    with new_postgres() as url:
        yield url


@pytest.fixture(scope="module")
def pooled(direct: str) -> Iterator[str]:
    """The same database through PgBouncer, which has four connections to it."""
    with pooler(direct, size=4) as url:
        yield url


@pytest.fixture
def houses(pooled: str) -> Iterator[tuple[State, State]]:
    """The store as two processes have it open, both through the pooler; the first migrates."""
    opened = (open_state(pooled, ENVIRON), open_state(pooled, ENVIRON))
    yield opened
    for state in opened:
        state.stop()


def test_every_response_is_stored_through_a_pooler(houses: tuple[State, State]) -> None:
    def chain(state: State) -> list[str]:
        last = None
        for number in range(8):
            last = take_turn(state, str(number), previous=last)
        return texts(state.history.expand(TENANT, [], previous_response_id=last).input)

    workers = [gevent.spawn(chain, houses[number % 2]) for number in range(24)]
    gevent.joinall(workers, raise_error=True)
    expected = [words for number in range(8) for words in (str(number), f"to {number}")]
    assert [worker.value for worker in workers] == [expected] * 24


def test_background_work_and_its_readers_need_no_listening(houses: tuple[State, State]) -> None:
    serving, running = houses

    def execute(job: Job) -> None:
        events = [in_progress(job.work.next_number), *item_opened(), delta(5, "a")]
        assert running.events.append(job.work.id, job.work.fence, events)
        end = ending(
            job.work.id, [message("a")], events=[{"type": "response.completed", "sequence_number": 6}]
        )
        assert running.responses.finish(TENANT, job.work.id, job.work.fence, end)

    running.listener.start()
    serving.listener.start()
    running.run_background(execute)
    made = [enqueue(serving, stream=True) for _ in range(10)]
    with gevent.Timeout(20):
        logs = [
            [e["sequence_number"] for batch in serving.events.follow(TENANT, one) for e in batch]
            for one in made
        ]
    assert logs == [list(range(7))] * 10


def test_a_listener_of_its_own_goes_past_the_pooler(direct: str, pooled: str) -> None:
    """Whoever listens directly is told at once: its next look would be the test's time-out later."""
    reading = open_state(pooled, ENVIRON, access=Access(listen_url=direct))
    writing = open_state(pooled, ENVIRON)
    heard: list[str] = []
    reading.db.wakeups.notify = heard.append  # type: ignore[method-assign]
    reading.listener.start()
    with gevent.Timeout(20):
        while "listening" not in heard:
            writing.db.write(lambda connection: None, ["listening"])
            gevent.sleep(0.05)
    for state in (reading, writing):
        state.stop()


def test_nothing_stays_behind_in_the_poolers_connections(houses: tuple[State, State], pooled: str) -> None:
    for number in range(10):
        take_turn(houses[0], str(number))
    with psycopg.connect(pooled, autocommit=True, prepare_threshold=None) as connection:
        for statement, expected in [
            ("SHOW statement_timeout", "0"),
            ("SELECT count(*) FROM pg_prepared_statements", 0),
            ("SELECT count(*) FROM pg_listening_channels()", 0),
        ]:
            assert connection.execute(statement).fetchone() == (expected,)


def test_limits_hold_within_a_transaction(houses: tuple[State, State]) -> None:
    asked = text("SELECT current_setting('statement_timeout'), current_setting('lock_timeout')")
    assert houses[0].db.read(lambda connection: tuple(connection.execute(asked).one())) == ("15s", "5s")


def test_a_schema_that_the_url_names_holds_all_tables(direct: str) -> None:
    with psycopg.connect(direct, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA of_its_own")
        state = open_state(direct + "?schema=of_its_own&pgbouncer=true&connection_limit=2", ENVIRON)
        assert state.responses.get(TENANT, take_turn(state, "x")).status == "completed"
        state.stop()
        statement = (
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'of_its_own' AND tablename = 'response'"
        )
        assert connection.execute(statement).fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM of_its_own.response").fetchone() == (1,)


@pytest.fixture
def narrow(direct: str) -> Iterator[str]:
    """The URL of a role of its own, with which the server allows three connections."""
    name = f"narrow_{os.getpid()}"
    upgrade(parse_url(direct))
    with psycopg.connect(direct, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN CONNECTION LIMIT 3")
        connection.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}")
    yield direct.replace("//postgres", f"//{name}", 1)
    with psycopg.connect(direct, autocommit=True) as connection:
        connection.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


def use_at_once(db: Database, callers: int, seconds: float) -> list[int]:
    """Let many calls each hold a connection for a while; return the backends that served them."""

    def hold(connection) -> int:
        connection.execute(text(f"SELECT pg_sleep({seconds})"))
        return connection.execute(PID).scalar_one()

    workers = [gevent.spawn(db.read, hold) for _ in range(callers)]
    gevent.joinall(workers, raise_error=True)
    return [worker.value for worker in workers]


def test_a_call_waits_for_a_connection_that_exists_where_the_server_gives_no_more(narrow: str) -> None:
    db = Database(parse_url(narrow), Access(wait=20.0))
    served = use_at_once(db, 30, 0.05)
    assert len(served) == 30
    assert len(set(served)) <= 3
    db.close()


def test_a_process_holds_as_many_connections_as_it_is_told(direct: str) -> None:
    for url, access in [(direct, Access(pool=2)), (direct + "?connection_limit=2", None)]:
        db = Database(parse_url(url), access)
        assert len(set(use_at_once(db, 10, 0.02))) == 2
        db.close()
    db = Database(parse_url(direct + "?connection_limit=2"), Access(pool=5))
    assert len(set(use_at_once(db, 20, 0.05))) == 5
    db.close()


def test_a_call_that_no_connection_became_free_for_is_a_503(direct: str) -> None:
    db = Database(parse_url(direct + "?connection_limit=1&pool_timeout=0.2"))
    holding = gevent.spawn(use_at_once, db, 1, 2.0)
    gevent.sleep(0.1)
    assert refusal(db.read, lambda connection: None).kind.name == "store_unavailable"
    holding.kill()
    db.close()


def test_a_process_without_gevent_goes_through_the_pooler_too(pooled: str) -> None:
    script = (
        "from sqlalchemy import text\n"
        "from app.state.database import Database\n"
        f"db = Database.open({pooled!r})\n"
        "print(db.write(lambda c: c.execute(text('SELECT 1')).scalar_one()))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=REPO, capture_output=True, text=True, timeout=30, check=False
    )
    assert (result.stdout.strip(), result.stderr) == ("1", "")
