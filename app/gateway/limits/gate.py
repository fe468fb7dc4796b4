"""The gate of the limits: all limits of a call at once, in Redis where there is one, else in this process.

While Redis is away, ``SLUICE_LIMITS_FAIL`` decides: each process keeps its share in memory, lets all
through, or refuses. A request waits ``redis_windows.WAIT`` seconds for it at most, and after that nobody
asks it for a second. Tests: tests/governance.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import gevent
from gevent.pool import Group

from app.config import Settings, has_limits
from app.errors import GatewayError
from app.gateway.limits.charges import Touch
from app.gateway.limits.redis_windows import HELD, PATIENCE, WAIT, RedisWindows
from app.gateway.limits.windows import Charge, Decision, MemoryWindows, Settlement, Windows
from app.gateway.metric_series import Counter

T = TypeVar("T")
_LOG: Final = logging.getLogger(__name__)
_AWAY: Final = 1.0
"""Seconds without requests to a Redis that did not answer."""
_LATE: Final = 0.01
"""Seconds after which a timer of this process is late, and says nothing about Redis."""
_SECOND_LOOK: Final = 0.03
"""Seconds that a call waits where others hold all places: their answers may be out already, and Redis not told yet."""
_REPEATS: Final = 9
_TURNS: Final = 2
"""Turns of the loop in which an answer that came in time is read: a turn runs its timers before it reads."""


class _Wait(gevent.Timeout):
    """A limit on the time that Redis takes: it begins again while this process itself is late, and while Redis answers others.

    ``answered`` returns the moment of Redis' last answer to this process."""

    def __init__(self, seconds: float, answered: Callable[[], float]) -> None:
        super().__init__(seconds)
        self._wait = seconds
        self._answered = answered
        self._left, self._turns = _REPEATS, _TURNS
        self._began = time.monotonic()
        self._due = self._began + seconds

    def _on_expiration(self, waiting: Any, error: BaseException) -> None:
        now = time.monotonic()
        if self._left and (now - self._due > _LATE or self._answered() > self._began):
            self._left, self._turns, self._began = self._left - 1, _TURNS, now
            self._start(self._wait, now, waiting, error)
        elif self._turns:
            self._turns -= 1
            self._start(0.0, now, waiting, error)
        else:
            waiting.throw(error)

    def _start(self, seconds: float, now: float, waiting: Any, error: BaseException) -> None:
        self._due = now + seconds
        self.timer.close()
        self.timer = gevent.get_hub().loop.timer(seconds)
        self.timer.start(self._on_expiration, waiting, error, update=True)


class Admission(NamedTuple):
    """An admission or a refusal: the limits, what each was charged, and the decision. ``holder`` holds the places of
    limits of concurrent calls, where there are any."""

    touches: Sequence[Touch]
    charges: Sequence[Charge]
    decision: Decision
    windows: Windows
    holder: str

    @property
    def refused(self) -> Touch | None:
        """Return the refusing limit with the longest wait, None if no limit refuses."""
        place = self.decision.refused
        return None if place is None else self.touches[place]


