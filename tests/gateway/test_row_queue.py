"""Rows that are queued are written whole, also by a process that leaves while it writes."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event

from app.gateway import row_queue
from app.gateway.row_queue import RowQueue


def test_a_batch_that_is_being_written_when_the_queue_closes_is_written_whole() -> None:
    begun, go_on = Event(), Event()
    whole: list[int] = []

    def write(rows: list[int]) -> bool:
        begun.set()
        go_on.wait()
        whole.extend(rows)
        return True

    queue = RowQueue(write)
    queue.add(1)
    begun.wait()
    queue.add(2)
    closing = gevent.spawn(queue.close)
    gevent.idle()
    go_on.set()
    assert closing.get() == []
    assert whole == [1, 2]


def test_a_queue_that_closed_takes_rows_again() -> None:
    whole: list[int] = []
    written = Event()

    def write(rows: list[int]) -> bool:
        whole.extend(rows)
        written.set()
        return True

    queue = RowQueue(write)
    assert queue.close() == []
    queue.add(1)
    written.wait()
    assert whole == [1]


class Away:
    """Takes rows once it is ``back``."""

    def __init__(self) -> None:
        self.tries: list[list[int]] = []
        self.whole: list[int] = []
        self.lost: list[int] = []
        self.back = False
        self.tried, self.ended = Event(), Event()

    def write(self, rows: list[int]) -> bool:
        self.tries.append(rows)
        self.tried.set()
        if self.back:
            self.whole.extend(rows)
            self.ended.set()
        return self.back

    def lose(self, rows: list[int]) -> None:
        self.lost.extend(rows)
        self.ended.set()


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Away:
    monkeypatch.setattr(row_queue, "_AGAIN", 0.05)
    return Away()


def test_rows_wait_for_a_database_that_is_away_and_their_batch_stays_as_it_is(away: Away) -> None:
    """It may have been written after all, so nothing is added to it."""
    queue = RowQueue(away.write, away.lose)
    queue.add(1)
    away.tried.wait()
    queue.add(2)
    away.back = True
    while len(away.whole) < 2:
        away.ended.wait()
        away.ended.clear()
    assert (away.whole, away.lost) == ([1, 2], [])
    assert all(rows is away.tries[0] for rows in away.tries if 1 in rows)
    assert queue.close() == []


def test_a_batch_that_is_never_written_is_given_up(away: Away, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_queue, "_PATIENCE", 0.2)
    queue = RowQueue(away.write, away.lose)
    queue.add(1)
    away.ended.wait()
    assert (away.lost, len(away.tries) > 1) == ([1], True)
    away.ended.clear()
    away.back = True
    queue.add(2)
    away.ended.wait()
    assert away.whole == [2]


def test_a_queue_that_closes_returns_what_cannot_be_written(away: Away) -> None:
    queue = RowQueue(away.write, away.lose)
    queue.add(1)
    away.tried.wait()
    queue.add(2)
    assert queue.close() == [1, 2]
