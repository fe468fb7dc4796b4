"""The views that count or compact a prompt instead of answering it."""

from __future__ import annotations

from typing import Any

from flask import Response

from app.gateway.prompt_hosts import CompactionHost, EstimateHost, HistoryHost
from app.surfaces.body.validation import read_body
from app.surfaces.calls import make_call
from app.surfaces.mounts import Mount
from app.surfaces.replies.runs import answer_call


def input_tokens(mount: Mount, deployment: str | None = None) -> Response:
    """Count a response's input tokens: the provider's count, else a marked estimate."""
    body = read_body()
    if body.get("model") is None and deployment is None:
        return answer(mount, {**body, "model": ""}, host=EstimateHost(), nameless=True)
    return answer(mount, body, deployment, host=HistoryHost())


def compact(mount: Mount, deployment: str | None = None) -> Response:
    """Compact a conversation: a summary by the same model, sealed for this tenant."""
    return answer(mount, read_body(), deployment, host=CompactionHost())


def answer(mount: Mount, body: dict[str, Any], deployment: str | None = None, **more: Any) -> Response:
    """Answer a call that counts or compacts the prompt of ``body``."""
    return answer_call(mount, make_call(mount, body, deployment=deployment, **more))
