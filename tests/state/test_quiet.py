"""Idle loops ask the database only while somebody may have written to it, and then as soon as they did before."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from gevent.event import Event

from app.state import leases
from app.state.database import Database, parse_url
from app.state.leases import LeaseRenewer

_HOUR = 3_600.0


@pytest.fixture
def path(sqlite_template: Path, tmp_path: Path) -> Path:
    """A migrated SQLite file."""
    shutil.copy(sqlite_template, tmp_path / "file.db")
    return tmp_path / "file.db"


@pytest.fixture
def db(path: Path) -> Iterator[Database]:
    """The file opened by a link to it, written to an hour ago."""
    link = path.with_name("link.db")
    link.symlink_to(path)
    db = Database(parse_url(f"sqlite:///{link}"))
    db.write(lambda connection: connection.exec_driver_sql("CREATE TABLE noted (number INTEGER)"))
    _age(path)
    yield db
    db.close()


def _age(path: Path) -> None:
    log = Path(f"{path}-wal")
    os.utime(log, (log.stat().st_mtime - _HOUR,) * 2)


def test_a_commit_of_any_process_is_seen_in_the_log(db: Database, path: Path) -> None:
    assert db.is_quiet(_HOUR / 2)
    assert not db.is_quiet(_HOUR * 2)
    db.read(lambda connection: connection.exec_driver_sql("SELECT * FROM noted").all())
    assert db.is_quiet(_HOUR / 2)
    with closing(sqlite3.connect(path)) as other:
        other.execute("INSERT INTO noted VALUES (1)")
        other.commit()
        assert not db.is_quiet(_HOUR / 2)
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    _age(path)
    db.write(lambda connection: connection.exec_driver_sql("INSERT INTO noted VALUES (2)"))
    assert not db.is_quiet(_HOUR / 2)


def test_what_cannot_be_told_is_not_quiet(db: Database, path: Path, postgres_database: str) -> None:
    Path(f"{path}-wal").unlink()
    assert not db.is_quiet(0.0)
    postgres = Database(parse_url(postgres_database))
    assert not postgres.is_quiet(0.0)
    postgres.close()


class _Wakeup(Event):
    """Counts its waits, none of which takes time; set in one of them."""

    def __init__(self, set_in: int = 0) -> None:
        super().__init__()
        self.waits = 0
        self.pauses: list[float] = []
        self._set_in = set_in

    def wait(self, timeout: float | None = None) -> bool:  # type: ignore[override]
        self.waits += 1
        self.pauses.append(timeout or 0.0)
        return self.waits == self._set_in


def _database(quiet: list[bool]) -> Database:
    db = Database(parse_url("sqlite:///never-opened.db"))
    db.is_quiet = lambda seconds: quiet.pop(0)  # type: ignore[method-assign]
    return db


def test_a_wait_goes_on_while_nobody_writes_and_ends_with_a_signal_or_a_write() -> None:
    for quiet, set_in, waits in (([False], 0, 1), ([True, True, False], 0, 3), ([True] * 5, 2, 2)):
        wakeup = _Wakeup(set_in)
        _database(quiet).wait(wakeup, 1.0)
        assert wakeup.waits == waits


def test_a_wait_ends_after_some_seconds_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    wakeup = _Wakeup()
    monkeypatch.setattr(
        "app.state.database.time", SimpleNamespace(monotonic=lambda: float(sum(wakeup.pauses)))
    )
    monkeypatch.setattr("app.state.database.until_beat", lambda seconds: seconds)
    _database([True] * 100).wait(wakeup, 1.0)
    assert wakeup.pauses == [1.0] + [2.0] * 15


def test_leases_are_swept_once_after_the_last_could_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    sweeps: list[int] = []
    monkeypatch.setattr(leases, "sweep", lambda db: sweeps.append(len(quiet)))
    quiet = [True, True, False, True, True]
    renewer = LeaseRenewer(_database(quiet))
    for _ in range(len(quiet)):
        renewer.renew_and_sweep()
    assert sweeps == [4, 2, 1]
