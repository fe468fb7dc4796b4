"""The views of generation, and the reading of checked bodies that views share."""

from __future__ import annotations

from typing import Any

from flask import Response, g, request

from app.gateway.call import Call
from app.surfaces.bodies import json_body
from app.surfaces.calls import answer_stream, answer_whole, current_gateway, make_call
from app.surfaces.mounts import Mount
from app.surfaces.rules import current_rule
from app.surfaces.schemas import check


def checked_body() -> dict[str, Any]:
    """Return the request's JSON body, checked by the schema of the matched route."""
    rule = current_rule()
    route, mount = rule.route, rule.mount
    settings = current_gateway().settings
    body = json_body(
        request,
        limit=settings.max_body_bytes,
        deadline=settings.body_deadline,
        optional=route.optional_body,
    )
    chat_shaped = mount is not None and mount.chat_shaped
    place = route.chat_body if chat_shaped and route.chat_body else route.body
    if place is not None:
        check(place, body)
    return body


def completion(mount: Mount, deployment: str | None = None) -> Response:
    """Serve ``POST completions``."""
    body = checked_body()
    return _serve(mount, make_call(mount, body, deployment=deployment, stream=body.get("stream") is True))


def chat(mount: Mount, deployment: str | None = None) -> Response:
    """Serve ``POST chat/completions``."""
    return generate(mount, deployment)


def generate(mount: Mount, deployment: str | None, stream: bool | None = None) -> Response:
    """Answer a prompt in the dialect of the door; ``stream`` None: as the body says."""
    body = checked_body()
    streamed = body.get("stream") is True if stream is None else stream
    call = make_call(mount, body, deployment=deployment, stream=streamed)
    current_gateway().restore_signatures(call)
    return _serve(mount, call)


def _serve(mount: Mount, call: Call) -> Response:
    g.call = call
    gateway = current_gateway()
    if not call.stream:
        outcome = gateway.answer(call)
        gateway.keep_signatures(call, outcome)
        return answer_whole(mount, call, outcome)
    run = gateway.stream(call, lambda outcome, frames: gateway.keep_signatures(call, outcome))
    return answer_stream(
        mount,
        call,
        run,
        fail=lambda error: gateway.failure_frames(call, error),
        done_frame=False,
    )
