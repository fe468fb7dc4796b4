"""The views of chat completions and Responses: one function for each operation."""

from __future__ import annotations

from typing import Any

from flask import Response, g, request

from app.gateway.call import Call
from app.surfaces.bodies import json_body
from app.surfaces.calls import answer_stream, answer_whole, current_gateway, make_call
from app.surfaces.mounts import Mount
from app.surfaces.schemas import check


def checked_body(operation: str) -> dict[str, Any]:
    """Return the request's JSON body, checked by the operation's schema."""
    settings = current_gateway().settings
    body = json_body(request, limit=settings.max_body_bytes, deadline=settings.body_deadline)
    check(operation, body)
    return body


def chat(mount: Mount, deployment: str | None = None) -> Response:
    """Serve ``POST chat/completions``."""
    body = checked_body("chat")
    call = make_call(mount, "chat", "chat", body, deployment=deployment, stream=body.get("stream") is True)
    return _generate(mount, call)


def responses(mount: Mount, deployment: str | None = None) -> Response:
    """Serve ``POST responses``."""
    body = checked_body("responses")
    call = make_call(
        mount, "responses", "responses", body, deployment=deployment, stream=body.get("stream") is True
    )
    return _generate(mount, call)


def _generate(mount: Mount, call: Call) -> Response:
    g.call = call
    gateway = current_gateway()
    if not call.stream:
        return answer_whole(mount, call, gateway.answer(call))
    run = gateway.stream(call)
    return answer_stream(
        mount,
        call,
        run,
        fail=lambda error: gateway.failure_frames(call, error),
        done_frame=call.operation == "responses" and gateway.settings.responses_done,
    )
