"""The views of chat and text completions, and the view that surfaces of other dialects share."""

from __future__ import annotations

from typing import Any

from flask import Response

from app.surfaces.body.validation import read_body
from app.surfaces.calls import make_call
from app.surfaces.mounts import Mount
from app.surfaces.replies.framing import Framing
from app.surfaces.replies.runs import answer_call


def completion(mount: Mount, deployment: str | None = None) -> Response:
    """Create a text completion."""
    body = read_body()
    stream = body.get("stream") is True
    return answer_call(mount, make_call(mount, body, deployment=deployment, stream=stream))


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
    """Answer a prompt in the dialect of the surface, streamed if its ``stream`` is true.

    ``body`` is the request's body with members from its URL, by default the request's body alone."""
    body = read_body() if body is None else body
    call = make_call(mount, body, deployment=deployment, stream=body.get("stream") is True, signs=True)
    return answer_call(mount, call, framing=framing)
