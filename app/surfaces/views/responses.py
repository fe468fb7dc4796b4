"""The view of ``POST responses``: one call, whose turn the gateway stores or queues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from flask import Response, g

from app.dialects.responses.chat_shape import is_chat_shaped, to_responses_body
from app.errors import GatewayError
from app.gateway.request_turn import RequestHost
from app.gateway.stored_turn import wants_store
from app.surfaces.body.validation import read_body
from app.surfaces.calls import current_gateway, make_call
from app.surfaces.idempotency import outlast, point_to
from app.surfaces.mounts import Mount
from app.surfaces.replies.answers import outcome_headers
from app.surfaces.replies.framing import Events
from app.surfaces.replies.response_shape import ResponseShape
from app.surfaces.replies.runs import answer_stream, answer_whole
from app.surfaces.views.stored import follow

_PROMPTS: Final = ("input", "previous_response_id", "conversation", "prompt")


def create(mount: Mount, deployment: str | None = None) -> Response:
    """Create a response."""
    gateway = current_gateway()
    body, may_leave_out, prefer = in_responses_shape(mount, read_body())
    background = body.get("background") is True
    store = wants_store(body, gateway.settings.store_by_default)
    call = make_call(
        mount,
        body,
        deployment=deployment,
        stream=body.get("stream") is True,
        background=background,
        may_leave_out=may_leave_out,
        prefer=prefer,
        host=RequestHost(mount.name, store, background),
        signs=True,
    )
    if store and not background and outlast():
        call = replace(call, socket=None)
    g.call = call
    require_prompt(body)
    run = gateway.run(call)
    if call.stream and not background:
        shape = ResponseShape(call.body)
        return answer_stream(
            mount,
            run,
            framing=Events(done=gateway.settings.responses_done),
            shape=shape.apply,
            padding=shape.padding,
        )
    outcome = run.result()
    if call.stream:
        point_to(run.call.response_id or "")
        return follow(gateway, run.call.response_id or "", -1, outcome_headers(outcome))
    return answer_whole(mount, outcome)


def require_prompt(body: Mapping[str, Any]) -> None:
    """Raise 400 for a body without input that continues nothing."""
    if all(body.get(name) is None for name in _PROMPTS):
        raise GatewayError(
            "bad_request",
            "Missing required parameter: 'input'. One of 'input', 'previous_response_id', 'conversation' "
            "and 'prompt' must be given.",
            param="input",
            code="missing_required_parameter",
        )


def in_responses_shape(
    mount: Mount, body: dict[str, Any]
) -> tuple[dict[str, Any], frozenset[str], tuple[str, ...] | None]:
    """Return the body in the form of Responses; for a chat-shaped one also the members that may be dropped without a warning,
    and the preferred wires."""
    if not (mount.chat_shaped and is_chat_shaped(body)):
        return body, frozenset(), None
    responses_body, may_leave_out = to_responses_body(body)
    return responses_body, frozenset(may_leave_out), ("chat", "responses")
