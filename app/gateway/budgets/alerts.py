"""Alerts: messages that a budget has reached 50, 80, 95 or 100 per cent.

Each threshold makes a log line, a metric, and a signed message to the operator's URL in the form of Standard Webhooks
(https://github.com/standard-webhooks/standard-webhooks, read November 2026): the headers ``webhook-id``, ``webhook-timestamp`` and ``webhook-signature``. Tests: tests/governance/test_alerts.py.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from gevent.event import Event

from app.config import NANO, Settings, dollars_of
from app.errors import GatewayError
from app.gateway.budgets.periods import period_of
from app.gateway.budgets.status import dollars, moment
from app.gateway.metric_series import Counter
from app.state.budget_lines import ChargedBudget
from app.state.loops import Loop
from app.wire.beats import until_beat
from app.wire.clocks import Clocks
from app.wire.egress import Egress

if TYPE_CHECKING:
    from app.state.alerts import Due
    from app.state.state import State


_LOG: Final = logging.getLogger(__name__)

THRESHOLDS: Final = (50, 80, 95, 100)
_MOST_RECORDED: Final = 10_000
_POLL_SECONDS: Final = 5.0
_LEASE: Final = 60.0
_CLOCKS: Final = Clocks(connect=5.0, first_byte=10.0, idle=10.0, total=15.0)
_FIRST_PAUSE: Final = 2.0
_LONGEST_PAUSE: Final = 3_600.0
_MOST_TRIES: Final = 40
"""With pauses that double up to an hour: more than a day."""

_PREFIX: Final = "whsec_"


class AlertSender:
    """Sends the alerts of a process. ``state`` opens the store; ``clock`` gives Unix seconds."""

    def __init__(
        self,
        settings: Settings,
        state: Callable[[], State],
        egress: Egress,
        metrics: Counter | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = settings.alert_url
        secret = settings.alert_secret
        self._key = None if secret is None else signing_key(secret.reveal())
        self._state = state
        self._transport = egress.transport() if self._url else None
        self._metrics = metrics
        self._clock = clock
        self._recorded: dict[str, int] = {}
        self._wake = Event()
        self._loop = Loop(self._run)

    def start(self) -> None:
        """Start to send, if there is a URL."""
        if self._url is not None:
            self._loop.start()

    def close(self) -> None:
        """Stop sending; other processes send the remaining messages."""
        self._loop.stop()
        if self._transport is not None:
            self._transport.close()

    def check(self, budgets: Sequence[ChargedBudget]) -> None:
        """Record the thresholds that budgets have newly reached."""
        for one in budgets:
            known = max(one.alerted, self._recorded.get(one.id, 0))
            reached = thresholds_reached(one._replace(alerted=known))
            if not reached:
                continue
            now, named = self._clock(), self._named(one)
            bodies = {threshold: message(named, threshold, now) for threshold in reached}
            for threshold in self._state().alerts.note(one.id, bodies, sends=self._url is not None):
                self._announce(named, threshold)
            if len(self._recorded) >= _MOST_RECORDED:
                self._recorded.clear()
            self._recorded[one.id] = reached[-1]

    def _named(self, budget: ChargedBudget) -> ChargedBudget:
        """Return a budget with the name of a key of the database in place of its id."""
        tenant, _, key_id = budget.owner.partition("/")
        found = self._state().keys.of_id(tenant, key_id) if key_id else None
        return budget if found is None else budget._replace(owner=f"{tenant}/{found.key.name}")

    def _announce(self, budget: ChargedBudget, threshold: int) -> None:
        whose = f"the {budget.level} '{budget.owner}'" if budget.owner else "the whole gateway"
        about = f" for '{budget.models}'" if budget.models else ""
        _LOG.warning(
            "a budget of %s has reached %d %%: $%s of $%s per %s%s",
            *(whose, threshold, dollars(budget.spent), dollars(budget.most), budget.per, about),
        )
        if self._metrics is not None:
            self._metrics.count("sluice_budget_alerts", budget.level, str(threshold))
        self._wake.set()
        self.start()

    def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                while dues := self._state().alerts.claim(_LEASE):
                    for due in dues:
                        self._send(due)
            except GatewayError as error:
                _LOG.warning("alerts cannot be read: %s", error.raw or error.message)
            except Exception:  # noqa: BLE001 - the loop must survive any fault
                _LOG.exception("alerts cannot be sent")
            self._wake.wait(until_beat(_POLL_SECONDS))

    def _send(self, due: Due) -> None:
        """Send one message; schedule another try if it was not accepted."""
        fault = self._refusal(due)
        alerts = self._state().alerts
        if fault is None:
            alerts.done(due)
        elif due.tries >= _MOST_TRIES:
            _LOG.error("gave up an alert after %d tries: %s", due.tries, fault)
            alerts.done(due)
        else:
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (due.tries - 1))
            _LOG.warning("an alert was not accepted; next try in %g s: %s", pause, fault)
            alerts.again(due, pause)

    def _refusal(self, due: Due) -> str | None:
        """Send a message; return why it was not accepted, None if it was."""
        if self._transport is None or self._url is None:
            return "SLUICE_ALERT_URL is not set"
        headers = {"content-type": "application/json", **sign_headers(due, self._key, int(self._clock()))}
        headers["content-length"] = str(len(due.body))
        try:
            upstream = self._transport.open(
                "POST", self._url, headers, due.body, clocks=_CLOCKS, stream=False
            )
        except GatewayError as error:
            return str(error.raw or error.message)
        upstream.close()
        return None if 200 <= upstream.status < 300 else f"it answered with status {upstream.status}"


def thresholds_reached(budget: ChargedBudget) -> list[int]:
    """Return the thresholds that a budget has reached and no alert has reported."""
    if budget.most <= 0:
        return []
    return [one for one in THRESHOLDS if one > budget.alerted and budget.spent * 100 >= one * budget.most]


def message(budget: ChargedBudget, threshold: int, now: float) -> dict[str, Any]:
    """Return the body of the message about a threshold."""
    tenant, _, key = budget.owner.partition("/")
    resets_at = period_of(budget.per, budget.period)[1]
    return {
        "type": "budget.threshold",
        "timestamp": moment(now),
        "data": {
            "level": budget.level,
            "owner": key or tenant or None,
            "tenant": tenant or None,
            "threshold": threshold,
            "usd": dollars_of(budget.most),
            "per": budget.per,
            "models": budget.models,
            "spent": budget.spent / NANO,
            "resets_at": resets_at,
        },
    }


def sign_headers(due: Due, key: bytes | None, now: int) -> dict[str, str]:
    """Return the headers of a message: its id, the same at every try, the time, and the signature over both and the body."""
    label = hashlib.sha256(f"{due.budget_id} {due.threshold}".encode()).hexdigest()[:32]
    headers = {"webhook-id": f"msg_{label}", "webhook-timestamp": str(now)}
    if key is not None:
        content = f"msg_{label}.{now}.".encode() + due.body
        digest = base64.b64encode(hmac.digest(key, content, "sha256")).decode()
        headers["webhook-signature"] = f"v1,{digest}"
    return headers


def signing_key(secret: str) -> bytes:
    """Return the key of a secret: base64 after ``whsec_``, or the text itself if it is not base64."""
    text = secret.removeprefix(_PREFIX)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return secret.encode()
