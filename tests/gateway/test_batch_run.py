"""How long a line of a batch waits that was refused."""

from __future__ import annotations

import pytest

from app.errors import GatewayError
from app.gateway.batch_run import pause_after


@pytest.mark.parametrize(
    ("kind", "retry_after", "before", "seconds"),
    [
        ("rate_limited", 3, 0, 3),
        ("rate_limited", 3, 9, 3),
        ("rate_limited", 60, 0, 10),
        ("overloaded", None, 5, 1),
        ("budget_exceeded", None, 0, 1),
        ("budget_exceeded", None, 3, 8),
        ("budget_exceeded", None, 6, 60),
        ("budget_exceeded", None, 100_000, 60),
    ],
)
def test_a_line_waits_longer_each_time_that_a_budget_refuses_it(
    kind: str, retry_after: int | None, before: int, seconds: float
) -> None:
    assert pause_after(GatewayError(kind, "no", retry_after=retry_after), before) == seconds
