"""Huge pages for what a worker has loaded, so that the processor finds its addresses sooner.

Linux 6.1 can join pages that are in use. Elsewhere, or where the operator allows no huge pages, nothing changes.
Only ranges that are nearly full are joined, so a worker grows by a few MiB at most.

Tests: tests/gateway/test_huge_pages.py.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from mmap import PAGESIZE
from pathlib import Path
from typing import Final

_SETTINGS: Final = Path("/sys/kernel/mm/transparent_hugepage")
_MAPS: Final = Path("/proc/self/maps")
_COLLAPSE: Final = 25  # MADV_COLLAPSE, which the module mmap does not name
_MIN_SHARE: Final = 0.75  # of a range that is in memory already


def join_pages() -> int:
    """Join the pages of the heap to huge ones; return how many there are now."""
    try:
        size = int((_SETTINGS / "hpage_pmd_size").read_text())
        allowed = "[never]" not in (_SETTINGS / "enabled").read_text()
        heap = list(_heap()) if allowed else []
    except OSError:  # not Linux, or one without huge pages
        return 0
    libc = ctypes.CDLL(None)
    ranges = (place for start, end in heap for place in range(-start // size * -size, end - size + 1, size))
    return sum(_join(libc, place, size) for place in ranges)


def _heap() -> Iterator[tuple[int, int]]:
    """Yield start and end of each writable mapping of no file."""
    for line in _MAPS.read_text().splitlines():
        addresses, access, _, _, _, *name = line.split(maxsplit=5)
        if access == "rw-p" and name in ([], ["[heap]"]):
            start, end = addresses.split("-")
            yield int(start, 16), int(end, 16)


def _join(libc: ctypes.CDLL, place: int, size: int) -> bool:
    """Join the pages of one range if it is nearly full; tell whether that was done."""
    resident = (ctypes.c_ubyte * (size // PAGESIZE))()
    address, length = ctypes.c_void_p(place), ctypes.c_size_t(size)
    if libc.mincore(address, length, resident) != 0 or sum(resident) < _MIN_SHARE * len(resident):
        return False
    return bool(libc.madvise(address, length, _COLLAPSE) == 0)
