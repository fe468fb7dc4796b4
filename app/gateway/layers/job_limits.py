"""Limits around a background job: its place among calls at once, for which it waits, and its tokens.

Its request and the estimate of its input were charged when it was asked for; what it uses beyond that is
charged at its end. Tests: tests/governance.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import gevent

from app.errors import GatewayError
from app.gateway.call import Call
from app.gateway.estimates import tokens_of_body
from app.gateway.layers.base import CallLayer, Proceed, Services
from app.gateway.layers.limits import AdmittedCall
from app.gateway.limits.charges import Touch, touches_of_call
from app.gateway.limits.gate import Admission
from app.gateway.run import Run

_POLL_SECONDS: Final = 1.0
"""Seconds between two looks for a place."""

_ENDLESS: Final = 2**50


def make(services: Services) -> CallLayer:
    """Return the layer; a job that touches no limit passes by."""

    def layer(call: Call, proceed: Proceed) -> Run:
        while touches := _touches_of(services, call):
            admission = _admit(services, touches)
            if admission is not None:
                return _run(services, admission, call, proceed)
            call.remaining()
            call.abort.check()
            gevent.sleep(_POLL_SECONDS)
            call = _with_owner(services, call)
        return proceed(call)

    return layer


def _touches_of(services: Services, call: Call) -> list[Touch]:
    """Return the limits that hold a job, none of which refuses its tokens."""
    touches = touches_of_call(call, services.settings.limits, services.plan)
    held = [_without_refusal(touch) for touch in touches if touch.limit.kind != "requests"]
    if call.host is None:  # a call within the job's turn, whose tokens are counted with those of the turn
        held = [touch for touch in held if touch.limit.kind != "tokens"]
    return held


def _run(services: Services, admission: Admission, call: Call, proceed: Proceed) -> Run:
    """Return the run of an admitted job, of which the estimate was charged when it was asked for."""
    estimate = tokens_of_body(call.body)
    known = tuple(
        charge._replace(amount=estimate) if touch.limit.kind == "tokens" else charge
        for touch, charge in zip(admission.touches, admission.charges, strict=True)
    )
    admission = admission._replace(charges=known)
    return AdmittedCall(services.limits, admission, call, estimate, estimate).run(proceed)


def _without_refusal(touch: Touch) -> Touch:
    """Return a touch whose tokens are not asked for again."""
    if touch.limit.kind != "tokens":
        return touch
    return replace(touch, limit=touch.limit._replace(most=_ENDLESS))


def _admit(services: Services, touches: list[Touch]) -> Admission | None:
    """Return the admission of a job, None while there is no place for it."""
    try:
        admission = services.limits.admit(touches, 0)
    except GatewayError as error:
        if error.kind.name != "overloaded":
            raise
        return None
    return admission if admission.refused is None else None


def _with_owner(services: Services, call: Call) -> Call:
    """Return a job that has waited, with its owner as he is now; raises ``forbidden`` when he may not have it run any more."""
    who = call.principal
    try:
        owner = services.principal_of(who.identity, who.tenant)
        owner.check_operation(call.operation)
        return replace(call, principal=owner)
    except GatewayError as error:
        if error.kind.name != "store_unavailable":
            raise
        return call
