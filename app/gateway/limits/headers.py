"""The limits as a client sees them: headers of answers, and refusals.

The names and forms of the headers are those of the caller's dialect. Tests: tests/gateway/test_limits.py, tests/governance.
"""

from __future__ import annotations

import math
from typing import Any, Final

from app.config import limit_rows
from app.dialects.shared.rate_limits import LimitHeaders, duration
from app.errors import GatewayError
from app.gateway.limits.charges import Touch
from app.gateway.limits.gate import Admission

_HEADED: Final = ("requests", "tokens")


def headers_of(admission: Admission, write: LimitHeaders, now: float) -> dict[str, str]:
    """Return the headers that tell how the tightest limit of each kind stands, as ``write`` makes them."""
    tightest: dict[str, tuple[int, int, float]] = {}
    decision, charges = admission.decision, admission.charges
    for place, touch in enumerate(admission.touches):
        kind, most, _, _ = touch.limit
        left = charges[place].most - decision.used[place]
        if kind not in tightest or left < tightest[kind][1]:
            tightest[kind] = most, left, decision.resets[place]
    headers: dict[str, str] = {}
    for kind in _HEADED:
        if kind in tightest:
            most, left, reset = tightest[kind]
            headers |= write(kind, most, left if left > 0 else 0, reset, now)
    return headers


def standing_rows(admission: Admission) -> list[dict[str, Any]]:
    """Return limits in the file's words, each with its level, what remains, and the seconds until all is
    free again."""
    rows, decision = limit_rows(touch.limit for touch in admission.touches), admission.decision
    return [
        {
            **row,
            "level": touch.level,
            "remaining": max(0, charge.most - used),
            "reset": math.ceil(reset),
        }
        for row, touch, charge, used, reset in zip(
            rows, admission.touches, admission.charges, decision.used, decision.resets, strict=True
        )
    ]


def refusal(admission: Admission) -> GatewayError:
    """Return the error of a call that is refused; it names the limit's level and window."""
    place = admission.decision.refused or 0
    touch, charge = admission.touches[place], admission.charges[place]
    wait = max(1, math.ceil(admission.decision.wait))
    if charge.amount > charge.most:
        message = (
            f"This request is estimated at {charge.amount} tokens, above the whole limit of {touch.words}: "
            f"{_amount(touch)}. Make it smaller."
        )
    else:
        message = f"Rate limit reached for {touch.words}: {_amount(touch)}. Try again in {duration(wait)}."
    kind = touch.limit.kind if touch.limit.kind in _HEADED else None
    return GatewayError("rate_limited", message, type=kind, retry_after=wait)


def _amount(touch: Touch) -> str:
    limit = touch.limit
    about = f" for '{limit.models}'" if limit.models else ""
    unit = "concurrent calls" if limit.per is None else limit.kind
    amount = f"{limit.most} {unit if limit.most != 1 else unit.removesuffix('s')}"
    return f"{amount}{about}" if limit.per is None else f"{amount} per {limit.per}{about}"
