"""The watchdog: which clock ends a wait, what restarts it, and that the first reason wins."""

from __future__ import annotations

import itertools
import time

import gevent
import pytest
from gevent.event import Event

from app.errors import GatewayError
from app.wire.clocks import Clocks, Quiet, Watchdog

LONG = 30.0


def ended_by(watchdog: Watchdog, wait: Event | None = None) -> tuple[str, str, float]:
    """Wait under ``watchdog`` until it ends the wait; return kind, message and seconds taken."""
    started = time.monotonic()
    with pytest.raises(GatewayError) as caught:
        with watchdog:
            (wait or Event()).wait(LONG)
    return caught.value.kind.name, caught.value.message, time.monotonic() - started


@pytest.mark.parametrize(
    ("clocks", "kind", "message"),
    [
        (Clocks(first_byte=0.05), "upstream_timeout", "The provider sent nothing within 0.05 s."),
        (Clocks(total=0.05), "upstream_timeout", "The provider did not finish within 0.05 s."),
        (
            Clocks(first_byte=0.05, total=0.05),
            "upstream_timeout",
            "The provider did not finish within 0.05 s.",
        ),
    ],
)
def test_a_clock_ends_the_wait(clocks: Clocks, kind: str, message: str) -> None:
    took = ended_by(Watchdog(clocks))
    assert took[:2] == (kind, message)
    assert 0.04 < took[2] < 1


def test_after_the_first_data_the_idle_clock_runs() -> None:
    watchdog = Watchdog(Clocks(first_byte=0.2, idle=0.05))
    watchdog.progress()
    kind, message, seconds = ended_by(watchdog)
    assert (kind, message) == ("upstream_idle", "The provider sent nothing for 0.05 s.")
    assert seconds < 1


def test_waits_without_progress_add_up() -> None:
    """A comment wakes the reader, but is no data: it must not restart the idle clock."""
    watchdog = Watchdog(Clocks(idle=0.15))
    watchdog.progress()
    waits = itertools.count()
    with pytest.raises(GatewayError) as caught:
        while next(waits) < 100:
            with watchdog:
                gevent.sleep(0.03)
    assert caught.value.kind.name == "upstream_idle"
    assert 3 <= next(waits) <= 7


def test_progress_restarts_the_idle_clock_but_not_the_total() -> None:
    watchdog = Watchdog(Clocks(idle=0.1, total=0.4))
    waits = itertools.count()
    with pytest.raises(GatewayError) as caught:
        while next(waits) < 100:
            with watchdog:
                gevent.sleep(0.03)
            watchdog.progress()
    assert (caught.value.kind.name, "0.4 s" in caught.value.message) == ("upstream_timeout", True)
    assert next(waits) >= 6


def test_a_slow_reader_of_ours_is_no_silent_upstream() -> None:
    watchdog = Watchdog(Clocks(first_byte=0.05, idle=0.05))
    watchdog.progress()
    gevent.sleep(0.15)  # writing to a slow client, say
    with watchdog:
        gevent.sleep(0.01)
    assert watchdog.reason is None
    assert ended_by(watchdog)[0] == "upstream_idle"


def test_an_abort_from_another_greenlet_ends_the_wait_at_once() -> None:
    watchdog = Watchdog(Clocks())
    reason = GatewayError("cancelled", "cancelled by the client")
    gevent.spawn(watchdog.abort, reason)
    kind, message, seconds = ended_by(watchdog)
    assert (kind, message) == ("cancelled", "cancelled by the client")
    assert seconds < 0.1
    assert watchdog.reason is reason


def test_the_first_reason_wins_and_stays() -> None:
    watchdog = Watchdog(Clocks(first_byte=0.02))
    first, second = GatewayError("client_gone", "gone"), GatewayError("cancelled", "cancelled")
    assert watchdog.abort(first)
    assert not watchdog.abort(second)
    gevent.sleep(0.05)
    for _ in range(2):
        with pytest.raises(GatewayError, match="gone"):
            with watchdog:
                pytest.fail("entered after the abort")


def test_an_abort_while_nobody_waits_lets_go_of_the_connection_once() -> None:
    watchdog = Watchdog(Clocks())
    dropped = []
    watchdog.on_abort = lambda: dropped.append(1)
    with watchdog:
        pass
    watchdog.abort(GatewayError("cancelled", "x"))
    watchdog.abort(GatewayError("cancelled", "y"))
    assert dropped == [1]


def test_a_waiting_greenlet_lets_go_of_the_connection_itself() -> None:
    watchdog = Watchdog(Clocks())
    dropped = []
    watchdog.on_abort = lambda: dropped.append(1)
    gevent.spawn(watchdog.abort, GatewayError("cancelled", "x"))
    ended_by(watchdog)
    assert dropped == []


def test_an_error_of_the_wait_gives_way_to_the_reason() -> None:
    watchdog = Watchdog(Clocks())
    with pytest.raises(GatewayError, match="x") as caught:
        with watchdog:
            watchdog.abort(GatewayError("cancelled", "x"))
            raise OSError("the socket was shut")
    assert isinstance(caught.value.__cause__, OSError)


def test_an_error_without_a_reason_passes_and_a_greenlets_exit_always() -> None:
    watchdog = Watchdog(Clocks())
    with pytest.raises(OSError, match="reset"):
        with watchdog:
            raise OSError("reset")
    with pytest.raises(gevent.GreenletExit):
        with watchdog:
            watchdog.abort(GatewayError("cancelled", "x"))
            raise gevent.GreenletExit


def test_an_abort_that_comes_too_late_interrupts_nothing_later() -> None:
    """The wait ends by itself in the same turn of the hub in which the abort was asked for."""
    watchdog = Watchdog(Clocks())
    event = Event()

    def both() -> None:
        event.set()
        watchdog.abort(GatewayError("cancelled", "x"))

    gevent.spawn(both)
    assert ended_by(watchdog, event)[0] == "cancelled"
    gevent.sleep(0.01)  # a leftover interrupt would be thrown here


def test_after_its_end_no_clock_fires_and_no_abort_counts() -> None:
    watchdog = Watchdog(Clocks(first_byte=0.02))
    watchdog.stop()
    gevent.sleep(0.05)
    assert watchdog.reason is None
    assert not watchdog.abort(GatewayError("cancelled", "x"))


def test_a_wait_longer_than_the_patience_is_left_and_may_be_begun_again() -> None:
    watchdog = Watchdog(Clocks())
    watchdog.patience = 0.05
    for _ in range(2):
        started = time.monotonic()
        with pytest.raises(Quiet), watchdog:
            gevent.sleep(LONG)
        assert 0.04 < time.monotonic() - started < 1
    with watchdog:
        gevent.sleep(0)
    assert watchdog.reason is None


def test_many_short_waits_are_no_silence() -> None:
    watchdog = Watchdog(Clocks())
    watchdog.patience = 0.05
    for _ in range(10):
        with watchdog:
            gevent.sleep(0.01)


def test_patience_stops_no_clock() -> None:
    watchdog = Watchdog(Clocks(idle=0.12))
    watchdog.progress()
    watchdog.patience = 0.05
    left = 0
    with pytest.raises(GatewayError) as caught:
        while left < 10:
            try:
                with watchdog:
                    gevent.sleep(LONG)
            except Quiet:
                left += 1
    assert (caught.value.kind.name, left) == ("upstream_idle", 2)
