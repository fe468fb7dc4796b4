"""The folder in which the workers of one server keep their numbers for ``/metrics``.

Each server makes one of its own, below the folder that ``PROMETHEUS_MULTIPROC_DIR`` names or
the system's temporary one, so that servers that were given the same folder leave each other's
numbers alone. A lock, held while the server and its workers live, tells a living folder from one
that a killed server left behind; the latter goes when the next server starts there.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_PREFIX: Final = "sluice-metrics-"
_LOCK: Final = "lock"


def make(base: str | None) -> Path:
    """Return the folder of this server, below ``base``; the same one when asked again.

    What comes by the environment from a server that this one replaces names that server's.
    """
    mine = f"{_PREFIX}{os.getpid()}-"
    place = Path(base) if base else Path(tempfile.gettempdir())
    if place.name.startswith(mine):
        return place
    above = place.parent if place.name.startswith(_PREFIX) else place
    above.mkdir(parents=True, exist_ok=True)
    _sweep(above)
    folder = Path(tempfile.mkdtemp(prefix=mine, dir=above))
    _locked(folder)  # the descriptor stays open, here and in what is forked from here
    return folder


def remove(folder: str | None) -> None:
    """Remove this server's folder; one of another server, or of the operator's, stays."""
    if folder and Path(folder).name.startswith(f"{_PREFIX}{os.getpid()}-"):
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(above: Path) -> None:
    for lock in above.glob(f"{_PREFIX}*/{_LOCK}"):
        descriptor = _locked(lock.parent)
        if descriptor is not None:
            shutil.rmtree(lock.parent, ignore_errors=True)
            os.close(descriptor)


def _locked(folder: Path) -> int | None:
    """Take the lock of a folder; return its descriptor, None when another process has it or the folder
    is not ours."""
    if not os.access(folder, os.W_OK):
        return None
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
