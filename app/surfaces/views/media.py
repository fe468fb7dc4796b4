"""The views of embeddings, rankings, moderation, speech, transcription and translation."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from flask import Response, g

from app.dialects import dialect_of
from app.dialects.base import Frame, ServerContext
from app.dialects.media.audio import SpeechDialect, TranscriptionDialect, error_frames
from app.dialects.media.base import EmbeddingDialect
from app.dialects.media.moderations import DEFAULT_MODEL, ModerationDialect
from app.dialects.media.rerank import RerankDialect
from app.errors import GatewayError
from app.gateway.call import Call
from app.gateway.repetitions import Repetition
from app.gateway.run import Batch
from app.gateway.translation import server_context
from app.surfaces.body.forbidden_members import is_forbidden
from app.surfaces.body.forms import read_form, to_members
from app.surfaces.body.validation import read_body
from app.surfaces.calls import current_gateway, make_call
from app.surfaces.idempotency import record
from app.surfaces.mounts import Mount
from app.surfaces.replies.answers import outcome_headers, surface_headers
from app.surfaces.replies.runs import answer_stream, answer_whole, pace
from app.surfaces.replies.stream_writer import StreamWriter

Reader = Callable[[Mapping[str, Any], ServerContext], Any]
"""Reads a body: the ``decode_request`` of a dialect."""


def embedding(mount: Mount, deployment: str | None = None) -> Response:
    """Create embeddings."""
    return answer_json(mount, deployment, lambda wire: dialect_of(EmbeddingDialect, wire).decode_request)


def answer_json(
    mount: Mount, deployment: str | None, reader: Callable[[str], Reader], *, model: str | None = None
) -> Response:
    """Answer a JSON body by one JSON object; ``reader`` finds what reads it, by the dialect's name.

    ``model`` is asked where neither body nor path names one."""
    body = read_body()
    if model is not None and body.get("model") is None and deployment is None:
        body = {**body, "model": model}
    call = make_call(mount, body, deployment=deployment)
    g.call = call
    call = replace(call, request=reader(call.dialect)(call.body, server_context(call, call.model)))
    return answer_whole(mount, current_gateway().run(call).result())


def rerank(mount: Mount, deployment: str | None = None) -> Response:
    """Rank documents by a query."""
    return answer_json(mount, deployment, lambda wire: dialect_of(RerankDialect, wire).decode_request)


def moderation(mount: Mount, deployment: str | None = None) -> Response:
    """Moderate texts or pictures: without a model, OpenAI's default judges."""
    return answer_json(
        mount,
        deployment,
        lambda wire: dialect_of(ModerationDialect, wire).decode_request,
        model=DEFAULT_MODEL,
    )


def embed(mount: Mount, body: dict[str, Any], deployment: str) -> Response:
    """Answer a body with its model, in the dialect of the door's embeddings."""
    call = make_call(mount, body, deployment=deployment)
    g.call = call
    return answer_whole(mount, current_gateway().run(decode_embedding(call)).result())


def decode_embedding(call: Call) -> Call:
    """Return a call with what its body asks for, read in its dialect of embeddings."""
    server = dialect_of(EmbeddingDialect, call.dialect)
    return replace(call, request=server.decode_request(call.body, server_context(call, call.model)))


def speech(mount: Mount, deployment: str | None = None) -> Response:
    """Speak a text: events with ``stream_format: "sse"``, else the audio's bytes."""
    call = make_call(mount, read_body(), deployment=deployment, stream=True)
    g.call = call
    server = dialect_of(SpeechDialect, call.dialect)
    speech_request = server.decode_request(call.body, server_context(call, call.model))
    call = replace(call, request=speech_request, shown_stream=speech_request.stream)
    return _events(mount, call) if speech_request.stream else _audio(mount, call)


def _events(mount: Mount, call: Call) -> Response:
    return answer_stream(mount, current_gateway().run(call), fail=error_frames)


def _audio(mount: Mount, call: Call) -> Response:
    """Return the audio's bytes as they come; a failure after the first cuts the connection."""
    gateway = current_gateway()
    run = gateway.run(call)
    writer = StreamWriter(
        run,
        pace(gateway.settings, patient=True),
        record(run, _join),
        _cut,
        lambda error: gateway.fault(error, call.id),
    )
    writer.open()
    headers = outcome_headers(run.outcome) | surface_headers(mount, run.outcome)
    media_type = run.outcome.media_type or "application/octet-stream"
    return Response(writer.chunks(), 200, {**headers, "content-type": media_type}, direct_passthrough=True)


def _join(batch: Batch | Repetition) -> bytes:
    return b"".join(frame.data for frame in batch.frames)


def _cut(error: GatewayError) -> list[Frame]:
    """Cut the connection, as the provider did: half a sound must not pass for a whole one."""
    raise ConnectionResetError(errno.ECONNRESET, error.message) from error


def transcription(mount: Mount, deployment: str | None = None) -> Response:
    """Transcribe a recording: a multipart form with the file."""
    return _answer_transcript(mount, deployment, streams=True)


def translation(mount: Mount, deployment: str | None = None) -> Response:
    """Translate a recording into English: a multipart form with the file."""
    return _answer_transcript(mount, deployment, streams=False)


def _answer_transcript(mount: Mount, deployment: str | None, *, streams: bool) -> Response:
    gateway = current_gateway()
    fields, file = read_form(gateway.settings.max_upload_bytes, gateway.settings.body_deadline)
    body = to_members(fields)
    stream = streams and body.get("stream") == "true"
    call = make_call(mount, body, deployment=deployment, stream=stream)
    g.call = call
    fields = [(name, value) for name, value in fields if not is_forbidden(name)]
    server = dialect_of(TranscriptionDialect, call.dialect)
    call = replace(call, request=server.decode_request(fields, file, server_context(call, call.model)))
    return _events(mount, call) if stream else answer_whole(mount, gateway.run(call).result())
