"""Limits of keys, tenants and the gateway around a client's call.

All are charged at once before anything else is done, and once more at the end. A background response is
counted when it is asked for; its run holds its place among calls at once (``job_limits``).
Tests: tests/governance.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from app.dialects import dialect_of
from app.dialects.base import Row
from app.gateway.call import Call
from app.gateway.estimates import tokens_of_body
from app.gateway.layers.base import CallLayer, Proceed, Services
from app.gateway.limits.charges import touches_of_call, used_of
from app.gateway.limits.gate import Admission, Gate
from app.gateway.limits.headers import headers_of, refusal
from app.gateway.outcome import Outcome
from app.gateway.run import Run


def make(services: Services) -> CallLayer:
    """Return the layer; a call that touches no limit passes by."""

    def layer(call: Call, proceed: Proceed) -> Run:
        touches = touches_of_call(call, services.settings.limits, services.plan)
        if touches and is_queued(call):
            touches = [touch for touch in touches if touch.limit.kind != "concurrent"]
        if not touches:
            call.progress.admitted = True
            return proceed(call)
        estimate = 0
        for touch in touches:
            if touch.counts_tokens:
                estimate = tokens_of_body(call.body)
                break
        admission = services.limits.admit(touches, estimate)
        write = dialect_of(Row, call.dialect).limit_headers
        call.progress.headers = headers_of(admission, write, time.time())
        if admission.decision.refused is not None:
            raise refusal(admission)
        call.progress.admitted = True
        return AdmittedCall(services.limits, admission, call, estimate).run(proceed)

    return layer


def is_queued(call: Call) -> bool:
    """Tell whether ``call`` asks for a response that is made later."""
    return call.host is not None and bool(getattr(call.host, "background", False))


class AdmittedCall(NamedTuple):
    """What a call holds until it is over; ``least`` tokens were charged before, and stay so."""

    gate: Gate
    admission: Admission
    call: Call
    estimate: int
    least: int = 0

    def run(self, proceed: Proceed) -> Run:
        """Return the run of the call; at its end the limits count its usage."""
        try:
            run = proceed(self.call)
        except BaseException:
            self._settle()
            raise
        run.outcome.on_end(self._end)
        return run

    def _end(self, outcome: Outcome) -> None:
        """Settle. A response that was queued keeps its estimate, which its run will make good."""
        if outcome.error is None and is_queued(self.call):
            self.gate.end(self.admission, [charge.amount for charge in self.admission.charges])
        else:
            self._settle()

    def _settle(self) -> None:
        gate, admission, call, estimate, least = self
        gate.end(admission, used_of(admission.touches, call, estimate, least))
