"""This machine's clock beside those of others: of the database, of Redis, of providers.

Signatures of clouds (AWS: five minutes), certificates, leases and budgets' periods need one that is right.
"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import Final

from app.diagnostics.findings import Finding, note, ok, warn

MOST: Final = 30.0
"""Seconds of difference that are told as a doubt."""


class Clock:
    """Collects differences in seconds; positive where this machine is ahead."""

    def __init__(self) -> None:
        self._ahead: dict[str, float] = {}

    def compare(self, who: str, now: float | None) -> None:
        """Note somebody's Unix seconds, None where he told none."""
        if now is not None:
            self._ahead[who] = time.time() - now

    def compare_header(self, who: str, date: str | None) -> None:
        """Note the ``Date`` of an HTTP answer; what is no date tells nothing."""
        try:
            now = None if date is None else parsedate_to_datetime(date).timestamp()
        except ValueError:
            now = None
        self.compare(who, now)

    def finding(self) -> Finding:
        """Return how this clock goes: by the median of the others, so that one that is wrong does not count."""
        if not self._ahead:
            return note("clock", "nobody answered whose clock this one could be compared with")
        who, ahead = sorted(self._ahead.items(), key=lambda item: item[1])[len(self._ahead) // 2]
        if abs(ahead) <= MOST:
            return ok("clock", f"agrees with {who} within {MOST:g} s")
        way = "ahead of" if ahead > 0 else "behind"
        return warn(
            "clock",
            f"is {abs(ahead):.0f} s {way} that of {who}",
            "set it by NTP (timedatectl set-ntp true): signed requests and leases need it",
        )
