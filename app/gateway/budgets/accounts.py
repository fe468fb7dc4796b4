"""The accounts of one process: what its running attempts have reserved, and what is still to be settled.

An attempt waits for its reservation and for nothing else: it is settled in a greenlet of its own. While the database is
away, what ended meanwhile is kept and settled later. Every process renews what its attempts hold, and looks for
what others that are gone have left. Tests: tests/governance/test_budgets.py, tests/governance/test_budgets_of_many.py.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import gevent
from gevent.pool import Group

from app.canonical.record import record
from app.canonical.response import Usage
from app.config import Settings
from app.errors import GatewayError
from app.gateway.budgets import entries, status
from app.gateway.budgets.alerts import AlertSender
from app.gateway.budgets.charges import Touch, concerns_entry, touches_of_caller, touches_of_target
from app.gateway.budgets.estimates import Estimate, worst_case
from app.gateway.budgets.periods import PERS, period_of
from app.gateway.budgets.spool import Spool
from app.gateway.budgets.writer import EntryWriter
from app.gateway.call import Attempt, Call, Target
from app.gateway.cost import PriceList
from app.gateway.metric_series import Counter
from app.state.budget_lines import Balance, ChargedBudget, Line, Reserved, first_refused
from app.state.ledger_rows import FREE, Entry
from app.state.loops import Loop
from app.wire.beats import until_beat
from app.wire.egress import Egress

if TYPE_CHECKING:
    from app.state.budgets import Budgets
    from app.state.state import State


_LOG: Final = logging.getLogger(__name__)
_MOST_UNSETTLED: Final = 10_000
_LONGEST_LOOK: Final = 10.0
_CLOSING: Final = 5.0
_JOIN_SECONDS: Final = 600.0
_DAY: Final = 86_400.0

_SPREAD: Final = 2.0
"""Seconds after which every process knows of a change of keys, and has written the rows that it had queued."""

_LOOKS_FOR_DOUBTFUL: Final = 3
"""How often a reservation is looked for of which the database did not answer: it may be made after the first look."""

_SECOND_LOOK: Final = 0.03
"""Seconds that a refused attempt waits where running calls hold what it lacks: their answers may be out already."""


@record
class Reservation:
    """The reservations of an attempt, with the ledger row that is written if it is never settled."""

    draft: Entry
    touches: tuple[Touch, ...]


class Preview(NamedTuple):
    """What an attempt would meet: budgets and how they stand, what it may cost, and the error of a refusal."""

    touches: tuple[Touch, ...]
    balances: tuple[Balance, ...]
    estimate: Estimate
    refused: GatewayError | None


class Accounts:
    """Reserves and settles. ``state`` opens the store; ``clock`` gives Unix seconds."""

    def __init__(
        self,
        settings: Settings,
        prices: PriceList,
        state: Callable[[], State],
        egress: Egress,
        metrics: Counter | None = None,
        most_output: Callable[[str, str], int | None] = lambda provider, model: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._prices = prices
        self._state = state
        self._most_output = most_output
        self.clock = clock
        self._joined_at = 0.0
        spool = None if settings.spool is None else Spool(settings.spool)
        self._spool = spool
        self.writer = EntryWriter(state, spool, metrics, self.charge_others)
        self._alerts = AlertSender(settings, state, egress, metrics, clock)
        self._held: set[str] = set()
        self._doubtful: dict[str, int] = {}
        self._settling = Group()
        self._unsettled: deque[Entry] = deque()
        self._loop = Loop(self._run)

    # --- for attempts --------------------------------------------------------------------------

    def touches_of(self, call: Call, target: Target) -> list[Touch]:
        """Return the budgets that an attempt is charged to; none where the operation costs nothing."""
        principal, gateway = call.principal, self._settings.budgets
        has_any = principal.budgets or principal.tenant_budgets or gateway
        if call.operation in FREE or not has_any:
            return []
        return touches_of_target(principal, gateway, target.label, call.candidates)

    def estimate_of(self, call: Call, target: Target) -> Estimate:
        """Return what an attempt may cost at most."""
        most = self._settings.budget_output
        known = self._most_output(target.provider.name, target.model)
        most = most if known is None else min(known, most)
        return worst_case(self._prices, target, call.operation, call.full_body, most)

    def reserve(self, attempt: Attempt, touches: Sequence[Touch]) -> Reservation:
        """Reserve what an attempt may cost; raises ``budget_exceeded``, and ``store_unavailable``."""
        now, estimate = self.clock(), self.estimate_of(attempt.call, attempt.target)
        check_priced(touches, estimate, attempt.target.label)
        draft = entries.draft_of(attempt, now, estimate)
        lines = [touch.line(now) for touch in touches]
        try:
            verdict = self._reserve(draft, lines, estimate.cost)
        except BaseException:  # the reservation may have been made
            self._doubtful[attempt.id] = _LOOKS_FOR_DOUBTFUL
            self.start()
            raise
        if verdict.refused is not None:
            self.check_alerts(status.as_charged(lines, verdict.balances))
            raise status.refusal(
                touches[verdict.refused], verdict.balances[verdict.refused], estimate.cost or 0, now
            )
        self._held.add(attempt.id)
        self.start()
        return Reservation(draft, tuple(touches))

    def settle(self, reservation: Reservation, attempt: Attempt) -> None:
        """Charge an attempt that is over, off its caller's path."""
        self._held.discard(attempt.id)
        attempt.entry = entry = entries.settle(reservation.draft, attempt, self._prices)
        self._settling.spawn(self._settle, entry)

    def note(self, attempt: Attempt, began: float) -> None:
        """Write the row of an attempt that no budget was charged for, soon."""
        attempt.entry = entry = entries.entry_of(attempt, began, self.clock(), self._prices)
        self.writer.add(entry)

    # --- reading only --------------------------------------------------------------------------

    def preview(self, call: Call, target: Target) -> Preview:
        """Return which budgets an attempt would touch, how they stand, what it may cost, and why it would be refused.

        Nothing is reserved. Raises ``store_unavailable``."""
        touches, estimate = self.touches_of(call, target), self.estimate_of(call, target)
        balances = self.balances(touches)
        refused = self.refusal(touches, balances, estimate, target.label)
        return Preview(tuple(touches), tuple(balances), estimate, refused)

    def check(self, call: Call, target: Target) -> None:
        """Raise ``budget_exceeded`` where an attempt could not be paid now, even if nothing else ran.

        For work that is queued: what running calls have reserved may be free when its turn comes. Nothing is
        reserved. Raises ``store_unavailable``."""
        touches = self.touches_of(call, target)
        if touches:
            spent = [balance._replace(reserved=0) for balance in self.balances(touches)]
            refused = self.refusal(touches, spent, self.estimate_of(call, target), target.label)
            if refused is not None:
                raise refused

    def note_cached(self, call: Call, provider: str, model: str, usage: Usage | None) -> None:
        """Write the row of a call that the cache answered with what was once counted as ``usage``: at no cost."""
        if self._settings.call_log != "off" or touches_of_caller(call.principal, self._settings.budgets):
            self.writer.add(entries.cached_entry(call, provider, model, usage, self.clock()))

    def forget(self) -> None:
        """Look again at each budget, whose owners were changed: now, and when every process has written what it had queued."""
        self.writer.flush()
        self._state().budgets.forget()
        gevent.spawn_later(_SPREAD, self._state().budgets.forget)

    def balances(self, touches: Sequence[Touch], *, adopt: bool = True) -> list[Balance]:
        """Return how budgets stand, as ``Budgets.look`` does; raises ``store_unavailable``."""
        now = self.clock()
        lines = [touch.line(now) for touch in touches]
        return self._budgets(lines).read(lines, adopt=adopt) if lines else []

    def refusal(
        self, touches: Sequence[Touch], balances: Sequence[Balance], estimate: Estimate, label: str
    ) -> GatewayError | None:
        """Return the error with which these budgets, as they stand, would refuse an attempt at ``label``."""
        try:
            check_priced(touches, estimate, label)
        except GatewayError as error:
            return error
        now = self.clock()
        place = first_refused([touch.line(now) for touch in touches], balances, estimate.cost)
        if place is None:
            return None
        return status.refusal(touches[place], balances[place], estimate.cost or 0, now)

    # --- its life ------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to renew, and to look for what processes that are gone have left."""
        if self._loop.start():
            gevent.spawn_later(3 * _SPREAD, self._look_again)
        self._alerts.start()

    def close(self) -> None:
        """Settle what ended last."""
        self._settling.join(_CLOSING)
        self._loop.stop()
        self._release_last()
        self._settle_again()
        self._alerts.close()
        self.writer.close()
        if self._spool is not None:
            self._spool.close()

    def turn(self) -> None:
        """Renew once, take back and settle what could not be, and charge once what is lost."""
        budgets = self._state().budgets
        if self._held:
            budgets.renew(self._held, self._settings.budget_lease)
        self._release()
        self._settle_again()
        if self._spool is not None and self._spool.waits:
            self._spool.recover(self._take_in)
        while lost := budgets.collect():
            for entry, charged in lost:
                _LOG.warning(
                    "the attempt %s of call %s was lost with its process and is charged what it had reserved",
                    entry.attempt_id,
                    entry.call_id,
                )
                self.check_alerts(charged)
            self.charge_others([entry for entry, _ in lost])
        if time.monotonic() >= self._joined_at:
            self._joined_at = time.monotonic() + _JOIN_SECONDS
            self._state().ledger.compact(self.clock() - self._settings.ledger_days * _DAY)

    def _look_again(self) -> None:
        """Look for rows that processes of an older configuration had queued when this one used its budgets first."""
        try:
            self._state().budgets.adopt_again()
        except GatewayError as error:
            _LOG.warning("the ledger cannot be read for budgets: %s", error.raw or error.message)
            self._state().budgets.forget()

    def _budgets(self, lines: Sequence[Line]) -> Budgets:
        """Return the state of budgets; one that is new begins with the rows of the ledger, so those are written first."""
        budgets = self._state().budgets
        if not budgets.knows(lines):
            self.writer.flush()
        return budgets

    def _reserve(self, draft: Entry, lines: Sequence[Line], amount: int | None) -> Reserved:
        """Reserve; where only what running calls hold stands in the way, let those settle that are over."""
        budgets, lease = self._budgets(lines), self._settings.budget_lease
        verdict = budgets.reserve(draft, lines, amount, lease)
        place = verdict.refused
        if place is None or verdict.balances[place].spent + (amount or 0) > lines[place].most:
            return verdict
        self._settling.join(_SECOND_LOOK) if len(self._settling) else gevent.sleep(_SECOND_LOOK)
        return budgets.reserve(draft, lines, amount, lease)

    def _release(self) -> None:
        """Take back reservations of attempts that never went out, because the database did not say that they were made."""
        doubtful = list(self._doubtful)
        if not doubtful:
            return
        released = self._state().budgets.release(doubtful)
        for one in doubtful:
            self._doubtful[one] -= 1
            if one in released or not self._doubtful[one]:
                del self._doubtful[one]

    def _release_last(self) -> None:
        """Take back what can be now; what cannot is charged when its lease ends."""
        try:
            self._release()
        except GatewayError as error:
            _LOG.warning("reservations cannot be taken back: %s", error.raw or error.message)

    def charge_others(self, rows: Sequence[Entry]) -> None:
        """Charge rows that are written to budgets that were added, in whatever process, while their attempts ran.

        Of an attempt that began a moment ago, the process that adopts such a budget finds the row when it looks again."""
        since = self.clock() - _SPREAD
        late = [row for row in rows if row.cost and row.period_at < since]
        if late:
            periods = {period_of(per, row.period_at)[0] for row in late for per in PERS}
            self.check_alerts(self._state().budgets.charge_others(late, periods, concerns_entry))

    def _settle(self, entry: Entry) -> bool:
        """Settle, or keep what cannot be settled now; tell which."""
        try:
            self.check_alerts(self._state().budgets.settle(entry))
            self.charge_others([entry])
        except GatewayError as error:
            self._keep(entry, error)
            return False
        return True

    def _keep(self, entry: Entry, error: GatewayError) -> None:
        """Keep what cannot be settled now; a row that is lost here is charged in full when its lease ends."""
        _LOG.warning("an attempt is settled later: %s", error.raw or error.message)
        if self._spool is not None and self._spool.keep([entry]):
            return
        if len(self._unsettled) < _MOST_UNSETTLED:
            self._unsettled.append(entry)
        else:
            self.writer.drop(1)

    def _take_in(self, rows: Sequence[Entry]) -> None:
        """Settle rows from the spool; those of attempts that reserved nothing are written together."""
        budgets, book, now = self._state().budgets, self._state().ledger, self.clock()
        reserved = budgets.find_attempts(entry.attempt_id for entry in rows)
        book.write([entry.at(now) for entry in rows if entry.attempt_id not in reserved])
        for entry in rows:
            if entry.attempt_id in reserved:
                self.check_alerts(budgets.settle(entry))
        self.charge_others(rows)

    def _settle_again(self) -> None:
        while self._unsettled:
            if not self._settle(self._unsettled.popleft()):
                return  # the database is still away, and each try may take seconds

    def check_alerts(self, budgets: Sequence[ChargedBudget]) -> None:
        """Send alerts for budgets after a charge. If a threshold cannot be recorded now, or this process is killed before it
        is, the next charge or refusal finds it."""
        try:
            self._alerts.check(budgets)
        except GatewayError as error:
            _LOG.warning("thresholds of budgets cannot be recorded: %s", error.raw or error.message)

    def _run(self) -> None:
        pause = min(_LONGEST_LOOK, self._settings.budget_lease / 3)
        while True:
            try:
                with self._loop.turn:
                    self.turn()
            except GatewayError as error:
                _LOG.warning("reservations are not looked after: %s", error.raw or error.message)
            except Exception:  # noqa: BLE001 - the loop must outlive any fault, or running calls would be lost
                _LOG.exception("reservations are not looked after")
            gevent.sleep(until_beat(pause))


def check_priced(touches: Sequence[Touch], estimate: Estimate, label: str) -> None:
    """Raise ``budget_exceeded`` if a budget pays only for models with a known price, and this price is unknown."""
    if estimate.cost is None:
        for touch in touches:
            if touch.budget.denies_unpriced:
                raise status.unpriced_error(touch, label)
