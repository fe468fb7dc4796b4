"""A progress line on a terminal's standard error, removed when the work is done.

Nothing is written if standard error is not a terminal. Tests: tests/terminal/test_progress.py.
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
"""Seconds before a progress line appears."""
_BAR: Final = 30
_CLEAR: Final = "\r\x1b[K"


class Line:
    """The line of one task; ``words`` describe it."""

    def __init__(self, words: str, stream: TextIO) -> None:
        self._words = words
        self._stream = stream
        self._begun = time.monotonic()
        self._written_at = 0.0
        self._is_there = False
        self._steps: tuple[int, int | None] | None = None

    def update(self, count: int, total: int | None = None, words: str | None = None) -> None:
        """Record that ``count`` of ``total`` steps are finished (None: unknown); ``words`` replaces the description."""
        self._words = words or self._words
        self._steps = count, total
        self.draw()

    def draw(self) -> None:
        """Redraw the line if the last one is old."""
        now = time.monotonic()
        if now - self._begun >= _AFTER and now - self._written_at >= _EVERY:
            self._written_at = now
            width = shutil.get_terminal_size().columns - 1
            self._write(_CLEAR + self._text(now)[: max(width, 0)])
            self._is_there = True

    def clear(self) -> None:
        """Remove the line, so that other output can be written."""
        if self._is_there:
            self._write(_CLEAR)
            self._is_there = False

    def _text(self, now: float) -> str:
        seconds = f"{now - self._begun:.0f} s"
        if self._steps is None:
            return f"{self._words} … {seconds}"
        count, total = self._steps
        if total is None:
            return f"{self._words} … {count}, {seconds}"
        ticks = _BAR * min(count, total) // max(total, 1)
        return f"{self._words:<18} [{'#' * ticks}{'.' * (_BAR - ticks)}] {count}/{total}, {seconds}"

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class _NoLine(Line):
    """A line that is not shown, because standard error is no terminal."""

    def draw(self) -> None:
        """Write nothing."""


@contextmanager
def line(words: str, stream: TextIO | None = None) -> Iterator[Line]:
    """Show the progress of the enclosed block; ``stream`` is standard error by default."""
    stream = stream or sys.stderr
    if not stream.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        yield _NoLine(words, stream)
        return
    progress = Line(words, stream)
    ticker = gevent.spawn(_tick, progress)
    try:
        yield progress
    finally:
        ticker.kill()
        progress.clear()


def _tick(progress: Line) -> None:
    while True:
        gevent.sleep(_EVERY)
        progress.draw()
