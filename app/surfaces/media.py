"""The views of embeddings, speech and transcription."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import gevent
from flask import Response, g, request
from werkzeug.exceptions import RequestEntityTooLarge

from app.canonical.media import Upload
from app.dialects import dialect_of
from app.dialects.base import Frame, ServerContext
from app.dialects.media.audio import SpeechDialect, TranscriptionDialect
from app.dialects.media.base import EmbeddingDialect
from app.errors import GatewayError
from app.gateway.call import Call
from app.gateway.translating import server_context
from app.surfaces.answers import door_headers, outcome_headers
from app.surfaces.bodies import too_large
from app.surfaces.calls import answer_stream, answer_whole, current_gateway, make_call, pace
from app.surfaces.generation import checked_body
from app.surfaces.mounts import Mount
from app.surfaces.pump import Pump
from app.wire.json import loads

Reader = Callable[[Mapping[str, Any], ServerContext], Any]
"""Reads a body: the ``decode_request`` of a dialect."""

_FORM_ROOM: Final = 1024 * 1024  # bytes of a form beside its file


def embedding(mount: Mount, deployment: str | None = None) -> Response:
    """Serve ``POST embeddings``."""
    return whole(mount, deployment, lambda wire: dialect_of(EmbeddingDialect, wire).decode_request)


def whole(mount: Mount, deployment: str | None, reader: Callable[[str], Reader]) -> Response:
    """Answer a JSON body by one JSON object; ``reader`` finds what reads it, by the dialect's name."""
    call = make_call(mount, checked_body(), deployment=deployment)
    g.call = call
    call = replace(call, request=reader(call.dialect)(call.body, server_context(call, call.model)))
    return answer_whole(mount, current_gateway().run(call).result())


def speech(mount: Mount, deployment: str | None = None) -> Response:
    """Serve ``POST audio/speech``: events with ``stream_format: "sse"``, else the audio's bytes."""
    call = make_call(mount, checked_body(), deployment=deployment, stream=True)
    g.call = call
    server = dialect_of(SpeechDialect, call.dialect)
    asked = server.decode_request(call.body, server_context(call, call.model))
    call = replace(call, request=asked, shown_stream=asked.stream)
    return _events(mount, call) if asked.stream else _audio(mount, call)


def _events(mount: Mount, call: Call) -> Response:
    return answer_stream(mount, current_gateway().run(call), fail=_error_frames)


def _error_frames(error: GatewayError) -> list[Frame]:
    return [Frame(None, {"type": "error", "error": error.body()})]


def _audio(mount: Mount, call: Call) -> Response:
    """Return the audio's bytes as they come; a failure after the first cuts the connection."""
    gateway = current_gateway()
    run = gateway.run(call)
    pump = Pump(
        run,
        pace(gateway.settings, patient=True),
        _joined,
        _cut,
        lambda error: gateway.fault(error, call.id),
    )
    pump.open()
    headers = outcome_headers(run.outcome) | door_headers(mount, run.outcome, resolved=False)
    media_type = run.outcome.media_type or "application/octet-stream"
    return Response(pump.chunks(), 200, {**headers, "content-type": media_type}, direct_passthrough=True)


def _joined(frames: list[Frame], last: bool) -> bytes:
    return b"".join(frame.data for frame in frames)


def _cut(error: GatewayError) -> list[Frame]:
    """Cut the connection, as the provider did: half a sound must not pass for a whole one."""
    raise ConnectionResetError(errno.ECONNRESET, error.message) from error


def transcription(mount: Mount, deployment: str | None = None) -> Response:
    """Serve ``POST audio/transcriptions``: a multipart form with the file."""
    gateway = current_gateway()
    fields, file = read_form(gateway.settings.max_upload_bytes, gateway.settings.body_deadline)
    body = _as_body(fields)
    stream = body.get("stream") == "true"
    call = make_call(mount, body, deployment=deployment, stream=stream)
    g.call = call
    server = dialect_of(TranscriptionDialect, call.dialect)
    call = replace(call, request=server.decode_request(fields, file, server_context(call, call.model)))
    return _events(mount, call) if stream else answer_whole(mount, gateway.run(call).result())


def read_form(limit: int, deadline: float) -> tuple[list[tuple[str, str]], Upload | None]:
    """Return the fields in order and the file of a multipart form.

    Raises GatewayError: ``unsupported_media`` for another content type, ``too_large`` past
    ``limit`` bytes of file, ``bad_request`` when it does not arrive within ``deadline`` seconds.
    """
    if request.mimetype != "multipart/form-data":
        shown = request.mimetype or "none"
        raise GatewayError(
            "unsupported_media", f"Content-Type '{shown}' is not supported here; send multipart/form-data."
        )
    request.max_content_length = limit + _FORM_ROOM
    request.max_form_memory_size = _FORM_ROOM
    try:
        with gevent.Timeout(deadline):
            fields = [(name, value) for name, values in request.form.lists() for value in values]
            file = request.files.get("file")
    except gevent.Timeout as late:
        raise GatewayError(
            "bad_request", f"The request body did not arrive within {deadline:g} seconds.", status=408
        ) from late
    except RequestEntityTooLarge as error:
        raise too_large(limit) from error
    if file is None:
        return fields, None
    data = file.read()
    if len(data) > limit:
        raise too_large(limit)
    return fields, Upload(file.filename or "file", file.mimetype or "application/octet-stream", data)


def _as_body(fields: list[tuple[str, str]]) -> dict[str, Any]:
    """Return the single fields as members, ``fallbacks`` as a list."""
    body: dict[str, Any] = {name: value for name, value in fields if name not in _LISTS}
    models = [one for name, value in fields if name in _LISTS for one in _models(value)]
    return {**body, "fallbacks": models} if models else body


def _models(value: str) -> list[Any]:
    """Return the models of one form field: a JSON array, or names with commas between."""
    if value.lstrip().startswith("["):
        listed = loads(value.encode(), strict=True)
        return listed if isinstance(listed, list) else [listed]
    return [one.strip() for one in value.split(",") if one.strip()]


_LISTS: Final = frozenset({"fallbacks", "fallbacks[]"})
