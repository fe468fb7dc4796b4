"""Histograms as whole numbers: what is added, packed and read again is what counting one by one says."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from app.state import histogram


def counted(chance: random.Random, times: int) -> Counter[int]:
    return Counter(histogram.bucket_of(round(900 * chance.lognormvariate(0, 2))) for _ in range(times))


@pytest.mark.parametrize("times", [0, 1, 2, 50, 3_000])
def test_sums_are_those_of_the_buckets_and_packing_loses_nothing(times: int) -> None:
    chance = random.Random(times)
    one, other = counted(chance, times), counted(chance, times)
    both = histogram.of(one.items()) + histogram.of(other.items())
    assert histogram.pairs(both) == sorted((one + other).items())
    assert histogram.unpack(histogram.pack(both)) == both


@pytest.mark.parametrize("calls", [1, 255, 256, 65_536, 2**32, 2**40 - 1])
@pytest.mark.parametrize("bucket", [0, 1, 141, 400, 900])
def test_any_number_of_calls_stands_in_any_bucket(bucket: int, calls: int) -> None:
    found = histogram.of([(bucket, calls), (bucket + 1, 1)])
    assert histogram.unpack(histogram.pack(found)) == found
    assert histogram.pairs(found) == [(bucket, calls), (bucket + 1, 1)]


def test_a_packed_histogram_is_short() -> None:
    some = histogram.of(counted(random.Random(7), 1_000).items())
    assert len(histogram.pack(some)) < 4 * len(histogram.pairs(some))


def test_percentiles_are_those_of_the_single_times() -> None:
    chance = random.Random(8)
    times = sorted(round(900 * chance.lognormvariate(0, 1)) for _ in range(999))
    found = histogram.percentiles(histogram.of((histogram.bucket_of(one), 1) for one in times), (50, 95, 99))
    for share, milliseconds in zip((50, 95, 99), found, strict=True):
        assert milliseconds is not None
        assert abs(milliseconds - times[math.ceil(share / 100 * 999) - 1]) <= 0.05 * milliseconds
