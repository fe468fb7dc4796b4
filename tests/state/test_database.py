"""The database seam: two backends, one contract, under contention and faults."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gevent
import pytest
from sqlalchemy import Connection, bindparam, insert, select, text
from sqlalchemy.exc import IntegrityError

from app.state.cipher import _MARK
from app.state.database import Database, parse_url
from app.state.ids import new_id
from app.state.records import NewResponse
from app.state.state import State
from app.state.tables import item, response, thread
from app.state.threads import original
from app.state.upserts import run, run_all
from tests.conftest import REPO
from tests.state.faults import lying_commits, refusal
from tests.state.turns import (
    TENANT,
    begin,
    claim_one,
    ending,
    enqueue,
    in_progress,
    message,
    read_log,
    snapshot,
)

INSERT = text("INSERT INTO thread (id, tenant, last_used_at) VALUES (:id, 't', 1)")
COUNT = text("SELECT count(*) FROM thread")


def put(db: Database, name: str) -> int:
    return db.write(lambda connection: connection.execute(INSERT, {"id": name}).rowcount)


def count(db: Database, table: str = "thread") -> int:
    return db.read(lambda connection: connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


@pytest.mark.parametrize(
    "given, driver",
    [
        ("postgres://u:p@h/d", "postgresql+psycopg"),
        ("postgresql://u:p@h:5433/d?sslmode=require", "postgresql+psycopg"),
        ("postgresql+psycopg2://h/d", "postgresql+psycopg"),
        ("sqlite:///sluice.db", "sqlite"),
        ("sqlite:////var/lib/sluice.db", "sqlite"),
    ],
)
def test_urls_are_read_as_users_write_them(given: str, driver: str) -> None:
    assert parse_url(given).drivername == driver


@pytest.mark.parametrize("given", ["mysql://h/d", "sqlite://", "sqlite:///:memory:"])
def test_urls_that_cannot_serve_are_refused_in_words(given: str) -> None:
    with pytest.raises(ValueError, match="DATABASE_URL"):
        parse_url(given)


def test_a_failing_write_does_not_undo_its_neighbours(state: State) -> None:
    put(state.db, "taken")
    names = [f"n{number}" for number in range(50)] + ["taken"] + [f"m{number}" for number in range(50)]
    workers = [gevent.spawn(put, state.db, name) for name in names]
    gevent.joinall(workers)
    failed = [worker.exception for worker in workers if worker.exception is not None]
    assert [type(error) for error in failed] == [IntegrityError]
    assert count(state.db) == 101


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_writes_that_succeed_share_a_savepoint(state: State) -> None:
    statements: list[str] = []
    put(state.db, "first")
    engine = state.db.backend._writer._engine  # type: ignore[attr-defined]
    with engine.connect() as connection:
        connection.connection.driver_connection.set_trace_callback(statements.append)
    gevent.joinall([gevent.spawn(put, state.db, f"n{number}") for number in range(50)], raise_error=True)
    transactions, savepoints = (
        sum(one.startswith(word) for one in statements) for word in ("BEGIN", "SAVEPOINT")
    )
    assert 1 <= savepoints <= transactions < 25


def test_an_exception_undoes_its_own_write_only(state: State) -> None:
    def work(connection) -> None:
        connection.execute(INSERT, {"id": "a"})
        raise LookupError("changed my mind")

    with pytest.raises(LookupError):
        state.db.write(work)
    assert count(state.db) == 0


def test_a_caller_that_gives_up_does_not_undo_its_write(state: State) -> None:
    with gevent.Timeout(5):
        for number in range(20):
            worker = gevent.spawn(put, state.db, f"n{number}")
            gevent.sleep(0)
            worker.kill()
        while count(state.db) < 20:
            gevent.sleep(0.01)


def test_two_processes_worth_of_writers_never_see_a_lock(state: State, second: State) -> None:
    def writer(db: Database, name: str) -> None:
        for number in range(40):
            put(db, f"{name}-{number}")

    workers = [gevent.spawn(writer, db, f"{at}") for at, db in enumerate([state.db, second.db] * 4)]
    gevent.joinall(workers, raise_error=True)
    assert count(state.db) == 320


def test_the_hub_runs_on_while_the_database_is_busy(state: State) -> None:
    place = original("_thread", "get_ident")
    counts, hub = [0], place()

    def put_noting(number: int) -> None:
        def work(connection: Connection) -> None:
            counts[-1] += place() == hub
            connection.execute(INSERT, {"id": f"n{number}"})

        state.db.write(work)

    def tick() -> None:
        while True:
            counts.append(0)
            gevent.sleep(0.001)

    ticker = gevent.spawn(tick)
    gevent.joinall([gevent.spawn(put_noting, number) for number in range(200)], raise_error=True)
    ticker.kill()
    assert max(counts) < 40  # of 200, between two turns of another greenlet


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_lock_held_elsewhere_is_waited_for_without_stopping_the_hub(
    state: State, database_url: str, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "sluice.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    writer = gevent.spawn(put, state.db, "waits")
    before = time.monotonic()
    gevent.sleep(0.2)
    assert time.monotonic() - before < 0.5
    assert not writer.ready()
    assert count(state.db) == 0
    other.execute("ROLLBACK")
    assert writer.get(timeout=3) == 1
    other.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_lock_that_stays_is_a_503_with_retry_after(state: State, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("app.state.sqlite.BUSY_SECONDS", 0.1)
    impatient = Database(state.db.url)
    with sqlite3.connect(tmp_path / "sluice.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        error = refusal(put, impatient, "x")
        other.execute("ROLLBACK")
    assert (error.status, error.code, error.retry_after) == (503, "store_unavailable", 2)
    assert "locked" in error.raw
    assert put(impatient, "x") == 1
    impatient.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_waits_for_a_lock_that_stays_do_not_add_up(state: State, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("app.state.sqlite.BUSY_SECONDS", 0.3)
    monkeypatch.setattr("app.state.patience._SHORT", 0.05)
    impatient = Database(state.db.url)
    with sqlite3.connect(tmp_path / "sluice.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        once = refusal(impatient.execute, text("DELETE FROM blob"))
        repeated = refusal(impatient.execute, text("DELETE FROM blob"), idempotent=True)
        other.execute("ROLLBACK")
    assert "locked" in once.raw
    assert "within 0.05 s" in repeated.raw
    monkeypatch.setattr("app.state.patience._SHORT", 5.0)
    assert put(impatient, "x") == 1
    with sqlite3.connect(tmp_path / "sluice.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "locked" in refusal(put, impatient, "y").raw
        other.execute("ROLLBACK")
    impatient.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_full_disk_is_a_503_and_reading_goes_on(state: State) -> None:
    put(state.db, "before")
    pages = state.db.write(lambda c: c.exec_driver_sql("PRAGMA page_count").scalar_one())
    state.db.write(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count={pages}").scalar_one())
    blob = text("INSERT INTO blob VALUES ('t', :id, 'x', zeroblob(1000000))")
    error = refusal(state.db.write, lambda c: c.execute(blob, {"id": "big"}).rowcount)
    assert error.kind.name == "store_unavailable"
    assert "full" in error.raw
    assert count(state.db) == 1
    state.db.write(lambda c: c.exec_driver_sql("PRAGMA max_page_count=1000000").scalar_one())
    assert put(state.db, "after") == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_nothing_is_written_to_a_file_that_was_removed_or_replaced(state: State, tmp_path: Path) -> None:
    put(state.db, "before")
    file, other = Path(str(state.db.url.database)), tmp_path / "other.db"
    file.rename(other)
    for _ in range(2):
        error = refusal(put, state.db, "meanwhile")
        assert error.kind.name == "store_unavailable"
        assert f"{file} was removed or replaced" in error.raw
        assert refusal(count, state.db).raw == error.raw
        shutil.copy(other, file)
    other.rename(file)
    assert put(state.db, "after") == 1
    assert count(state.db) == 2


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_damaged_file_is_a_503_that_says_so_to_the_operator(state: State) -> None:
    put(state.db, "before")
    state.db.close()
    file = Path(str(state.db.url.database))
    with file.open("r+b") as handle:
        handle.seek(4_096)
        handle.write(b"\xa5" * (file.stat().st_size - 4_096))
    error = refusal(put, state.db, "after")
    assert (error.status, error.kind.name) == (503, "store_unavailable")
    assert "malformed" in error.raw
    file.write_bytes(b"no database" * 1_000)
    state.db.close()
    assert "not a database" in refusal(put, state.db, "after").raw


def test_what_an_operator_hears_of_a_failed_write_has_nothing_of_its_values(state: State) -> None:
    statement = text("INSERT INTO nowhere VALUES (:words)")
    error = refusal(state.db.write, lambda c: c.execute(statement, {"words": "a client's prompt"}).rowcount)
    assert "INSERT INTO nowhere" in error.raw
    assert "prompt" not in error.raw


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
@pytest.mark.parametrize(
    ("first", "words"),
    [
        ("SET LOCAL ROLE pg_monitor", "denied"),
        ("SET LOCAL search_path TO nowhere", "not exist"),
        ("DO $$ BEGIN RAISE EXCEPTION 'no more rows'; END $$", "no more rows"),
    ],
)
def test_what_postgresql_refuses_by_a_rule_of_the_operators_is_a_503(
    state: State, first: str, words: str
) -> None:
    def write(connection: Connection) -> int:
        connection.execute(text(first))
        return connection.execute(text("DELETE FROM blob")).rowcount

    error = refusal(state.db.write, write)
    assert error.kind.name == "store_unavailable"
    assert words in error.raw


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_sqlite_acknowledged_is_on_the_disk(state: State) -> None:
    pragmas = ("journal_mode", "synchronous")
    found = [state.db.write(lambda c, p=p: c.exec_driver_sql(f"PRAGMA {p}").scalar_one()) for p in pragmas]
    assert found == ["wal", 2]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_connection_of_sqlite_grows_to_two_mebibytes_of_pages(state: State) -> None:
    assert state.db.read(lambda c: c.exec_driver_sql("PRAGMA cache_size").scalar_one()) == -2000


def test_a_postgresql_that_does_not_answer_is_a_503() -> None:
    error = refusal(Database.open, "postgresql://nobody@127.0.0.1:1/none")
    assert (error.status, error.kind.name) == (503, "store_unavailable")
    assert error.retry_after


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_connection_that_died_in_the_pool_is_replaced_unseen(state: State, second: State) -> None:
    put(state.db, "a")
    others = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    second.db.write(lambda connection: connection.execute(others).all())
    assert put(state.db, "b") == 1
    second.db.write(lambda connection: connection.execute(others).all())
    assert count(state.db) == 2


def test_a_create_that_happened_but_was_said_to_fail_leaves_one_row(state: State) -> None:
    count(state.db)
    with lying_commits(state, 1):
        response_id, fence = begin(state)
    assert (count(state.db, response.name), count(state.db, thread.name)) == (1, 1)
    with lying_commits(state, 1):
        assert state.responses.finish(TENANT, response_id, fence, ending(response_id, [message("a")]))
    assert count(state.db, item.name) == 1
    assert state.responses.get(TENANT, response_id).status == "completed"


def test_an_enqueue_and_an_append_said_to_fail_leave_one_of_each(state: State) -> None:
    with lying_commits(state, 1):
        response_id = enqueue(state, stream=True, input=[{"role": "user", "content": "x"}])
    work = claim_one(state)
    with lying_commits(state, 1):
        assert state.events.append(response_id, work.fence, [in_progress()])
    with lying_commits(state, 1):
        end = ending(response_id, [message("a")], events=[{"type": "x", "sequence_number": 3}])
        assert state.responses.finish(TENANT, response_id, work.fence, end)
    assert [event["sequence_number"] for event in read_log(state, response_id)] == [0, 1, 2, 3]
    assert count(state.db, item.name) == 2


def test_a_database_that_keeps_failing_is_told_to_the_caller(state: State) -> None:
    count(state.db)
    with lying_commits(state, 5):
        assert refusal(begin, state).kind.name == "store_unavailable"


def test_a_client_that_tries_again_with_the_same_id_gets_one_row(state: State) -> None:
    response_id = new_id("resp")
    new = NewResponse(
        id=response_id, tenant=TENANT, object=snapshot(response_id), input=[{"role": "user", "content": "x"}]
    )
    with lying_commits(state, 2):
        refusal(state.responses.create, new)
    fence = state.responses.create(new)
    assert state.responses.finish(TENANT, response_id, fence, ending(response_id, []))
    assert (count(state.db, response.name), count(state.db, item.name)) == (1, 1)


def test_a_forked_child_opens_its_own_connections_and_has_its_own_name(state: State) -> None:
    put(state.db, "parent")
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            put(state.db, "child")
            os.write(writing, state.db.owner.encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    child = os.read(reading, 1000).decode()
    assert child not in ("", state.db.owner)
    assert put(state.db, "after") == 1
    assert count(state.db) == 3


def test_a_plain_script_without_gevent_uses_the_same_store(database_url: str) -> None:
    script = (
        "import sys\n"
        "from sqlalchemy import text\n"
        "from app.state.database import Database\n"
        f"db = Database.open({database_url!r})\n"
        "db.write(lambda c: c.execute(text(\"INSERT INTO thread VALUES ('a', 't', 1)\")).rowcount)\n"
        "print(db.read(lambda c: c.execute(text('SELECT count(*) FROM thread')).scalar_one()))\n"
        "db.close()\n"
        "assert 'gevent' not in sys.modules and 'alembic' not in sys.modules\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=REPO, capture_output=True, text=True, timeout=30, check=False
    )
    assert (result.stdout.strip(), result.stderr) == ("1", "")


def test_a_statement_that_the_driver_runs_stores_what_sqlalchemy_would(state: State) -> None:
    written = insert(item).values(
        {column.name: bindparam(column.name) for column in item.columns} | {"direction": "input"}
    )
    body = _MARK + b"looks sealed"
    rows = [
        {"response_id": begin(state)[0], "seq": 9, "tenant": TENANT, "item_id": f"msg_{n}", "body": body}
        for n in range(3)
    ]

    def work(connection: Connection) -> list[tuple[Any, ...]]:
        connection.execute(written, rows[0])
        run(connection, written, rows[1])
        run_all(connection, written, rows[2:])
        return [tuple(row) for row in connection.execute(select(item).where(item.c.seq == 9))]

    found = state.db.write(work)
    assert sorted(found, key=lambda row: row[4]) == [
        (row["response_id"], 9, TENANT, "input", row["item_id"], body) for row in rows
    ]
