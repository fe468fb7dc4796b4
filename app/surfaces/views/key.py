"""The view of ``GET /v1/key``: what a key may read about itself."""

from __future__ import annotations

from flask import Response, g

from app.gateway.budgets.charges import touches_of_caller as touches_of_budgets
from app.gateway.budgets.status import balance_rows as budget_rows
from app.gateway.limits.charges import lowest_of_each, touches_of_caller
from app.gateway.limits.headers import standing_rows
from app.gateway.owners import Owners
from app.surfaces.calls import current_gateway
from app.surfaces.replies.answers import json_response


def retrieve() -> Response:
    """Describe the caller's key without secrets, with its limits and budgets at every level."""
    principal, gateway, accounts = g.principal, current_gateway(), current_gateway().accounts
    name, tenant = principal.key, principal.tenant
    key = Owners(gateway.settings, gateway.state, gateway.cache_store).key_of(principal)
    if key is None:  # the master key, or a caller of an open gateway
        key = {"object": "key", "name": name, "tenant": tenant, "source": "config", "enabled": True}
    touches = lowest_of_each(touches_of_caller(principal, gateway.settings.limits))
    limits = standing_rows(gateway.limits.peek(touches)) if touches else []
    budgets = touches_of_budgets(principal, gateway.settings.budgets)
    rows = budget_rows(budgets, accounts.balances(budgets), accounts.clock())
    return json_response({**key, "limits": limits, "budgets": rows})
