"""Budgets around each attempt: its worst case is reserved before it goes out, and settled at its end.

A target that a budget refuses is passed over. An attempt that touches no budget has its row of the ledger written
beside the calls, unless the call log is off. Tests: tests/governance/test_budgets.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from app.gateway.attempt_scope import AttemptLayer
from app.gateway.budgets.accounts import Accounts
from app.gateway.budgets.charges import Touch
from app.gateway.call import Attempt
from app.gateway.layers.base import Services
from app.state.ledger_rows import FREE


def make(services: Services) -> AttemptLayer:
    """Return the layer."""
    accounts, writes_all = services.accounts, services.settings.call_log != "off"

    def layer(attempt: Attempt) -> AbstractContextManager[None]:
        touches = accounts.touches_of(attempt.call, attempt.target)
        if touches:
            return _reserve(accounts, attempt, touches)
        is_noted = writes_all and attempt.call.operation not in FREE
        return _Note(accounts, attempt) if is_noted else nullcontext()

    return layer


@contextmanager
def _reserve(accounts: Accounts, attempt: Attempt, touches: list[Touch]) -> Iterator[None]:
    """Hold what an attempt may cost until it is over."""
    reservation = accounts.reserve(attempt, touches)
    try:
        yield
    finally:
        accounts.settle(reservation, attempt)


class _Note:
    """Writes the row of an attempt that touches no budget, when it is over."""

    __slots__ = ("_accounts", "_attempt", "_began")

    def __init__(self, accounts: Accounts, attempt: Attempt) -> None:
        self._accounts = accounts
        self._attempt = attempt

    def __enter__(self) -> None:
        self._began = self._accounts.clock()

    def __exit__(self, *raised: object) -> None:
        self._accounts.note(self._attempt, self._began)
