"""The views that look at a prompt without answering it: token counts and compaction."""

from __future__ import annotations

from typing import Any

from flask import Response, g

from app.gateway.call import Call, Outcome
from app.gateway.compaction import compacted, summary_body
from app.gateway.core import Gateway
from app.gateway.counting import count_object
from app.gateway.estimates import tokens_of_request
from app.gateway.translating import decoded
from app.gateway.turns import expand, refers
from app.surfaces.calls import answer_whole, current_gateway, make_call
from app.surfaces.generation import checked_body
from app.surfaces.mounts import Mount

_NOBODY = "estimate"


def input_tokens(mount: Mount, deployment: str | None = None) -> Response:
    """Serve ``POST responses/input_tokens``: the provider's count, else a marked estimate."""
    gateway = current_gateway()
    body = checked_body()
    told = body.get("model") is not None or deployment is not None
    call = _call(mount, body if told else {**body, "model": _NOBODY}, deployment)
    _put_history(gateway, call)
    if not told:
        call.model = ""
        return answer_whole(mount, call, Outcome(call, body=_estimate(call)))
    return answer_whole(mount, call, gateway.answer(call))


def _estimate(call: Call) -> dict[str, Any]:
    return count_object(tokens_of_request(decoded(call)), estimated=True)


def compact(mount: Mount, deployment: str | None = None) -> Response:
    """Serve ``POST responses/compact``: a summary by the same model, sealed for this tenant."""
    gateway = current_gateway()
    call = _call(mount, checked_body(), deployment)
    items = _put_history(gateway, call)
    shown_body, call.body = call.body, summary_body(call, items)
    call.upstream_body = None
    outcome = gateway.answer(call)
    call.body = shown_body
    outcome.body = compacted(call, items, outcome, gateway.state().sealer)
    return answer_whole(mount, call, outcome)


def _call(mount: Mount, body: dict[str, Any], deployment: str | None) -> Call:
    call = make_call(mount, body, deployment=deployment)
    g.call = call
    return call


def _put_history(gateway: Gateway, call: Call) -> list[Any]:
    """Put what the body refers to before its input; return all items."""
    state = gateway.state() if refers(call.body) else None
    return expand(state, call).input
