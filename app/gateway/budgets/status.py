"""Budgets as clients and operators see them: refusals, and the state of a key's budgets.

Tests: tests/gateway/test_budgets.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from app.config import NANO, budget_row
from app.errors import GatewayError
from app.gateway.budgets.charges import Touch
from app.gateway.budgets.periods import period_of
from app.state.budget_lines import Balance, ChargedBudget, Line


def refusal(touch: Touch, balance: Balance, amount: int, now: float) -> GatewayError:
    """Return the error of a call that a budget has not enough left for."""
    held = f" and ${dollars(balance.reserved)} reserved by running calls" if balance.reserved else ""
    message = (
        f"The budget of {touch.words} is exceeded: {_amount(touch)}, of which ${dollars(balance.spent)} are "
        f"spent{held}; this request may cost up to ${dollars(amount)}. {_renewal(touch, now)}"
    )
    return GatewayError("budget_exceeded", message)


def unpriced_error(touch: Touch, label: str) -> GatewayError:
    """Return the error of a budget that refuses a model with an unknown price."""
    return GatewayError(
        "budget_exceeded",
        f"The price of the model '{label}' is unknown, and the budget of {touch.words} ({_amount(touch)}) pays for "
        'models of known price only (unpriced = "deny").',
        param="model",
    )


def balance_rows(touches: Sequence[Touch], balances: Sequence[Balance], now: float) -> list[dict[str, Any]]:
    """Return budgets in the file's words, each with its level, what is spent, reserved and left (dollars), and
    when it starts anew (Unix seconds, None for a total)."""
    return [
        {
            **budget_row(touch.budget),
            "level": touch.level,
            "spent": balance.spent / NANO,
            "reserved": balance.reserved / NANO,
            "remaining": max(0, touch.budget.most - balance.spent - balance.reserved) / NANO,
            "resets_at": period_of(touch.budget.per, now)[1],
        }
        for touch, balance in zip(touches, balances, strict=True)
    ]


def as_charged(lines: Sequence[Line], balances: Sequence[Balance]) -> list[ChargedBudget]:
    """Return budgets as a charge returns them, as if no alert had reported any threshold."""
    return [
        ChargedBudget(
            one.id, one.level, one.owner, one.per, one.models, one.period, balance.spent, 0, one.most
        )
        for one, balance in zip(lines, balances, strict=True)
    ]


def dollars(nano: int) -> str:
    """Return nano-dollars as dollars, with two digits behind the point or as many as there are."""
    whole, rest = divmod(abs(nano), NANO)
    digits = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if nano < 0 else ''}{whole}.{digits}"


def moment(seconds: float) -> str:
    """Return Unix seconds as RFC 3339."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _amount(touch: Touch) -> str:
    budget = touch.budget
    about = f" for '{budget.models}'" if budget.models else ""
    span = "in total" if budget.per == "total" else f"per {budget.per}"
    return f"${dollars(budget.most)} {span}{about}"


def _renewal(touch: Touch, now: float) -> str:
    end = period_of(touch.budget.per, now)[1]
    return "It does not start anew." if end is None else f"It starts anew at {moment(end)}."
