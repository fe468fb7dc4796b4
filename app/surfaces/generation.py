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
    return _serve(mount, make_call(mount, body, deployment=deployment, stream=streamed, signs=True))


def _serve(mount: Mount, call: Call) -> Response:
    g.call = call
    run = current_gateway().run(call)
    return answer_stream(mount, run) if call.stream else answer_whole(mount, run.result())
