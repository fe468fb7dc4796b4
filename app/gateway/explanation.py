"""Explain a call without running it: its limits, budgets, targets and refusal, by the functions that decide them.

No provider is called and nothing is charged. What a turn refers to is read from the store, as in a real turn.
Tests: tests/governance/test_explain.py (200 drawn requests), tests/governance/test_explained_configurations.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from app.config import NANO
from app.dialects.shared.losses import Loss, warning_rows
from app.errors import GatewayError
from app.gateway import context_windows
from app.gateway.allowances import Allowance
from app.gateway.budgets.charges import touches_of_caller as budgets_of_caller
from app.gateway.budgets.status import balance_rows as budget_rows
from app.gateway.call import Call, Principal, Target
from app.gateway.context_management import MEMBER, preview
from app.gateway.core import Gateway
from app.gateway.driver import more_retryable
from app.gateway.estimates import tokens_of_body
from app.gateway.layers.limits import is_queued
from app.gateway.layers.provider_limits import passed_over
from app.gateway.limits import headers
from app.gateway.limits.charges import touches_of_call, touches_of_target
from app.gateway.limits.gate import Admission
from app.gateway.operations import encode
from app.gateway.plan import Planned, Route, no_target
from app.gateway.prompt_hosts import EstimateHost
from app.gateway.request_turn import check_budgets
from app.gateway.retries import may_continue
from app.gateway.strategies import MEASURED

Json = dict[str, Any]

_NEXT: Final = "next choice"
_OMISSION: Final = "left out"
_COMPACTION: Final = Loss(
    MEMBER, "The history is compacted first, by one more call of the model; its cost is part of the estimate."
)


def explain(gateway: Gateway, call: Call) -> Json:
    """Return the explanation of a call; raises ``store_unavailable``, and ``overloaded`` without Redis."""
    call.progress.only_looks = True
    refusal, limits = _limits(gateway, call)
    frame = {**_frame(gateway, call.principal), "limits": limits}
    try:
        call = call if call.host is None else call.host.preview(gateway, call)
    except GatewayError as error:
        return {**frame, **_empty_plan(_show_refusal(call, refusal or error))}
    if isinstance(call.host, EstimateHost):
        return {**frame, **_empty_plan(_show_refusal(call, refusal)), "cost_estimate": 0}
    route = call.progress.route = gateway.preview(call)
    call, summary = preview(call, gateway.prices)
    cache = gateway.cache_of(call)
    steps = _steps(gateway, call, route)
    first = _first_row(steps)
    before = None if summary is None else _first_row(_steps(gateway, summary, route))
    if first is not None and before is not None:
        first["adjusted"] = [*first["adjusted"], *warning_rows([_COMPACTION])]
    costs = [row["cost_estimate"] for row in (first, before) if row is not None]
    if refusal is None and cache != "hit":
        refusal = _queue_error(gateway, call) if is_queued(call) else _driver_error(call, steps)
    return {
        **frame,
        "targets": [step.row for step in steps if step.row is not None],
        "cost_estimate": 0 if cache == "hit" else None if first is None or None in costs else sum(costs),
        "refused": _show_refusal(call, refusal),
        "cache": cache,
    }


def explain_rejection(gateway: Gateway, principal: Principal, error: GatewayError, status: int) -> Json:
    """Return the explanation of a request that ``error`` refuses before it is a call."""
    return {**_frame(gateway, principal), "limits": [], **_empty_plan(refusal_row(error, status))}


def _empty_plan(refusal: Json | None) -> Json:
    return {"targets": [], "cost_estimate": None, "refused": refusal, "cache": "off"}


def _show_refusal(call: Call, error: GatewayError | None) -> Json | None:
    return None if error is None else refusal_row(error, call.status_of(error))


def refusal_row(error: GatewayError, status: int) -> Json:
    """Return a refusal as a client gets it."""
    body = error.body()
    return {"status": status, "code": body.get("code"), "message": body.get("message")}


def _frame(gateway: Gateway, principal: Principal) -> Json:
    touches = budgets_of_caller(principal, gateway.settings.budgets)
    accounts = gateway.accounts
    return {
        "object": "explanation",
        "key": {
            "id": principal.id,
            "name": principal.key,
            "tenant": principal.tenant,
            "allowances": [_allowance(level) for level in principal.allowances],
        },
        "budgets": budget_rows(touches, accounts.balances(touches), accounts.clock()),
    }


def _allowance(level: Allowance) -> Json:
    """Return what one level may use, None for all."""
    return {
        "models": None if level.models is None else list(level.models),
        "operations": None if level.operations is None else sorted(level.operations),
    }


def _limits(gateway: Gateway, call: Call) -> tuple[GatewayError | None, list[Json]]:
    """Return the error of the limits that refuse the call, if one does, and their rows."""
    touches = touches_of_call(call, gateway.settings.limits, gateway.preview)
    if is_queued(call):
        touches = [touch for touch in touches if touch.limit.kind != "concurrent"]
    if not touches:
        return None, []
    admission = gateway.limits.peek(touches)
    return _refusal(admission, tokens_of_body(call.body)), headers.standing_rows(admission)


def _refusal(admission: Admission, tokens: int) -> GatewayError | None:
    """Return the refusal of a call of ``tokens`` (estimated) by limits that were only read."""
    charges = tuple(
        charge._replace(amount=touch.charge(tokens).amount)
        for touch, charge in zip(admission.touches, admission.charges, strict=True)
    )
    decision = admission.decision
    over = [
        (decision.resets[place] if charge.amount <= charge.most else math.inf, place)
        for place, charge in enumerate(charges)
        if decision.used[place] + charge.amount > charge.most
    ]
    if not over:
        return None
    wait, place = max(over)
    seconds = charges[place].seconds if math.isinf(wait) else wait
    refused = decision._replace(refused=place, wait=seconds)
    return headers.refusal(admission._replace(charges=charges, decision=refused))


class _Step(NamedTuple):
    """One step of the route: its row (None for a candidate that is no target), the error for which it would be
    skipped, and whether a layer raises that error."""

    row: Json | None
    error: GatewayError | None
    by_layer: bool = False


def _first_choice(gateway: Gateway, call: Call, count: int) -> str:
    """Say why the first of ``count`` steps is the first."""
    strategy = gateway.router.strategy(call.candidates[0])
    words = "first choice" + (f", by '{strategy}'" if strategy in MEASURED else "")
    if count < 2:
        return words
    if gateway.router.draws(call):
        stickiness = gateway.router.stickiness(call)
        how = f"by {stickiness.name}" if stickiness else "drawn by weight: another call may draw otherwise"
        words = f"{words}, {how}"
    return f"{words}; one call in twenty goes elsewhere" if gateway.router.explores(call) else words


def _steps(gateway: Gateway, call: Call, route: Route) -> list[_Step]:
    """Return the steps in order; the first that would be tried says why it is the first."""
    steps: list[_Step] = []
    choice = _first_choice(gateway, call, len(route.steps))
    for step in route.steps:
        steps.append(_step(gateway, call, step, choice))
        choice = choice if steps[-1].error is not None else _NEXT
    return steps


def _first_row(steps: Sequence[_Step]) -> Json | None:
    """Return the row of the first step that would be tried."""
    return next((step.row for step in steps if step.error is None), None)


def _step(gateway: Gateway, call: Call, step: Planned | GatewayError, choice: str) -> _Step:
    if isinstance(step, GatewayError):
        return _Step(None, step)
    target = step.target
    outlook = gateway.accounts.preview(call, target)
    losses, encoding_error = _losses(call, step)
    refusal = _provider_limit(gateway, call, target) or outlook.refused
    error, cost = refusal or encoding_error, outlook.estimate.cost
    row = {
        "provider": target.provider.name,
        "model": target.model,
        "key": target.key.name if target.key else None,
        "reason": f"passed over: {error.message}"
        if error
        else f"{choice}{_circuit_state(gateway, call, target)}",
        "mode": None if isinstance(step.plan, GatewayError) else step.plan.way,
        "cost_estimate": None if cost is None else cost / NANO,
        "adjusted": warning_rows(loss for loss in losses if _OMISSION not in loss.message),
        "dropped": warning_rows(loss for loss in losses if _OMISSION in loss.message),
    }
    return _Step(row, error, by_layer=refusal is not None)


def _driver_error(call: Call, steps: Sequence[_Step]) -> GatewayError | None:
    """Return the error that the driver would end in, None where a target can be tried."""
    first: GatewayError | None = None
    refusal: GatewayError | None = None
    for row, error, by_layer in steps:
        if error is None:
            return None
        if by_layer:
            refusal = more_retryable(refusal, error)
        else:
            first = first or error
        if row is not None and not by_layer and not may_continue(call, error):
            break
    return first or refusal or no_target(call)


def _queue_error(gateway: Gateway, call: Call) -> GatewayError | None:
    """Return the error that keeps a background response out of the queue, None where it would be queued."""
    try:
        call.progress.route.first(call, lambda planned: encode(call, planned))
        check_budgets(gateway, call)
    except GatewayError as error:
        return error
    return None


def _circuit_state(gateway: Gateway, call: Call, target: Target) -> str:
    """Return in words what moves a target behind others, or before them."""
    name, key = target.provider.name, target.key.name if target.key else ""
    words = context_windows.describe_shortage(target, call, gateway.prices.window)
    if call.realm is not None and target.provider.realm(target.key) == call.realm:
        words += "; its account holds what the request refers to"
    if gateway.key_cooldowns is not None and key in gateway.key_cooldowns.seconds(name):
        words += "; its key was refused lately"
    if gateway.breaker is not None and (name, target.model, key) in gateway.breaker.open_circuits():
        words += "; it rests"
    return words


def _losses(call: Call, step: Planned) -> tuple[Sequence[Loss], GatewayError | None]:
    """Return what the target would not get, and the error of a request that it cannot take."""
    try:
        exchange, _ = encode(call, step)
    except GatewayError as error:
        return (), error
    return [*call.left_out, *exchange.losses.items], None


def _provider_limit(gateway: Gateway, call: Call, target: Target) -> GatewayError | None:
    touches = touches_of_target(target)
    if not touches:
        return None
    error = _refusal(gateway.limits.peek(touches), tokens_of_body(call.full_body))
    return None if error is None else passed_over(call, error)
