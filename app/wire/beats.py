"""Beats: the loops of a process that look for something now and then wake together.

For an idle process each wake-up costs far more than each loop that then looks.
"""

from __future__ import annotations

import time
from typing import Final

_TOO_SOON: Final = 1 / 16  # of the time between two beats: who wakes a little early waits for the next one


def until_beat(seconds: float) -> float:
    """Return the time until the next beat of a loop that looks every ``seconds``."""
    rest = seconds - time.monotonic() % seconds
    return rest if rest > seconds * _TOO_SOON else rest + seconds
