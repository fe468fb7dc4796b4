"""What a key asks about itself."""

from __future__ import annotations

from flask import Response, g

from app.gateway.budgets.charges import touches_of_caller as touches_of_budgets
from app.gateway.budgets.status import standing_rows as budget_rows
from app.gateway.limits.charges import lowest_of_each, touches_of_caller
from app.gateway.limits.headers import standing_rows
from app.gateway.owners import Owners
from app.surfaces.calls import current_gateway
from app.surfaces.replies.answers import json_response


def own() -> Response:
    """Describe the key that asks, without secrets, and how the limits stand
    that hold it at every level."""
    principal, gateway = g.principal, current_gateway()
    found = Owners(gateway.settings, gateway.state).key_of(principal.tenant, principal.key)
    shown = found or _keyless(principal.key, principal.tenant)
    touches = lowest_of_each(touches_of_caller(principal, gateway.settings.limits))
    limits = standing_rows(gateway.limits.peek(touches)) if touches else []
    owed = touches_of_budgets(principal, gateway.settings.budgets)
    accounts = gateway.accounts
    budgets = budget_rows(owed, accounts.standings(owed), accounts.clock())
    return json_response({**shown, "limits": limits, "budgets": budgets})


def _keyless(name: str, tenant: str) -> dict[str, object]:
    """Return what stands for the master key, and for whoever calls an open gateway."""
    return {"object": "key", "name": name, "tenant": tenant, "source": "config", "enabled": True}
