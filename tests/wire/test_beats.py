"""Loops that look now and then wake at the same moments."""

import pytest

from app.wire import beats


@pytest.mark.parametrize(
    ("now", "seconds", "rest"),
    [(10.25, 0.5, 0.25), (10.25, 1.0, 0.75), (10.0, 2.0, 2.0), (10.99, 0.5, 0.51), (10.99, 2.0, 1.01)],
)
def test_a_loop_wakes_at_the_next_beat_but_not_at_once(
    monkeypatch: pytest.MonkeyPatch, now: float, seconds: float, rest: float
) -> None:
    monkeypatch.setattr(beats.time, "monotonic", lambda: now)
    assert beats.until_beat(seconds) == pytest.approx(rest)
