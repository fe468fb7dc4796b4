"""This machine's clock compared with those of the database, Redis and providers.

Cloud signatures (AWS: five minutes), certificates, leases and budget periods need a correct clock.
"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import Final

from app.diagnostics.findings import Finding, note, ok, warn

MOST: Final = 30.0
"""Difference in seconds above which a warning is given."""


class Clock:
    """Collects differences in seconds; positive if this machine is ahead."""

    def __init__(self) -> None:
        self._ahead: dict[str, float] = {}

    def compare(self, who: str, now: float | None) -> None:
        """Record another clock's Unix seconds; None is ignored."""
        if now is not None:
            self._ahead[who] = time.time() - now

    def compare_header(self, who: str, date: str | None) -> None:
        """Record the ``Date`` header of an HTTP answer; an invalid date is ignored."""
        try:
            now = None if date is None else parsedate_to_datetime(date).timestamp()
        except ValueError:
            now = None
        self.compare(who, now)

    def finding(self) -> Finding:
        """Return how this clock goes: by the median of the others, so that one that is wrong does not count."""
        if not self._ahead:
            return note("clock", "no other clock answered to compare with")
        who, ahead = sorted(self._ahead.items(), key=lambda item: item[1])[len(self._ahead) // 2]
        if abs(ahead) <= MOST:
            return ok("clock", f"is within {MOST:g} s of the clock of {who}")
        way = "ahead of" if ahead > 0 else "behind"
        return warn(
            "clock",
            f"is {abs(ahead):.0f} s {way} that of {who}",
            "synchronise it with NTP (timedatectl set-ntp true): signed requests and leases need it",
        )
