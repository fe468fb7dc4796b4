"""Rows of the ledger, made of attempts: what one used up, what it is charged, and how sure that is.

Tests: tests/governance/test_budgets.py, tests/gateway/test_budgets.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Final

from app.canonical.response import Usage
from app.gateway.budgets.estimates import Estimate, cost_of
from app.gateway.call import Attempt, Call
from app.gateway.cost import PriceList
from app.gateway.estimates import tokens_of_body
from app.operations import request_type
from app.state.ids import new_id
from app.state.ledger_rows import COUNTS, Entry, State, row_id
from app.wire.json import dumps

_Ending = tuple[State, int | None, Usage | None, Mapping[str, Any] | None]
"""How an attempt ended: the state of its row, its cost in nano-dollars, its usage, and the details of the cost."""


def draft_of(attempt: Attempt, began: float, estimate: Estimate) -> Entry:
    """Return the row of an attempt that starts at ``began``, as it is written if the end stays unknown."""
    return _entry(attempt, began, began, ("lost", estimate.cost, None, None))


def entry_of(attempt: Attempt, began: float, now: float, prices: PriceList) -> Entry:
    """Return the row of an attempt that is over ``now``, for which nothing was reserved."""
    return _entry(attempt, began, max(now, began), _ending(attempt, prices))


def settle(draft: Entry, attempt: Attempt, prices: PriceList) -> Entry:
    """Return the row of an attempt that is over; ``draft`` knows what was reserved."""
    return _entry(attempt, draft.period_at, draft.created_at, _ending(attempt, prices, draft.cost))


def _entry(attempt: Attempt, began: float, ended: float, ending: _Ending) -> Entry:
    call, target = attempt.call, attempt.target
    principal = call.principal
    state, cost, usage, details = ending
    return Entry(
        row_id(attempt.id),
        ended,
        began,
        attempt.id,
        call.id,
        principal.tenant,
        principal.key,
        call.model,
        target.provider.name,
        target.model,
        None if target.key is None else target.key.name,
        request_type(call.operation, call.stream),
        *_tokens(usage),
        cost,
        _json(details),
        state,
        None,
        None,
        principal.id,
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
    attempt_id, principal = new_id("att"), call.principal
    return Entry(
        row_id(attempt_id),
        now,
        now,
        attempt_id,
        call.id,
        principal.tenant,
        principal.key,
        call.model,
        provider,
        model,
        None,
        request_type(call.operation, call.stream),
        *_tokens(usage),
        0,
        None,
        "cached",
        key_id=principal.id,
    )


def counts(usage: Usage | None) -> dict[str, int | None] | None:
    """Return the tokens of a usage by kind."""
    if usage is None:
        return None
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }


_Tokens = tuple[int | None, int | None, int | None, int | None]
_COUNTS_OF: Final[Callable[[Usage], _Tokens]] = attrgetter(*COUNTS)
_UNCOUNTED: Final[_Tokens] = (None, None, None, None)


def _tokens(usage: Usage | None) -> _Tokens:
    """Return the tokens of a usage in the order of ``COUNTS``."""
    return _UNCOUNTED if usage is None else _COUNTS_OF(usage)


def _json(details: Mapping[str, Any] | None) -> bytes | None:
    return None if details is None else dumps(details, parsed=True)


def _may_have_cost(attempt: Attempt) -> bool:
    """Whether the provider may have charged an attempt without usage: it broke off or was stopped. An error answer of
    the provider costs nothing, nor does what was stopped before anything was sent."""
    return attempt.maybe_charged or attempt.usage is not None
