"""The views of Bedrock's API: Converse, and InvokeModel for bodies of Claude and of the embedding models."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
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
from app.surfaces.views.media import decode

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
    """Invoke a model; the form of the body says its family."""
    body = read_body()
    family = family_of_body(body)
    make = _claude_call if family == _CLAUDE else partial(_embedding_call, family=family)
    outcome = current_gateway().run(make(mount, deployment, body)).result()
    response = answer_whole(mount, outcome)
    response.headers.update(_count_headers(outcome))
    return response


def invoke_stream(mount: Mount, deployment: str) -> Response:
    """Invoke Claude, streamed."""
    body = read_body()
    if family_of_body(body) != _CLAUDE:
        raise GatewayError(
            "bad_request", "Only Claude's bodies are streamed here; use 'invoke'.", param="body"
        )
    run = current_gateway().run(_claude_call(mount, deployment, body, stream=True))
    return answer_stream(
        mount, run, framing=Messages(), shape=lambda frames: wrap_frames(frames, run.outcome.usage)
    )


def _claude_call(mount: Mount, deployment: str, body: dict[str, Any], *, stream: bool = False) -> Call:
    body, headers = lead_betas({**body, "model": deployment, "stream": stream})
    call = make_call(mount, body, deployment=deployment, stream=stream, dialect=_CLAUDE, signs=True)
    g.call = call = replace(call, client_headers={**call.client_headers, **headers})
    return call


def _embedding_call(mount: Mount, deployment: str, body: dict[str, Any], family: str) -> Call:
    body, operation = {**body, "model": deployment}, OPERATIONS["embedding"]
    call = make_call(mount, body, deployment=deployment, operation=operation, dialect=family)
    return decode(call)


def _count_headers(outcome: Outcome) -> dict[str, str]:
    """Return Bedrock's headers with the latency in milliseconds and the tokens of an invocation."""
    latency = {"x-amzn-bedrock-invocation-latency": str(outcome.call.elapsed_ms())}
    if outcome.usage is None:
        return latency
    return {
        **latency,
        "x-amzn-bedrock-input-token-count": str(outcome.usage.input_tokens),
        "x-amzn-bedrock-output-token-count": str(outcome.usage.output_tokens),
    }
