"""Budgets around each attempt: its worst case is reserved before it goes out, and settled at its end.

A target that a budget refuses is passed over. An attempt that touches no budget has its row of the ledger written
beside the calls, unless the call log is off. Tests: tests/governance/test_budgets.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from app.gateway.budgets.accounts import FREE
from app.gateway.call import Attempt
from app.gateway.driver import AttemptLayer
from app.gateway.layers.base import House


def make(house: House) -> AttemptLayer:
    """Return the layer."""
    accounts, writes_all = house.accounts, house.settings.call_log != "off"

    @contextmanager
    def layer(attempt: Attempt) -> Iterator[None]:
        touches = accounts.touches_of(attempt.call, attempt.target)
        if not touches:
            began = accounts.clock()
            try:
                yield
            finally:
                if writes_all and attempt.call.operation not in FREE:
                    accounts.note(attempt, began)
            return
        reservation = accounts.reserve(attempt, touches)
        try:
            yield
        finally:
            accounts.settle(reservation, attempt)

    return layer
