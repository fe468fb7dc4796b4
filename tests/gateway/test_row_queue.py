"""Rows that are queued are written whole, also by a process that leaves while it writes."""

from __future__ import annotations

import gevent
from gevent.event import Event

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
