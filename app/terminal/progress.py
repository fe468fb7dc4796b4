"""A line that tells how far long work is: on a terminal's standard error, and gone when the work is done.

Where standard error is no terminal nothing is written. Tests: tests/terminal/test_progress.py.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO

import gevent

_EVERY: Final = 0.1
_AFTER: Final = 0.5
"""Seconds that work takes before it is told of."""
_BAR: Final = 30
_CLEAR: Final = "\r\x1b[K"


class Line:
    """The line of one piece of work; ``words`` say what is done."""

    def __init__(self, words: str, stream: TextIO) -> None:
        self._words = words
        self._stream = stream
        self._begun = time.monotonic()
        self._written_at = 0.0
        self._is_there = False
        self._seen: tuple[int, int | None] | None = None

    def tell(self, done: int, total: int | None = None, words: str | None = None) -> None:
        """Note that ``done`` of ``total`` (None: nobody knows) are done, of what ``words`` say."""
        self._words = words or self._words
        self._seen = done, total
        self.draw()

    def draw(self) -> None:
        """Write the line anew, where the last one is old."""
        now = time.monotonic()
        if now - self._begun >= _AFTER and now - self._written_at >= _EVERY:
            self._written_at = now
            width = shutil.get_terminal_size().columns - 1
            self._put(_CLEAR + self._text(now)[: max(width, 0)])
            self._is_there = True

    def clear(self) -> None:
        """Take the line away, for others to write."""
        if self._is_there:
            self._put(_CLEAR)
            self._is_there = False

    def _text(self, now: float) -> str:
        seconds = f"{now - self._begun:.0f} s"
        if self._seen is None:
            return f"{self._words} … {seconds}"
        done, total = self._seen
        if total is None:
            return f"{self._words} … {done}, {seconds}"
        filled = _BAR * min(done, total) // max(total, 1)
        return f"{self._words:<18} [{'#' * filled}{'.' * (_BAR - filled)}] {done}/{total}, {seconds}"

    def _put(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class _NoLine(Line):
    """What is told where nobody looks."""

    def draw(self) -> None:
        """Write nothing."""


@contextmanager
def line(words: str, stream: TextIO | None = None) -> Iterator[Line]:
    """Tell how far what is done within is; ``stream`` is standard error."""
    stream = stream or sys.stderr
    if not stream.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        yield _NoLine(words, stream)
        return
    made = Line(words, stream)
    ticker = gevent.spawn(_tick, made)
    try:
        yield made
    finally:
        ticker.kill()
        made.clear()


def _tick(made: Line) -> None:
    while True:
        gevent.sleep(_EVERY)
        made.draw()
