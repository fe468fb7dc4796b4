"""Waits read from rate-limit counters: the forms that vendors send, and what is none."""

from __future__ import annotations

import pytest

from app.dialects.shared.rate_limits import reset_wait

DATE = {"date": "Thu, 01 Jan 2026 00:00:00 GMT"}


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("12ms", 0.012),
        ("0s", 0.0),
        ("6m0s", 360.0),
        ("1h2m3.5s", 3723.5),
        ("2d", 172_800.0),
        ("59.56", 59.56),
        ("0", 0.0),
        ("1767225630", 30.0),
        ("1767225630000", 30.0),
        ("2026-01-01T00:01:00Z", 60.0),
        ("2026-01-01T00:01:00", 60.0),
        ("2025-12-31T23:00:00+00:00", 0.0),
        ("9999999999999", 9_999_999_999.999 - 1_767_225_600),
        ("99999999999999", None),
        ("soon", None),
        ("", None),
        ("-5", None),
        ("5s5", None),
        ("1e9", None),
        ("nan", None),
        ("1s" * 100, None),
    ],
)
def test_a_used_up_limit_tells_its_wait(value: str, wait: float | None) -> None:
    found = reset_wait({"x-ratelimit-reset-tokens": value, "x-ratelimit-remaining-tokens": "0", **DATE})

    assert found == (None if wait is None else pytest.approx(wait))


def test_only_limits_that_are_used_up_count_and_the_longest_decides() -> None:
    headers = {
        "x-ratelimit-reset-requests": "90s",
        "x-ratelimit-remaining-requests": "3",
        "x-ratelimit-reset-tokens": "20s",
        "x-ratelimit-remaining-tokens": "0",
        "anthropic-ratelimit-input-tokens-reset": "2026-01-01T00:00:40Z",
        "anthropic-ratelimit-input-tokens-remaining": "0",
        "x-ratelimit-reset": "7s",
    }
    assert reset_wait({**headers, **DATE}) == 40.0
    assert reset_wait(headers) == 20.0
    assert reset_wait({"x-ratelimit-reset": "7s"}) == 7.0  # of a limit that says nothing of the rest
