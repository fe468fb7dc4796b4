"""The arithmetic of limits, and their back end for one process.

A span of ``seconds`` has sixty sub-windows. The current sub-window and the sixty before it count, so they cover
any span of that length: no such span admits more than the limit, and used units are free again at most a
sixtieth late. A call is admitted by all of its charges or by none. ``redis_windows`` does the same;
tests/gateway/test_limits.py compares the two.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

PARTS: Final = 60
"""Sub-windows of a span."""

_SWEEP: Final = 10_000  # admissions between two searches for empty windows


class Charge(NamedTuple):
    """What one call uses of one limit: ``amount`` of at most ``most`` in ``seconds``. With 0 seconds it is a
    limit of concurrent calls; an amount of 0 only reads. ``key`` names the limit."""

    key: str
    most: int
    seconds: int
    amount: int


class Standing(NamedTuple):
    """The state of a limit: the used units, the seconds until all are free again, and the current sub-window."""

    used: int
    reset: float
    part: int


class Decision(NamedTuple):
    """Whether charges are admitted, and the state of each limit after that. ``refused`` is the index of the charge
    that must wait longest, None when the call is admitted; ``wait`` is in seconds."""

    standings: Sequence[Standing]
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


@dataclass(slots=True)
class _SlidingWindow:
    """One limit: counts by sub-window, with their sum and the newest, or the holders of concurrent calls."""

    seconds: int
    counts: dict[int, int] = field(default_factory=dict)
    holders: set[str] = field(default_factory=set)
    total: int = 0
    newest: int | None = None
    looked: int | None = None  # the sub-window that ran when old counts were last forgotten

    def used(self, part: int) -> int:
        """Return the used units in sub-window ``part``; forget older ones."""
        if not self.seconds:
            return len(self.holders)
        if part != self.looked:
            self.looked = part
            self.counts = {one: count for one, count in self.counts.items() if one >= part - PARTS}
            self.total, self.newest = sum(self.counts.values()), max(self.counts, default=None)
        return self.total

    def free_at(self, part: int) -> float:
        """Return the time, in seconds of the clock, from which on units used in ``part`` do not count."""
        return (part + PARTS + 1) * self.seconds / PARTS

    def reset(self, now: float) -> float:
        """Return the seconds until all is free."""
        return 0.0 if self.newest is None else max(0.0, self.free_at(self.newest) - now)

    def wait(self, charge: Charge, used: int, now: float) -> float:
        """Return the seconds until ``charge`` may be tried again, the whole span if it never fits."""
        if not self.seconds:
            return 1.0
        for part in sorted(self.counts) if charge.amount <= charge.most else ():
            used -= self.counts[part]
            if used + charge.amount <= charge.most:
                return self.free_at(part) - now
        return float(self.seconds)

    def charge(self, charge: Charge, part: int, holder: str) -> None:
        """Charge it in sub-window ``part``."""
        if not charge.amount:
            return
        if not self.seconds:
            self.holders.add(holder)
        else:
            self.add(part, charge.amount)

    def add(self, part: int, amount: int) -> None:
        """Count ``amount`` in sub-window ``part``; below 0, take back what it has of that."""
        before = self.counts.get(part, 0)
        self.counts[part] = after = max(0, before + amount)
        self.total += after - before
        self.newest = part if self.newest is None else max(self.newest, part)


class MemoryWindows:
    """The limits of one process. ``clock`` gives Unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._windows: dict[str, _SlidingWindow] = {}
        self._admitted = 0

    def admit(self, charges: Sequence[Charge], holder: str) -> Decision:
        """Charge all, or none."""
        now = self._clock()
        self._sweep(now)
        found, refused, wait = [], None, 0.0
        for place, charge in enumerate(charges):
            window, part = self._window(charge), part_at(now, charge.seconds)
            found.append((window, part))
            used = window.used(part)
            if used + charge.amount > charge.most:
                longer = window.wait(charge, used, now)
                refused, wait = (place, longer) if longer > wait else (refused, wait)
        if refused is None:
            for (window, part), charge in zip(found, charges, strict=True):
                window.charge(charge, part, holder)
        standings = [Standing(window.used(part), window.reset(now), part) for window, part in found]
        return Decision(standings, refused, wait)

    def note(self, charges: Sequence[Charge], holder: str) -> None:
        """Charge all, whatever the limits say: another back end admitted them."""
        now = self._clock()
        self._sweep(now)
        for charge in charges:
            self._window(charge).charge(charge, part_at(now, charge.seconds), holder)

    def settle(self, settlements: Sequence[Settlement], holder: str) -> None:
        """Charge the rest, whatever the limits say, and release ``holder``."""
        now = self._clock()
        for charge, part, amount in settlements:
            window = self._window(charge)
            if not charge.seconds:
                window.holders.discard(holder)
            elif amount > 0:
                window.add(part_at(now, charge.seconds), amount)
            elif part in window.counts:
                window.add(part, amount)

    def _window(self, charge: Charge) -> _SlidingWindow:
        window = self._windows.get(charge.key)
        if window is None:
            window = self._windows[charge.key] = _SlidingWindow(charge.seconds)
        return window

    def _sweep(self, now: float) -> None:
        """Forget limits of which nothing is used, now and then."""
        self._admitted += 1
        if self._admitted % _SWEEP == 0:
            used = {
                key: window
                for key, window in self._windows.items()
                if window.used(part_at(now, window.seconds))
            }
            self._windows = used


def part_at(now: float, seconds: int) -> int:
    """Return the number of the sub-window that runs at ``now``; 0 of calls at once."""
    if not seconds:
        return 0
    whole, rest = divmod(now, seconds)
    return int(whole) * PARTS + int(rest * PARTS / seconds)
