"""The views of embeddings, reranking, moderation, speech, transcription and translation."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from flask import Response

from app.dialects import dialect_of
from app.dialects.base import Frame, ServerContext
from app.dialects.media.audio import SpeechDialect, TranscriptionDialect, error_frames
from app.dialects.media.base import EmbeddingDialect
from app.dialects.media.moderations import DEFAULT_MODEL, ModerationDialect
from app.dialects.media.rerank import RerankDialect
from app.errors import GatewayError
from app.gateway.call import Call
from app.gateway.translation import server_context
from app.surfaces.body.forbidden_members import is_forbidden
from app.surfaces.body.forms import read_form, to_members
from app.surfaces.body.validation import read_body
from app.surfaces.calls import current_gateway, make_call
from app.surfaces.idempotency import record
from app.surfaces.mounts import Mount
from app.surfaces.replies.answers import outcome_headers, surface_headers
from app.surfaces.replies.runs import answer_call, pace
from app.surfaces.replies.stream_writer import StreamWriter

Reader = Callable[[str], Callable[[Mapping[str, Any], ServerContext], Any]]
"""Returns the ``decode_request`` of a dialect, by the dialect's name."""


def read_embedding(wire: str) -> Callable[[Mapping[str, Any], ServerContext], Any]:
    """Return the ``decode_request`` of a dialect of embeddings."""
    return dialect_of(EmbeddingDialect, wire).decode_request


def embedding(mount: Mount, deployment: str | None = None, body: dict[str, Any] | None = None) -> Response:
    """Create embeddings."""
    return answer_json(mount, deployment, read_embedding, body=body)


def answer_json(
    mount: Mount,
    deployment: str | None,
    reader: Reader,
    *,
    body: dict[str, Any] | None = None,
    model: str | None = None,
) -> Response:
    """Answer a JSON body with one JSON object; ``reader`` returns what decodes the body, by the dialect's name.

    ``body`` is by default the request's. ``model`` is the default if neither body nor path names a model."""
    body = read_body() if body is None else body
    if model is not None and body.get("model") is None and deployment is None:
        body = {**body, "model": model}
    return answer_call(mount, decode(make_call(mount, body, deployment=deployment), reader))


def decode(call: Call, reader: Reader) -> Call:
    """Return ``call`` with its decoded body as its request."""
    return replace(call, request=reader(call.dialect)(call.body, server_context(call, call.model)))


def rerank(mount: Mount, deployment: str | None = None) -> Response:
    """Rank documents by their relevance to a query."""
    return answer_json(mount, deployment, lambda wire: dialect_of(RerankDialect, wire).decode_request)


def moderation(mount: Mount, deployment: str | None = None) -> Response:
    """Moderate texts or images; the default model is OpenAI's."""
    return answer_json(
        mount,
        deployment,
        lambda wire: dialect_of(ModerationDialect, wire).decode_request,
        model=DEFAULT_MODEL,
    )


def speech(mount: Mount, deployment: str | None = None) -> Response:
    """Speak a text: events with ``stream_format: "sse"``, else the audio's bytes."""
    call = make_call(mount, read_body(), deployment=deployment, stream=True)
    call = decode(call, lambda wire: dialect_of(SpeechDialect, wire).decode_request)
    call = replace(call, shown_stream=call.request.stream)
    return answer_call(mount, call, fail=error_frames) if call.shown_stream else _answer_audio(mount, call)


def _answer_audio(mount: Mount, call: Call) -> Response:
    """Return the audio's bytes as they arrive; a failure after the first ones cuts the connection."""
    gateway = current_gateway()
    run = gateway.run(call)
    writer = StreamWriter(
        run,
        pace(gateway.settings, patient=True),
        record(run, lambda batch: b"".join(frame.data for frame in batch.frames)),
        _cut,
        lambda error: gateway.fault(error, call.id),
    )
    writer.open()
    headers = {
        **outcome_headers(run.outcome),
        **surface_headers(mount, run.outcome),
        "content-type": run.outcome.media_type or "application/octet-stream",
    }
    return Response(writer.chunks(), 200, headers, direct_passthrough=True)


def _cut(error: GatewayError) -> list[Frame]:
    """Cut the connection, so that half of the audio does not pass for all of it."""
    raise ConnectionResetError(errno.ECONNRESET, error.message) from error


def transcription(mount: Mount, deployment: str | None = None) -> Response:
    """Transcribe a recording: a multipart form with the file."""
    return _answer_transcript(mount, deployment, streams=True)


def translation(mount: Mount, deployment: str | None = None) -> Response:
    """Translate a recording into English: a multipart form with the file."""
    return _answer_transcript(mount, deployment, streams=False)


def _answer_transcript(mount: Mount, deployment: str | None, *, streams: bool) -> Response:
    settings = current_gateway().settings
    fields, file = read_form(settings.max_upload_bytes, settings.body_deadline)
    body = to_members(fields)
    stream = streams and body.get("stream") == "true"
    call = make_call(mount, body, deployment=deployment, stream=stream)
    fields = [(name, value) for name, value in fields if not is_forbidden(name)]
    decode_form = dialect_of(TranscriptionDialect, call.dialect).decode_request
    call = replace(call, request=decode_form(fields, file, server_context(call, call.model)))
    return answer_call(mount, call, fail=error_frames)
