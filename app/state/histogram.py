"""Histograms of how long calls took: each is one integer, so that adding histograms is adding integers.

A bucket is a digit of 40 bits. Its times are 5 % longer than those of the bucket before, so a percentile is right within
5 %. ``pack`` is the text in a row: the bytes of the digits by significance, without planes of zeros.
Tests: tests/state/test_histogram.py.
"""

from __future__ import annotations

import math
import sys
from array import array
from binascii import a2b_base64, b2a_base64
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Final

_STEP: Final = math.log(1.05)
_BYTES: Final = 5
_BITS: Final = 8 * _BYTES
_HEAD: Final = 3  # how many bytes a digit has here, and the first bucket in two


@lru_cache(maxsize=4096)
def bucket_of(milliseconds: int) -> int:
    """Return the bucket of a time in milliseconds."""
    return round(math.log(max(1, milliseconds)) / _STEP)


def of(pairs: Iterable[tuple[int, int]]) -> int:
    """Return the histogram of pairs of bucket and number of calls."""
    return sum(calls << bucket * _BITS for bucket, calls in pairs)


def of_times(times: Mapping[int, int]) -> int:
    """Return the histogram of calls by how many milliseconds they took."""
    return of((bucket_of(milliseconds), calls) for milliseconds, calls in times.items())


def pairs(histogram: int) -> list[tuple[int, int]]:
    """Return the buckets that have calls, in order, with the number of calls."""
    return [(bucket, calls) for bucket, calls in enumerate(_counts(histogram)) if calls]


def percentiles(histogram: int, shares: Sequence[int]) -> list[int | None]:
    """Return the milliseconds within which ``shares`` (per cent) of the calls ended, right within 5 %; None for no
    calls."""
    if not histogram:
        return [None for _ in shares]
    so_far = list(accumulate(_counts(histogram)))
    places = (bisect_left(so_far, math.ceil(share / 100 * so_far[-1])) for share in shares)
    return [round(math.exp(bucket * _STEP)) for bucket in places]


def pack(histogram: int) -> str:
    """Return the histogram as text."""
    if not histogram:
        return ""
    digits = _digits(histogram)
    first = next(place for place, byte in enumerate(digits) if byte) // _BYTES
    planes = [digits[first * _BYTES + place :: _BYTES] for place in range(_BYTES)]
    while not any(planes[-1]):
        planes.pop()
    head = bytes([len(planes)]) + first.to_bytes(2, "little")
    return b2a_base64(head + b"".join(planes), newline=False).decode()


def unpack(text: str) -> int:
    """Return the histogram that ``pack`` wrote."""
    if not text:
        return 0
    data = a2b_base64(text)
    planes, first = data[0], int.from_bytes(data[1:_HEAD], "little")
    width = (len(data) - _HEAD) // planes
    digits = bytearray(width * _BYTES)
    for place in range(planes):
        digits[place::_BYTES] = data[_HEAD + place * width : _HEAD + (place + 1) * width]
    return int.from_bytes(digits, "little") << first * _BITS


def _digits(histogram: int) -> bytes:
    """Return the bytes of all digits, the lowest first."""
    buckets = -(-histogram.bit_length() // _BITS)
    return histogram.to_bytes(buckets * _BYTES, "little")


def _counts(histogram: int) -> Sequence[int]:
    """Return the calls of each bucket up to the last that has some."""
    digits = _digits(histogram)
    wide = bytearray(len(digits) // _BYTES * 8)
    for place in range(_BYTES):
        wide[place::8] = digits[place::_BYTES]
    counts = array("Q", bytes(wide))
    if counts and sys.byteorder == "big":
        counts.byteswap()
    return counts
