"""The four clocks of an upstream call, and the watchdog that enforces them.

A read time-out bounds one read, not a call: a body that drips a byte a second never
trips it. So the clocks run outside the read,
on a timer of gevent's hub, and end the wait of the reader.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple

from gevent import get_hub, getcurrent

from app.errors import GatewayError
from app.wire.upstream import TransportError


class Clocks(NamedTuple):
    """Time limits of one attempt, in seconds.

    ``connect`` bounds each TCP connect and TLS step; ``first_byte`` runs from the
    start to the first data; ``idle`` runs between data events; ``total`` bounds the
    whole attempt, whatever it does and however long the others are.
    """

    connect: float = 10.0
    first_byte: float = 120.0
    idle: float = 120.0
    total: float = 600.0


class Interrupted(BaseException):
    """Ends a wait from outside. Not an ``Exception``, so that no library's handler catches it."""


class Quiet(Exception):
    """A wait took longer than the patience of the reader, which may wait again."""


class Watchdog:
    """Watches one attempt. Its first reason to stop is the only one.

    The waiting greenlet wraps each blocking step in ``with watchdog:``. A reason
    that arrives meanwhile (a clock, or ``abort`` from another greenlet of the same
    thread) interrupts the wait, and leaving the block raises that reason. When
    no reader waits, ``on_abort`` runs once instead, to release the connection.

    A wait that lasts ``patience`` seconds is left with ``Quiet``. First byte and idle
    count only the time spent waiting for the upstream, so a slow reader of ours is
    never taken for a silent upstream. ``progress()`` is called for each data event;
    comments do not count.
    """

    def __init__(self, clocks: Clocks, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.clocks = clocks
        self.reason: GatewayError | None = None
        self.on_abort: Callable[[], None] | None = None
        self.patience: float | None = None
        self._now = monotonic
        self._started = now = monotonic()
        self._silence = 0.0
        self._flowing = False
        self._wait_start = 0.0
        self._waiter: Any = None
        self._interrupt: Any = None
        self._timer: Any = None
        self._due = 0.0
        self._impatient = False
        self._arm(min(clocks.first_byte, clocks.total), now)

    def progress(self) -> None:
        """Note one data event: from now on the idle clock runs, from zero."""
        self._silence = 0.0
        if self._waiter is not None:
            self._wait_start = self._now()
        if not self._flowing:
            self._flowing = True
            if self._timer is not None:  # it was set for the first byte; from now on it finds its time itself
                self._tick()

    def abort(self, reason: GatewayError) -> bool:
        """Stop the attempt for ``reason``; False if it had ended or been stopped before."""
        if self.reason is not None or self._timer is None:
            return False
        self.reason = reason
        let_go = self.on_abort
        self.stop()
        if self._waiter is not None:
            self._interrupt_wait()
        elif let_go is not None:
            let_go()
        return True

    def stop(self) -> None:
        """End the watch: no clock fires any more, and the watchdog forgets its targets."""
        self.on_abort = None
        self._disarm()

    def __enter__(self) -> None:
        if self.reason is not None:
            raise self.reason
        self._waiter = getcurrent()
        self._wait_start = self._now()
        if (
            self.patience is not None
            and self._timer is not None
            and self._due > self._wait_start + self.patience
        ):
            self._disarm()
            self._arm(self.patience, self._wait_start)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._silence += self._now() - self._wait_start
        self._waiter = None
        if self._interrupt is not None:
            self._interrupt.stop()
            self._interrupt = None
        impatient, self._impatient = self._impatient, False
        if self.reason is not None and (error is None or isinstance(error, (Exception, Interrupted))):
            raise self.reason from (error if isinstance(error, Exception) else None)
        if impatient and isinstance(error, Interrupted):
            raise Quiet

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def _arm(self, seconds: float, now: float) -> None:
        self._due = now + seconds
        self._timer = get_hub().loop.timer(max(seconds, 0.0))
        self._timer.start(self._tick)

    def _tick(self) -> None:
        """Abort if a clock has run out, else sleep until the next one can."""
        now = self._now()
        waiting = now - self._wait_start if self._waiter is not None else 0.0
        silence = self._silence + waiting
        total_left = self._started + self.clocks.total - now
        silence_left = (self.clocks.idle if self._flowing else self.clocks.first_byte) - silence
        if total_left <= 0:
            self.abort(_timeout_error("upstream_timeout", f"did not finish within {self.clocks.total:g} s"))
        elif silence_left <= 0 and self._flowing:
            self.abort(_timeout_error("upstream_idle", f"sent nothing for {self.clocks.idle:g} s"))
        elif silence_left <= 0:
            self.abort(
                _timeout_error("upstream_timeout", f"sent nothing within {self.clocks.first_byte:g} s")
            )
        else:
            self._disarm()
            self._arm(min(total_left, silence_left, self._remaining(waiting)), now)

    def _remaining(self, waiting: float) -> float:
        """Return the seconds until a wait is left; leaves it when there are none."""
        if self.patience is None:
            return math.inf
        if waiting < self.patience:
            return self.patience - waiting
        self._impatient = True
        self._interrupt_wait()
        return self.patience

    def _interrupt_wait(self) -> None:
        if self._interrupt is None:
            self._interrupt = get_hub().loop.run_callback(self._waiter.throw, Interrupted)


def _timeout_error(kind: str, what: str) -> TransportError:
    return TransportError(kind, f"The provider {what}.", maybe_charged=True)
