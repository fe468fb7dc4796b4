"""Corrections of the ledger by an operator: what an attempt that was lost or estimated really cost.

Tests: tests/surfaces/test_ledger.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from app.canonical.response import Usage
from app.config import nano_of
from app.errors import GatewayError
from app.gateway.budgets.accounts import Accounts
from app.gateway.budgets.entries import counts
from app.gateway.budgets.estimates import cost_of
from app.gateway.call import Target
from app.gateway.cost import PriceList
from app.gateway.router import Registry
from app.state.audit import Actor
from app.state.ledger import Correction
from app.state.ledger_rows import Entry
from app.state.state import State

STATES: Final = ("settled", "estimated", "lost", "cached")


class Ledgers(Protocol):
    """What a correction needs of the gateway."""

    prices: PriceList
    registry: Registry
    accounts: Accounts

    def state(self) -> State: ...


def correct(office: Ledgers, actor: Actor, entry_id: str, members: Mapping[str, Any]) -> dict[str, Any]:
    """Write what a row really cost, by checked members; return the row that corrects it.

    Raises ``not_found``, ``conflict``, and ``bad_request`` for a usage without a known price."""
    book = office.state().ledger
    if "usd" in members:
        correction = Correction(nano_of(members["usd"]), members["reason"])
    else:
        correction = _price(office, book.entry(entry_id), members)
    row, charged = book.correct(actor, entry_id, correction)
    office.accounts.check_alerts(charged)
    return row


def _price(office: Ledgers, entry: Entry, members: Mapping[str, Any]) -> Correction:
    """Return the correction that a usage makes, at the price of the row's model as it is now."""
    usage = Usage(**members["usage"])
    details = None
    if entry.provider in office.registry.names and entry.model is not None:
        details = office.prices.cost(Target(office.registry.get(entry.provider), entry.model, None), usage)
    cost = cost_of(details)
    if cost is None:
        raise GatewayError(
            "bad_request",
            f"The price of '{entry.provider}/{entry.model}' is unknown; give 'usd' instead.",
            param="usage",
            code="invalid_value",
        )
    return Correction(cost, members["reason"], counts(usage), details)
