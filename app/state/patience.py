"""How long the calls of a process wait for its database. Tests: tests/state/test_database.py."""

from __future__ import annotations

from typing import Final

_SHORT: Final = 2.0


class Patience:
    """Gives a call its whole time, but only little after a call that waited in vain.

    So the waits of one request add up to little more than one wait, however many statements it has."""

    def __init__(self) -> None:
        self._is_lost = False

    def limit(self, seconds: float) -> float:
        """Return how many of its ``seconds`` a call may wait now."""
        return min(seconds, _SHORT) if self._is_lost else seconds

    def lose(self) -> None:
        """Record that a call waited in vain."""
        self._is_lost = True

    def regain(self) -> None:
        """Record that the database answered."""
        self._is_lost = False
