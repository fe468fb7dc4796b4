"""What gunicorn's first process says of a reload, for the worker that asked for it.

Only the first process can judge a configuration: workers have forgotten the variables that hold secrets. It writes its
verdict into memory that it shares with all its workers. Tests: tests/deploy/test_reload.py.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import tempfile
from collections.abc import Iterable
from typing import Final, NamedTuple

_SIZE: Final = 256 * 1024
_HEAD: Final = 4  # bytes of the length
_NUMBER: Final = 8  # bytes at the end
_MOST_FAULTS: Final = 50
_MOST_TEXT: Final = 300  # characters of a place, and of a sentence


class Verdict(NamedTuple):
    """What came of the ``number``-th reload of the server whose first process is ``master``.

    ``faults`` are pairs of place and sentence, none where it is under way."""

    master: int
    number: int
    faults: list[list[str]]


class Board:
    """Memory that a process shares with those that it forks. One writes; all note a number at its end."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        self._file.truncate(_SIZE)
        self._memory = mmap.mmap(self._file.fileno(), _SIZE)

    def open(self) -> None:
        """Say that the current process takes reloads."""
        self._write(Verdict(os.getpid(), 0, []))

    def tell(self, faults: Iterable[tuple[str, str]] = ()) -> None:
        """Say what came of another reload."""
        last = self.read()
        rows = [[place[:_MOST_TEXT], sentence[:_MOST_TEXT]] for place, sentence in faults]
        self._write(Verdict(os.getpid(), last.number + 1 if last else 1, rows[:_MOST_FAULTS]))

    def read(self) -> Verdict | None:
        """Return the last verdict; None where nobody takes reloads, or while it is written."""
        length = int.from_bytes(self._memory[:_HEAD], "big")
        try:
            return Verdict(*json.loads(self._memory[_HEAD : _HEAD + length])) if length else None
        except ValueError:
            return None

    def note(self, number: int) -> bool:
        """Note that the configuration of this number, as the database counts, is taken; False where that was noted.

        Of several workers that do so at one moment, one is told so."""
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            is_new = int.from_bytes(self._memory[-_NUMBER:], "big") < number
            if is_new:
                self._memory[-_NUMBER:] = number.to_bytes(_NUMBER, "big")
            return is_new
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)

    def _write(self, verdict: Verdict) -> None:
        data = json.dumps(verdict, ensure_ascii=False).encode("utf-8", "replace")
        self._memory[:_HEAD] = bytes(_HEAD)
        self._memory[_HEAD : _HEAD + len(data)] = data
        self._memory[:_HEAD] = len(data).to_bytes(_HEAD, "big")


BOARD: Final = Board()
