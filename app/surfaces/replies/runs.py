"""From a run, or the outcome of one, to an HTTP answer."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from flask import Response

from app.config import Settings
from app.dialects.base import Frame
from app.errors import GatewayError
from app.gateway.call import Call
from app.gateway.exchange import Answer
from app.gateway.outcome import Outcome
from app.gateway.repetitions import Repetition
from app.gateway.run import Batch, Run
from app.surfaces.calls import current_gateway
from app.surfaces.idempotency import record
from app.surfaces.mounts import Mount
from app.surfaces.replies.answers import json_response, outcome_headers, surface_headers
from app.surfaces.replies.envelope import FrameEnvelope, seal_answer
from app.surfaces.replies.framing import Events, Framing
from app.surfaces.replies.repetition_writer import RepetitionWriter
from app.surfaces.replies.stream_writer import Pace, StreamWriter


def answer_whole(mount: Mount, outcome: Outcome) -> Response:
    """Return the HTTP answer of a whole outcome in its surface's envelope."""
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
    """Return the waits of a stream; ``patient``: no status and no comment before content, for
    bodies that are not events."""
    silence = settings.timeouts.total if patient else settings.status_after
    if patient:
        return Pace(silence, silence, None)
    return Pace(settings.hold, silence, settings.comment_every)


def answer_stream(
    mount: Mount,
    run: Run,
    *,
    fail: Callable[[GatewayError], list[Frame]] | None = None,
    framing: Framing | None = None,
    shape: Callable[[list[Frame]], list[Frame]] | None = None,
) -> Response:
    """Return the streamed HTTP answer of a run, once its status may be sent.

    ``fail`` makes the frames of a failure before anything was made, where they are not the dialect's own.
    ``framing`` is how frames are written, as server-sent events by default. ``shape`` changes frames to the caller's wishes before the envelope. Raises the
    GatewayError of a run that failed before.
    """
    gateway = current_gateway()
    settings, framing = gateway.settings, framing or Events()
    envelope = FrameEnvelope(mount, run.outcome)
    repetitions = RepetitionWriter(envelope) if shape is None and isinstance(framing, Events) else None

    def write(batch: Batch | Repetition) -> bytes:
        if repetitions is not None and isinstance(batch, Repetition):
            if (event := repetitions.write(batch)) is not None:
                return event
        shaped = batch.frames if shape is None else shape(batch.frames)
        return framing.write(envelope.seal(shaped, last=batch.last), last=batch.last)

    call = run.call
    failed = fail or partial(gateway.failure_frames, call)
    writer = StreamWriter(
        run,
        pace(settings),
        record(run, write),
        failed,
        lambda error: gateway.fault(error, call.id),
        silence=framing.silence,
    )
    writer.open()
    headers = {**framing.headers, **outcome_headers(run.outcome), **surface_headers(mount, run.outcome)}
    return Response(writer.chunks(), 200, headers, direct_passthrough=True)
