"""A turn whose last item is ``compaction_trigger``: its answer is one ``compaction`` item.

The gateway asks the same model for a summary, as for ``responses/compact``, for every provider; the
trigger is neither sent nor stored. This holds for whole and streamed turns, stored and in the background.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.events import replay
from app.canonical.request import Message, OpaquePart, Origin, Request
from app.canonical.response import Choice, Finish, Response
from app.dialects import dialect
from app.dialects.base import Frame
from app.gateway.call import Call
from app.gateway.compaction import compaction_item, summary_body
from app.gateway.exchange import Answer
from app.gateway.layers.base import Proceed, Services
from app.gateway.outcome import Outcome
from app.gateway.run import Batch, Run
from app.gateway.translation import server_context
from app.responses_form.items import as_items

_WIRE: Final = "responses"


def asks_compaction(body: Mapping[str, Any]) -> bool:
    """Tell whether a body's last item asks for the compaction of those before it."""
    items = body.get("input")
    last = items[-1] if isinstance(items, list) and items else None
    return isinstance(last, Mapping) and last.get("type") == "compaction_trigger"


def proceed_with_turn(services: Services, call: Call, proceed: Proceed) -> Run:
    """Return the run of a turn's call, which has its history: an answer, or a compaction."""
    if not asks_compaction(call.body):
        return proceed(call)
    inner = summary_call(call)
    sealer = services.state().sealer

    def answer(outcome: Outcome) -> Response:
        item = compaction_item(call, outcome, sealer)
        part = OpaquePart("compaction", (_WIRE, item))
        choice = Choice(0, (Message("assistant", (part,)),), Finish("stop"))
        response = outcome.response or Response(None, None, ())
        return replace(response, choices=(choice,), usage=outcome.usage, native=None)

    if not call.stream:
        return _complete(call, proceed(inner), answer)
    return services.feed(call, lambda run: _stream(run, proceed(inner), answer))


def summary_call(call: Call) -> Call:
    """Return the call for the summary that answers a call, which has its history, for a compaction."""
    body = summary_body(call, as_items(call.full_body.get("input")))
    return replace(call, body=body, upstream_body=None, stream=False)


def frames_of(call: Call, response: Response, model: str | None) -> list[Frame]:
    """Return the frames of a whole response of ``model``, as a stream of Responses events."""
    encoder = dialect(_WIRE).stream_encoder(_request(call), server_context(call, model))
    return [frame for event in replay(response) for frame in encoder.feed(event)]


def _request(call: Call) -> Request:
    return Request(call.model, origin=Origin(_WIRE, call.body))


def _complete(call: Call, run: Run, answer: Any) -> Run:
    def compact(outcome: Outcome, frames: list[Frame]) -> None:
        response = answer(outcome)
        model = outcome.target.model if outcome.target else None
        outcome.body = dialect(_WIRE).encode_response(response, _request(call), server_context(call, model))

    run.outcome.show_as(call)
    run.on_terminal(compact)
    return run


def _stream(run: Run, inner: Run, answer: Any) -> Generator[Batch, None, None]:
    outcome = inner.result()
    run.outcome.target, run.outcome.losses = outcome.target, outcome.losses
    run.outcome.upstream_ms = outcome.upstream_ms
    response = answer(outcome)
    frames = frames_of(run.call, response, outcome.target.model if outcome.target else None)
    final = Answer(None, response=response, usage=outcome.usage, finish=response.choices[0].finish)
    final.cost = outcome.cost
    yield Batch(frames, last=True, content=True, answer=final)
