"""The views of embeddings, reranking, moderation, speech, transcription and translation."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import Any

from flask import Response

from app.dialects import dialect_of
from app.dialects.base import Frame, Row
from app.dialects.media.audio import TranscriptionDialect, error_frames
from app.dialects.media.moderations import DEFAULT_MODEL
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


def embedding(mount: Mount, deployment: str | None = None, body: dict[str, Any] | None = None) -> Response:
    """Create embeddings."""
    return answer_json(mount, deployment, body=body)


def answer_json(
    mount: Mount,
    deployment: str | None,
    *,
    body: dict[str, Any] | None = None,
    model: str | None = None,
) -> Response:
    """Answer a JSON body with one JSON object.

    ``body`` is by default the request's. ``model`` is the default if neither body nor path names a model."""
    body = read_body() if body is None else body
    if model is not None and body.get("model") is None and deployment is None:
        body = {**body, "model": model}
    return answer_call(mount, decode(make_call(mount, body, deployment=deployment)))


def decode(call: Call) -> Call:
    """Return ``call`` with its body, decoded by its dialect, as its request."""
    row: Any = dialect_of(Row, call.dialect)
    return replace(call, request=row.decode_request(call.body, server_context(call, call.model)))


def rerank(mount: Mount, deployment: str | None = None) -> Response:
    """Rank documents by their relevance to a query."""
    return answer_json(mount, deployment)


def moderation(mount: Mount, deployment: str | None = None) -> Response:
    """Moderate texts or images; the default model is OpenAI's."""
    return answer_json(mount, deployment, model=DEFAULT_MODEL)


def speech(mount: Mount, deployment: str | None = None) -> Response:
    """Speak a text: events with ``stream_format: "sse"``, else the audio's bytes."""
    call = decode(make_call(mount, read_body(), deployment=deployment, stream=True))
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
