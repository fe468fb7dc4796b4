"""The views of chat and text completions, and what doors of other dialects share with them."""

from __future__ import annotations

from typing import Any

from flask import Response

from app.gateway.call import Call
from app.surfaces.body.validation import read_body
from app.surfaces.calls import current_gateway, make_call
from app.surfaces.context import app_context
from app.surfaces.mounts import Mount
from app.surfaces.replies.framing import Framing
from app.surfaces.replies.runs import answer_stream, answer_whole


def completion(mount: Mount, deployment: str | None = None) -> Response:
    """Create a text completion."""
    body = read_body()
    return _serve(mount, make_call(mount, body, deployment=deployment, stream=body.get("stream") is True))


def chat(mount: Mount, deployment: str | None = None) -> Response:
    """Create a chat completion."""
    return generate(mount, deployment)


def generate(
    mount: Mount,
    deployment: str | None,
    body: dict[str, Any] | None = None,
    *,
    framing: Framing | None = None,
) -> Response:
    """Answer a prompt in the dialect of the door, streamed as its ``stream`` says.

    ``body`` is the request's with what its URL adds; None: the request's own."""
    body = read_body() if body is None else body
    call = make_call(mount, body, deployment=deployment, stream=body.get("stream") is True, signs=True)
    return _serve(mount, call, framing)


def _serve(mount: Mount, call: Call, framing: Framing | None = None) -> Response:
    app_context().g.call = call
    run = current_gateway().run(call)
    return answer_stream(mount, run, framing=framing) if call.stream else answer_whole(mount, run.result())
