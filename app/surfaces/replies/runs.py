"""HTTP answers of calls: whole, as one object, or streamed."""

from __future__ import annotations

from collections.abc import Callable, Generator
from copy import copy
from functools import partial
from typing import Any

from flask import Response, g, request

from app.config import Settings
from app.dialects.base import Frame
from app.errors import GatewayError
from app.gateway.call import Call
from app.gateway.exchange import Answer
from app.gateway.outcome import Outcome
from app.gateway.repetitions import Repetition
from app.gateway.run import Batch, Run
from app.responses_form.events import size_of
from app.surfaces.calls import current_gateway
from app.surfaces.idempotency import record
from app.surfaces.mounts import Mount
from app.surfaces.replies.answers import json_response, outcome_headers, surface_headers
from app.surfaces.replies.envelope import FrameEnvelope, seal_answer
from app.surfaces.replies.framing import Events, Framing
from app.surfaces.replies.repetition_writer import Padding, RepetitionWriter
from app.surfaces.replies.stream_writer import Pace, StreamWriter
from app.wire.client_socket import WRITE_NOW
from app.wire.offload import aside


def answer_call(
    mount: Mount,
    call: Call,
    *,
    framing: Framing | None = None,
    fail: Callable[[GatewayError], list[Frame]] | None = None,
) -> Response:
    """Run ``call`` and return its HTTP answer, streamed as ``answer_stream`` does if it is a stream."""
    run = current_gateway().run(call)
    if call.stream:
        return answer_stream(mount, run, fail=fail, framing=framing)
    return answer_whole(mount, run.result())


def answer_whole(mount: Mount, outcome: Outcome) -> Response:
    """Return the HTTP answer of an outcome, in its surface's envelope."""
    headers = outcome_headers(outcome)
    if outcome.media_type is not None:
        return Response(outcome.body, 200, {**headers, "content-type": outcome.media_type})
    headers |= surface_headers(mount, outcome)
    return json_response(seal_answer(mount, outcome, outcome.body), headers=headers, parsed=True)


def answer_object(mount: Mount, call: Call, make: Callable[[Run], dict[str, Any]]) -> Response:
    """Return the HTTP answer of a call without a model: the object that ``make`` returns.

    Errors of ``make`` and the answer end the call, so that log and metrics count it."""
    gateway = current_gateway()

    def source(run: Run) -> Generator[Batch, None, None]:
        yield Batch([], last=True, answer=Answer(make(run)))

    return answer_whole(mount, gateway.answer(call, source).result())


def pace(settings: Settings, *, patient: bool = False) -> Pace:
    """Return the waits of a stream; if ``patient``, no status and no comment comes before content, as bodies that are
    not events need."""
    if patient:
        return Pace(settings.timeouts.total, settings.timeouts.total, None)
    return Pace(settings.hold, settings.status_after, settings.comment_every)


def answer_stream(
    mount: Mount,
    run: Run,
    *,
    fail: Callable[[GatewayError], list[Frame]] | None = None,
    framing: Framing | None = None,
    shape: Callable[[list[Frame]], list[Frame]] | None = None,
    padding: Padding | None = None,
) -> Response:
    """Return the streamed HTTP answer of a run, once its status may be sent.

    ``fail`` returns the frames of a late failure, by default those of the dialect. ``framing`` writes frames, by default
    as server-sent events. ``shape`` changes frames for the caller before they get the envelope; what only adds text gets its
    ``padding`` and nothing else.
    Raises the GatewayError of a run that fails before its status is sent.
    """
    gateway = current_gateway()
    settings, framing = gateway.settings, framing or Events()
    envelope = FrameEnvelope(mount, run.outcome)
    is_plain = isinstance(framing, Events) and (shape is None or padding is not None)
    repetitions = RepetitionWriter(envelope, padding) if is_plain else None

    def in_shape(frames: list[Frame]) -> list[Frame]:
        return frames if shape is None else shape(frames)

    def write(batch: Batch | Repetition) -> bytes:
        if repetitions is not None and isinstance(batch, Repetition):
            if (event := repetitions.write(batch)) is not None:
                return event
        if not batch.last:
            return framing.write(envelope.seal(in_shape(batch.frames), last=False), last=False)
        size = size_of(frame.data for frame in batch.frames if isinstance(frame.data, dict))
        return aside(size, partial(write_end, batch.frames))

    def write_end(frames: list[Frame]) -> bytes:
        """Return the bytes of the last frames; another end may take their place."""
        return framing.write(copy(envelope).seal(in_shape(frames), last=True), last=True)

    writer = StreamWriter(
        run,
        pace(settings),
        record(run, write),
        fail or partial(gateway.failure_frames, run.call),
        lambda error: gateway.fault(error, run.call.id),
        silence=framing.silence,
        write_now=None if "claim" in g else request.environ.get(WRITE_NOW),
    )
    writer.open()
    headers = {**framing.headers, **outcome_headers(run.outcome), **surface_headers(mount, run.outcome)}
    return Response(writer.chunks(), 200, headers, direct_passthrough=True)
