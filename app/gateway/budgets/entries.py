"""Rows of the ledger, made of attempts: what one used up, what it is charged, and how sure that is.

Tests: tests/governance/test_budgets.py, tests/gateway/test_budgets.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.canonical.response import Usage
from app.gateway.budgets.estimates import Estimate, cost_of
from app.gateway.call import Attempt, Call
from app.gateway.cost import PriceList
from app.gateway.estimates import tokens_of_body
from app.operations import request_type
from app.state.ids import new_id
from app.state.ledger_rows import COUNTS, Entry, row_id


def draft_of(attempt: Attempt, began: float, estimate: Estimate | None = None) -> Entry:
    """Return the row of an attempt that starts at ``began``, as it is written if the end stays unknown."""
    return _row(attempt, began, {"state": "lost", "cost": None if estimate is None else estimate.cost})


def entry_of(attempt: Attempt, began: float, prices: PriceList) -> Entry:
    """Return the row of an attempt that is over, for which nothing was reserved."""
    return _row(attempt, began, _end_of(attempt, prices, None))


def _row(attempt: Attempt, began: float, end: Mapping[str, Any]) -> Entry:
    call = attempt.call
    return Entry(
        id=row_id(attempt.id),
        attempt_id=attempt.id,
        call_id=call.id,
        period_at=began,
        tenant=call.principal.tenant,
        key=call.principal.key,
        asked=call.model,
        provider=attempt.provider,
        model=attempt.model,
        provider_key=attempt.key,
        request_type=request_type(call.operation, call.stream),
        **end,
    )


def settle(draft: Entry, attempt: Attempt, prices: PriceList) -> Entry:
    """Return the row of an attempt that is over; ``draft`` knows what was reserved."""
    return draft._replace(**_end_of(attempt, prices, draft.cost))


def _end_of(attempt: Attempt, prices: PriceList, reserved: int | None) -> dict[str, Any]:
    """Return state, cost and usage of an attempt that is over.

    What a provider counted is settled. What broke off unheard is estimated: its input, and what it sent so far, never above
    what was reserved. What cost nothing is settled with 0, an unknown price with None."""
    usage = attempt.usage
    if attempt.complete or (usage is not None and not usage.estimated):
        state = "estimated" if usage is not None and usage.estimated else "settled"
        cost = cost_of(attempt.cost)
        return {"state": state, "cost": cost, "usage": counts(usage), "cost_details": attempt.cost}
    if not _may_have_cost(attempt):
        return {"state": "settled", "cost": 0, "usage": counts(usage)}
    sent = usage.output_tokens if usage is not None else 0
    guess = Usage(tokens_of_body(attempt.call.full_body), sent, estimated=True)
    details = prices.cost(attempt.target, guess)
    cost = cost_of(details)
    if cost is not None and reserved is not None:
        cost = min(cost, reserved)
    return {"state": "estimated", "cost": cost, "usage": counts(guess), "cost_details": details}


def cached_entry(call: Call, provider: str, model: str, usage: Usage | None, now: float) -> Entry:
    """Return the row of a call that the cache answered, with what the answer was once counted."""
    attempt_id = new_id("att")
    return Entry(
        id=row_id(attempt_id),
        attempt_id=attempt_id,
        call_id=call.id,
        period_at=now,
        tenant=call.principal.tenant,
        key=call.principal.key,
        asked=call.model,
        provider=provider,
        model=model,
        provider_key=None,
        request_type=request_type(call.operation, call.stream),
        state="cached",
        cost=0,
        usage=counts(usage),
    )


def counts(usage: Usage | None) -> dict[str, int] | None:
    """Return the tokens of a usage by kind."""
    return None if usage is None else {name: getattr(usage, name) for name in COUNTS}


def _may_have_cost(attempt: Attempt) -> bool:
    """Whether the provider may have charged an attempt without usage: it broke off or was stopped. An error answer of
    the provider costs nothing."""
    stopped = attempt.call.abort.reason is not None or attempt.error is None
    return attempt.maybe_charged or attempt.usage is not None or stopped
