"""The arithmetic of limits, and their back end for one process.

A span of ``seconds`` has sixty sub-windows. The current sub-window and the sixty before it count, so they cover
any span of that length: no such span admits more than the limit, and used units are free again at most a
sixtieth late. A call is admitted by all of its charges or by none. ``redis_windows`` does the same;
tests/gateway/test_limits.py compares the two.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

PARTS: Final = 60
"""Sub-windows of a span."""

_FEW: Final = 1_000  # limits that are in memory whether anything of them is used or not


class Charge(NamedTuple):
    """What one call uses of one limit: ``amount`` of at most ``most`` in ``seconds``. With 0 seconds it is a
    limit of concurrent calls; an amount of 0 only reads. ``key`` names the limit."""

    key: str
    most: int
    seconds: int
    amount: int


class Decision(NamedTuple):
    """Whether charges are admitted, and the state of each limit after that: its used units, the seconds until all are
    free again, and its current sub-window. ``refused`` is the index of the charge that must wait longest, None when
    the call is admitted; ``wait`` is in seconds."""

    used: Sequence[int] = ()
    resets: Sequence[float] = ()
    parts: Sequence[int] = ()
    refused: int | None = None
    wait: float = 0.0


class Settlement(NamedTuple):
    """What a call is charged when it is over; below 0, sub-window ``part`` gets it back."""

    charge: Charge
    part: int
    amount: int


class Windows(Protocol):
    """A back end."""

    def admit(self, charges: Sequence[Charge], holder: str) -> Decision:
        """Charge all, or none."""
        ...

    def settle(self, settlements: Sequence[Settlement], holder: str) -> None:
        """Charge the rest, whatever the limits say, and release ``holder``."""
        ...


class _SlidingWindow:
    """One limit of a span of ``seconds``: counts by sub-window and their sum. ``part`` is the sub-window of the last look,
    which runs from ``begin`` to ``end``; all units are free again at ``free_at``."""

    __slots__ = ("begin", "counts", "end", "free_at", "part", "seconds", "total")

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self.counts: dict[int, int] = {}
        self.total = self.part = 0
        self.begin = self.end = self.free_at = 0.0

    def turn(self, now: float) -> int:
        """Go to the sub-window that runs at ``now`` and forget old ones; return the used units."""
        if not self.begin <= now < self.end:
            whole, rest = divmod(now, self.seconds)
            self.part = part = int(whole) * PARTS + int(rest * PARTS / self.seconds)
            self.begin, self.end = part * self.seconds / PARTS, (part + 1) * self.seconds / PARTS
            self.counts = _recent(self.counts, part)
            self.total = sum(self.counts.values())
            self.free_at = self._free_at(max(self.counts)) if self.counts else 0.0
        return self.total

    def take(self, amount: int, holder: str) -> None:
        """Charge the sub-window that ``turn`` went to."""
        part, counts = self.part, self.counts
        if part in counts:
            counts[part] += amount
        else:
            counts[part] = amount
            self.free_at = max(self.free_at, self._free_at(part))
        self.total += amount

    def wait(self, charge: Charge, now: float) -> float:
        """Return the seconds until ``charge`` may be tried again, the whole span if it never fits."""
        used = self.total
        for part in sorted(self.counts) if charge.amount <= charge.most else ():
            used -= self.counts[part]
            if used + charge.amount <= charge.most:
                return self._free_at(part) - now
        return float(self.seconds)

    def settle(self, part: int, amount: int, holder: str, now: float) -> None:
        """Charge the sub-window that runs at ``now``; below 0, take back what ``part`` has of that."""
        if amount > 0:
            self.turn(now)
            self.take(amount, holder)
        elif part in self.counts:
            before = self.counts[part]
            self.counts[part] = after = max(0, before + amount)
            self.total += after - before

    def _free_at(self, part: int) -> float:
        """Return the time, in seconds of the clock, from which on units used in ``part`` do not count."""
        return (part + PARTS + 1) * self.seconds / PARTS


def _recent(counts: Mapping[int, int], part: int) -> dict[int, int]:
    """Return the counts that still count in ``part``. After a clock was set back, those of later parts are its own: they
    are free a span from now, not when the clock comes there again."""
    recent: dict[int, int] = {}
    for one, count in counts.items():
        if one >= part - PARTS:
            recent[min(one, part)] = recent.get(min(one, part), 0) + count
    return recent


class _Places:
    """One limit of concurrent calls: their holders. They have no sub-windows, and no time at which they are free."""

    __slots__ = ("_holders",)

    part: Final = 0
    begin: Final = 0.0
    end: Final = math.inf
    free_at: Final = 0.0

    def __init__(self) -> None:
        self._holders: set[str] = set()

    @property
    def total(self) -> int:
        return len(self._holders)

    def turn(self, now: float) -> int:
        return len(self._holders)

    def take(self, amount: int, holder: str) -> None:
        self._holders.add(holder)

    def wait(self, charge: Charge, now: float) -> float:
        return 1.0

    def settle(self, part: int, amount: int, holder: str, now: float) -> None:
        self._holders.discard(holder)


_CLOCK_BEGAN: Final = time.time() - time.monotonic()


def _steady() -> float:
    """Return Unix seconds of a clock that nobody sets."""
    return _CLOCK_BEGAN + time.monotonic()


class MemoryWindows:
    """The limits of one process. ``clock`` gives Unix seconds."""

    def __init__(self, clock: Callable[[], float] = _steady) -> None:
        self._clock = clock
        self._windows: dict[str, _SlidingWindow | _Places] = {}
        self._most = _FEW

    def admit(self, charges: Sequence[Charge], holder: str) -> Decision:
        """Charge all, or none."""
        now, refused, wait = self._begin(), None, 0.0
        windows: list[_SlidingWindow | _Places] = []
        for charge in charges:
            key, most, _, amount = charge
            window = self._windows.get(key) or self._of(charge)
            used = window.total if window.begin <= now < window.end else window.turn(now)
            if used + amount > most:
                longer = window.wait(charge, now)
                refused, wait = (len(windows), longer) if longer > wait else (refused, wait)
            windows.append(window)
        totals, resets, parts = [], [], []
        for place, window in enumerate(windows):
            amount = charges[place].amount
            if amount and refused is None:
                window.take(amount, holder)
            totals.append(window.total)
            free_at = window.free_at
            resets.append(free_at - now if free_at > now else 0.0)
            parts.append(window.part)
        return Decision(totals, resets, parts, refused, wait)

    def note(self, charges: Sequence[Charge], holder: str) -> None:
        """Charge all, whatever the limits say: another back end admitted them."""
        now = self._begin()
        for charge in charges:
            window = self._of(charge)
            window.turn(now)
            if charge.amount:
                window.take(charge.amount, holder)

    def settle(self, settlements: Sequence[Settlement], holder: str) -> None:
        """Charge the rest, whatever the limits say, and release ``holder``."""
        now = self._clock()
        for charge, part, amount in settlements:
            window = self._windows.get(charge.key) or self._of(charge)
            window.settle(part, amount, holder, now)

    def _begin(self) -> float:
        """Return the time. When there are twice as many limits as after the last look, forget those of which nothing is used."""
        now = self._clock()
        if len(self._windows) >= self._most:
            self._windows = {key: window for key, window in self._windows.items() if window.turn(now)}
            self._most = max(_FEW, 2 * len(self._windows))
        return now

    def _of(self, charge: Charge) -> _SlidingWindow | _Places:
        """Return what counts for a charge."""
        window = self._windows.get(charge.key)
        if window is None:
            window = self._windows[charge.key] = (
                _SlidingWindow(charge.seconds) if charge.seconds else _Places()
            )
        return window
