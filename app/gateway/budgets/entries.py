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
from app.state.ledger_rows import Entry, State, row_id

_Ending = tuple[State, int | None, Usage | None, Mapping[str, Any] | None]
"""How an attempt ended: the state of its row, its cost in nano-dollars, its usage, and the details of the cost."""


def draft_of(attempt: Attempt, began: float, estimate: Estimate) -> Entry:
    """Return the row of an attempt that starts at ``began``, as it is written if the end stays unknown."""
    return _entry(attempt, began, ("lost", estimate.cost, None, None))


def entry_of(attempt: Attempt, began: float, prices: PriceList) -> Entry:
    """Return the row of an attempt that is over, for which nothing was reserved."""
    return _entry(attempt, began, _ending(attempt, prices))


def settle(draft: Entry, attempt: Attempt, prices: PriceList) -> Entry:
    """Return the row of an attempt that is over; ``draft`` knows what was reserved."""
    state, cost, usage, details = _ending(attempt, prices, draft.cost)
    return draft._replace(state=state, cost=cost, usage=counts(usage), cost_details=details)


def _entry(attempt: Attempt, began: float, ending: _Ending) -> Entry:
    call, target = attempt.call, attempt.target
    state, cost, usage, details = ending
    return Entry(
        row_id(attempt.id),
        attempt.id,
        call.id,
        began,
        call.principal.tenant,
        call.principal.key,
        call.model,
        target.provider.name,
        target.model,
        attempt.key,
        request_type(call.operation, call.stream),
        state,
        cost,
        counts(usage),
        details,
        key_id=call.principal.id,
    )


def _ending(attempt: Attempt, prices: PriceList, reserved: int | None = None) -> _Ending:
    """Return how an attempt ended.

    What a provider counted is settled. What broke off unheard is estimated: its input, and what it sent so far, never above
    what was reserved. What cost nothing is settled with 0, an unknown price with None."""
    usage = attempt.usage
    if attempt.complete or (usage is not None and not usage.estimated):
        state: State = "estimated" if usage is not None and usage.estimated else "settled"
        return state, cost_of(attempt.cost), usage, attempt.cost
    if not _may_have_cost(attempt):
        return "settled", 0, usage, None
    sent = usage.output_tokens if usage is not None else 0
    guess = Usage(tokens_of_body(attempt.call.full_body), sent, estimated=True)
    details = prices.cost(attempt.target, guess)
    cost = cost_of(details)
    if cost is not None and reserved is not None:
        cost = min(cost, reserved)
    return "estimated", cost, guess, details


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
        key_id=call.principal.id,
    )


def counts(usage: Usage | None) -> dict[str, int] | None:
    """Return the tokens of a usage by kind."""
    if usage is None:
        return None
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }


def _may_have_cost(attempt: Attempt) -> bool:
    """Whether the provider may have charged an attempt without usage: it broke off or was stopped. An error answer of
    the provider costs nothing."""
    stopped = attempt.call.abort.reason is not None or attempt.error is None
    return attempt.maybe_charged or attempt.usage is not None or stopped
