"""What the garbage collector need not look at: all that lives as long as the process.

A full collection of a worker that has just loaded takes 40 ms or more, in which every
stream stands still. What is loaded never becomes garbage, so it is taken out of the
collector's sight; then a collection costs what the open calls weigh.

Tests: tests/behaviour.
"""

from __future__ import annotations

import gc
from typing import Final

_YOUNG: Final = 5_000  # new objects between two looks; Python's 700 are a few requests
_FULL: Final = 100
"""Looks at the middle-aged between two at all objects, which take a quarter of a second for each million of an answer."""


def settle() -> None:
    """Take every object that lives now for one that stays; called after something large was loaded."""
    gc.freeze()
    gc.set_threshold(_YOUNG, gc.get_threshold()[1], _FULL)