class Gate:
    """The limits of one process; ``metrics`` counts failures of Redis."""

    def __init__(self, settings: Settings, metrics: Counter | None = None) -> None:
        self._url = settings.redis_url
        self._workers = settings.workers
        self._fail = settings.limits_fail
        self._configured = has_limits(settings)
        self._metrics = metrics
        self._memory = MemoryWindows()
        self._redis: RedisWindows | None = None
        self._patient: RedisWindows | None = None
        self._away_until = self._answered_at = 0.0
        self._is_away = self._warned = False
        self._settling = Group()
        self._held: set[tuple[str, str]] = set()
        self._renewer: gevent.Greenlet[..., None] | None = None
        if self._configured and self._url:
            self._redis_windows()

    def warn(self) -> None:
        """Say at start what the operator may not expect."""
        if self._configured:
            self._warn_of_shares()

    def prepare(self) -> None:
        """Connect to Redis and have it load the script, before the first call needs both within ``WAIT`` seconds."""
        if self._redis is None:
            return
        from redis import RedisError

        try:
            self._redis.admit((), "")
        except RedisError as error:
            self._note_away(error)

    def _warn_of_shares(self) -> None:
        """Say once that no process counts for the others; of limits that were added later, at their first use."""
        if self._url is None and self._workers > 1 and not self._warned:
            self._warned = True
            _LOG.warning(
                "limits without REDIS_URL: each of %d workers keeps its share of every limit, at least 1",
                self._workers,
            )

    def admit(self, touches: Sequence[Touch], tokens: int) -> Admission:
        """Charge a call of so many estimated tokens to all of ``touches``, or to none.

        Raises ``overloaded`` while Redis is away and that is to be refused."""
        charges, holder = [], ""
        for touch in touches:
            charges.append(touch.charge(tokens))
            if not touch.seconds:
                holder = holder or secrets.token_hex(12)
        return self._admit(touches, charges, holder)

    def peek(self, touches: Sequence[Touch]) -> Admission:
        """Return how limits stand, and charge nothing. Raises as ``admit`` does."""
        return self._admit(touches, [touch.charge(0)._replace(amount=0) for touch in touches], "")

    def _admit(self, touches: Sequence[Touch], charges: Sequence[Charge], holder: str) -> Admission:
        if self._url is None:
            return self._in_memory(touches, charges, holder)
        windows = self._redis_windows()
        decision = self._ask(lambda: windows.admit(charges, holder))
        if decision is not None and _lacks_place(charges, decision):
            gevent.sleep(_SECOND_LOOK)
            decision = self._ask(lambda: windows.admit(charges, holder))
        if decision is None:
            if holder:  # Redis may have admitted it, and would keep the place for a while
                places = [Settlement(one, 0, 0) for one in charges if not one.seconds]
                self._settling.spawn(self._settle, places, holder)
            return self._without_redis(touches, charges, holder)
        if decision.refused is None:
            self._memory.note(charges, holder)  # the share of this process, should Redis go
            self._keep((one.key, holder) for one in charges if not one.seconds and one.amount)
        return Admission(touches, charges, decision, windows, holder)

    def end(self, admission: Admission, used: Sequence[int]) -> None:
        """Charge what each limit was really used, off the caller's path; let go of its place among calls."""
        charges, parts = admission.charges, admission.decision.parts
        settlements = []
        for charge, part, amount in zip(charges, parts, used, strict=True):
            if amount != charge.amount or not charge.seconds:
                settlements.append(Settlement(charge, part, amount - charge.amount))
        if admission.holder:
            self._held.difference_update((charge.key, admission.holder) for charge in admission.charges)
        if not settlements:
            return
        self._memory.settle(settlements, admission.holder)
        if admission.windows is not self._memory:
            self._settling.spawn(self._settle, settlements, admission.holder)

    def close(self) -> None:
        """Let what ended last be charged, and close the connections to Redis."""
        self._settling.join(_AWAY)
        for windows in (self._redis, self._patient):
            if windows is not None:
                windows.close()

    def _settle(self, settlements: Sequence[Settlement], holder: str) -> None:
        """Tell Redis what ended, though it be slow or away a while. What it may have heard is not charged
        again: only places are let go once more."""
        from redis import RedisError

        places = [one for one in settlements if not one.charge.seconds]
        for rows in (settlements, places):
            if not rows:
                return
            try:
                self._patient = self._patient or RedisWindows(self._url or "", seconds=PATIENCE)
                self._patient.settle(rows, holder)
                return
            except RedisError as error:
                self._note_away(error)

    def _redis_windows(self) -> RedisWindows:
        if self._redis is None:
            self._redis = RedisWindows(self._url or "")
        return self._redis

    def _in_memory(self, touches: Sequence[Touch], charges: Sequence[Charge], holder: str) -> Admission:
        """Charge the share of this process."""
        if self._workers > 1:
            self._warn_of_shares()
            charges = [one._replace(most=max(1, one.most // self._workers)) for one in charges]
        return Admission(touches, charges, self._memory.admit(charges, holder), self._memory, holder)

    def _without_redis(self, touches: Sequence[Touch], charges: Sequence[Charge], holder: str) -> Admission:
        if self._fail == "closed":
            raise GatewayError("overloaded", "The limits cannot be looked up at the moment.", retry_after=1)
        if self._fail == "open":
            return Admission((), (), Decision(), self._memory, holder)
        return self._in_memory(touches, charges, holder)

    def _ask(self, ask: Callable[[], T]) -> T | None:
        """Return what Redis answers; None while it is away."""
        from redis import RedisError

        if time.monotonic() < self._away_until:
            return None
        limit = _Wait(WAIT, lambda: self._answered_at)
        try:
            with limit:
                answer = ask()
        except RedisError as error:
            self._note_away(error)
            return None
        except gevent.Timeout as error:
            if error is not limit:
                raise
            self._note_away(f"no answer within {WAIT * 1000:g} ms")
            return None
        self._answered_at = time.monotonic()
        if self._is_away:
            self._is_away = False
            _LOG.warning("Redis answers again; the limits are kept there")
        return answer

    def _note_away(self, why: Any) -> None:
        self._away_until = time.monotonic() + _AWAY
        if self._metrics is not None:
            self._metrics.count("sluice_limits_away")
        if not self._is_away:
            self._is_away = True
            _LOG.warning(
                "Redis does not answer, so the limits follow 'limits_fail = %s': %s", self._fail, why
            )

    def _keep(self, held: Any) -> None:
        """Renew places among calls at once, as long as this process has any."""
        self._held.update(held)
        if self._held and (self._renewer is None or self._renewer.ready()):
            self._renewer = gevent.spawn(self._renew)

    def _renew(self) -> None:
        while self._held:
            gevent.sleep(HELD / 3)
            held = list(self._held)
            if held:
                self._ask(lambda: self._redis_windows().renew(held))  # noqa: B023 - asked at once


def _lacks_place(charges: Sequence[Charge], decision: Decision) -> bool:
    """Tell whether nothing but a limit of concurrent calls refuses, or that one longest."""
    return decision.refused is not None and not charges[decision.refused].seconds
