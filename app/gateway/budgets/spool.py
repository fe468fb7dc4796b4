"""The spool: rows of the ledger that wait on disk while the database is away, in a folder of the operator's.

Each process appends to a file of its own, a row a line, and holds a lock on it as long as it lives; a file that nobody holds is
anybody's to take in. Rows are known by their attempt, so taking one in twice leaves one. All files together are bounded.

Tests: tests/gateway/test_spool.py, tests/governance/test_budgets_in_outages.py.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from app.errors import GatewayError
from app.state.ledger_rows import Entry, from_json

_LOG: Final = logging.getLogger(__name__)

MOST: Final = 64 * 1024 * 1024
_PATTERN: Final = "ledger-*.jsonl"
_BATCH: Final = 200
_LARGEST: Final = 1024 * 1024
"""Approximate bytes of one file, which is read whole."""

Take = Callable[[Sequence[Entry]], None]
"""Takes rows in; raises where it cannot."""


class Spool:
    """The spool of one process. ``most`` bounds the bytes of all files in the folder."""

    def __init__(self, folder: str, most: int = MOST) -> None:
        self._folder = Path(folder)
        self._most = most
        self._file: BinaryIO | None = None

    def keep(self, entries: Sequence[Entry]) -> int:
        """Append rows; return how many were kept, fewer where there is no room or the disk refuses."""
        count = 0
        try:
            file = self._open()
            room = self._most - sum(path.stat().st_size for path in self._files())
            for entry in entries:
                line = entry.as_json() + b"\n"
                if len(line) > room:
                    break
                file.write(line)
                room -= len(line)
                count += 1
            file.flush()
            os.fsync(file.fileno())
            if file.tell() >= _LARGEST:
                self._close()
        except OSError as error:
            _LOG.error("the spool cannot be written: %s", error)
            return 0
        return count

    def recover(self, take: Take) -> int:
        """Recover the rows of files without an owner, and of our own file; return their number.

        A file goes once all of it was taken in; while the database is away it stays. A row that cannot be taken in, whatever is
        wrong with it, is logged and left out, so that it keeps no other row from its budget."""
        self._close()
        return sum(self._recover(path, take) for path in self._files())

    @property
    def waits(self) -> bool:
        """Tell whether anything lies in the folder."""
        return any(path.stat().st_size for path in self._files())

    def close(self) -> None:
        """Let go of our own file; who comes next takes it in."""
        self._close()

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob(_PATTERN)) if self._folder.is_dir() else []

    def _open(self) -> BinaryIO:
        if self._file is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._folder / f"ledger-{os.getpid()}-{secrets.token_hex(6)}.jsonl"
            self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")
            fcntl.flock(self._file, fcntl.LOCK_EX)
        return self._file

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _recover(self, path: Path, take: Take) -> int:
        try:
            file = path.open("rb")
        except FileNotFoundError:  # another process took it in
            return 0
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return 0
            entries = [entry for line in file if (entry := _read(line, path)) is not None]
            for start in range(0, len(entries), _BATCH):
                _take(entries[start : start + _BATCH], take, path)
            path.unlink(missing_ok=True)
        return len(entries)


def _take(entries: Sequence[Entry], take: Take, path: Path) -> None:
    """Take rows in together; if that fails for a reason of theirs, each alone."""
    try:
        take(entries)
    except (GatewayError, OSError):
        raise
    except Exception:  # noqa: BLE001 - whatever is wrong with one row, the others are taken in
        if len(entries) == 1:
            _LOG.exception("a row of the spool %s cannot be taken in and is left out", path.name)
            return
        for one in entries:
            _take([one], take, path)


def _read(line: bytes, path: Path) -> Entry | None:
    """Return the row of a line; None for one that was cut by a crash."""
    try:
        return from_json(line)
    except (ValueError, TypeError) as error:
        _LOG.error("a row of the spool %s cannot be read and is left out: %s", path.name, error)
        return None
