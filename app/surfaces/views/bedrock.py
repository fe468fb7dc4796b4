"""The views of Bedrock's API: Converse, and InvokeModel for bodies of Claude's and the embedding families."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from flask import Response, g

from app.dialects.messages.invoke import family_of_body, lead_betas, wrap_frames
from app.errors import GatewayError
from app.gateway.call import Call
from app.gateway.outcome import Outcome
from app.operations import OPERATIONS
from app.surfaces.body.validation import read_body
from app.surfaces.calls import current_gateway, make_call
from app.surfaces.mounts import Mount
from app.surfaces.replies.framing import Messages
from app.surfaces.replies.runs import answer_stream, answer_whole
from app.surfaces.views import generation, token_counts
from app.surfaces.views.media import decode_embedding

_CLAUDE: Final = "messages"


def converse(mount: Mount, deployment: str) -> Response:
    """Converse with a model."""
    return generation.generate(mount, deployment, {**read_body(), "model": deployment, "stream": False})


def converse_stream(mount: Mount, deployment: str) -> Response:
    """Converse with a model, streamed as AWS's events."""
    body = {**read_body(), "model": deployment, "stream": True}
    return generation.generate(mount, deployment, body, framing=Messages())


def count_tokens(mount: Mount, deployment: str) -> Response:
    """Count a request's tokens: the provider's count, else an estimate."""
    return token_counts.answer(mount, {**read_body(), "model": deployment}, deployment)


def invoke(mount: Mount, deployment: str) -> Response:
    """Invoke a model: the body tells its family."""
    body = read_body()
    family = family_of_body(body)
    call = (
        _claude(mount, deployment, body) if family == _CLAUDE else _vectors(mount, deployment, body, family)
    )
    g.call = call
    outcome = current_gateway().run(call).result()
    response = answer_whole(mount, outcome)
    response.headers.update(_counts(outcome))
    return response


def invoke_stream(mount: Mount, deployment: str) -> Response:
    """Invoke a model with Claude's body, streamed."""
    body = read_body()
    if family_of_body(body) != _CLAUDE:
        raise GatewayError(
            "bad_request", "Only Claude's bodies are streamed here; use 'invoke'.", param="body"
        )
    g.call = call = _claude(mount, deployment, body, stream=True)
    run = current_gateway().run(call)
    return answer_stream(
        mount, run, framing=Messages(), shape=lambda frames: wrap_frames(frames, run.outcome.usage)
    )


def _claude(mount: Mount, deployment: str, body: dict[str, Any], *, stream: bool = False) -> Call:
    body, headers = lead_betas({**body, "model": deployment, "stream": stream})
    call = make_call(mount, body, deployment=deployment, stream=stream, dialect=_CLAUDE, signs=True)
    return replace(call, client_headers={**call.client_headers, **headers})


def _vectors(mount: Mount, deployment: str, body: dict[str, Any], family: str) -> Call:
    named = {**body, "model": deployment}
    operation = OPERATIONS["embedding"]
    return decode_embedding(
        make_call(mount, named, deployment=deployment, operation=operation, dialect=family)
    )


def _counts(outcome: Outcome) -> dict[str, str]:
    """Return the headers that tell what an invocation took."""
    latency = {"x-amzn-bedrock-invocation-latency": str(outcome.call.elapsed_ms())}
    if outcome.usage is None:
        return latency
    return {
        **latency,
        "x-amzn-bedrock-input-token-count": str(outcome.usage.input_tokens),
        "x-amzn-bedrock-output-token-count": str(outcome.usage.output_tokens),
    }
