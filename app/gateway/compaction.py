"""Compaction: the model of a conversation summarizes its history.

The gateway does it for every provider. The summary travels in the item's ``encrypted_content``, sealed for its
tenant, and becomes a message when the item comes with a later turn (docs/responses.md, "Compact and
count"). A turn whose last item is ``compaction_trigger`` is answered with one such item, whole or streamed, stored
or in the background; the trigger is neither sent nor stored.

Tests: tests/lifecycle/test_compaction.py.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from app.canonical.events import replay
from app.canonical.request import Message, OpaquePart, Origin, Request, TextPart
from app.canonical.response import Choice, Finish, Response
from app.dialects import dialect
from app.dialects.base import Frame
from app.dialects.responses.response import encode_usage
from app.errors import GatewayError
from app.gateway.call import Call
from app.gateway.cost import put_cost
from app.gateway.exchange import Answer
from app.gateway.layers.base import Proceed, Services
from app.gateway.outcome import Outcome
from app.gateway.run import Batch, Run
from app.gateway.translation import server_context
from app.responses_form.items import as_items
from app.state.crypto import Sealer
from app.state.ids import RESPONSE, new_id, new_item_id

_WIRE: Final = "responses"
_TAG: Final = "slc1."
_INSTRUCTIONS: Final = (
    "The conversation so far must be replaced by a summary of it. Write that summary now. Keep every "
    "fact, decision, name, number, file path, open task and result of a tool call that a later turn "
    "could need, in the order in which they came up. Write plain prose and lists, address nobody, "
    "add nothing that was not said, and do not continue the conversation."
)
_OPENING: Final = "Summary of the conversation so far, made to shorten it:\n\n"


def summary_body(call: Call, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the Responses body that asks the model for the summary of ``items``."""
    instructions = call.body.get("instructions")
    ask = {"type": "message", "role": "user", "content": _INSTRUCTIONS}
    body: dict[str, Any] = {"model": call.model, "input": [*items, ask], "store": False}
    if isinstance(instructions, str):
        body["instructions"] = instructions
    return body


def compaction_object(
    call: Call, items: Sequence[Mapping[str, Any]], outcome: Outcome, sealer: Sealer
) -> dict[str, Any]:
    """Return the ``response.compaction`` object for the answer that holds the summary.

    Raises ``upstream_invalid`` when the model wrote none.
    """
    item = compaction_item(call, outcome, sealer)
    compaction: dict[str, Any] = {
        "id": new_id(RESPONSE),
        "object": "response.compaction",
        "created_at": call.created_at,
        "output": [*(_complete_item(one) for one in items if one.get("role") == "user"), item],
        "usage": encode_usage(outcome.usage),
    }
    put_cost(compaction, outcome)
    return compaction


def compaction_item(call: Call, outcome: Outcome, sealer: Sealer) -> dict[str, Any]:
    """Return the item that holds the summary; raises ``upstream_invalid`` when the model wrote none."""
    summary = _text_of(outcome.response)
    if not summary:
        raise GatewayError("upstream_invalid", "The model wrote no summary.")
    sealed = _TAG + sealer.seal(summary.encode(), call.principal.tenant.encode())
    return {"id": new_item_id("compaction"), "type": "compaction", "encrypted_content": sealed}


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


def open_items(items: Iterable[Any], sealer: Sealer, tenant: str) -> list[Any]:
    """Return input items with the gateway's compactions replaced by messages with the summary.

    Raises 400 for one that cannot be unsealed: another tenant's, or an old key's.
    """
    return [_open(item, sealer, tenant) for item in items]


def holds_compaction(items: Any) -> bool:
    """Tell whether any item is a compaction of the gateway's."""
    return isinstance(items, list) and any(_sealed_text(item) is not None for item in items)


def _sealed_text(item: Any) -> str | None:
    content = item.get("encrypted_content") if isinstance(item, Mapping) else None
    if not isinstance(content, str) or not content.startswith(_TAG) or item.get("type") != "compaction":
        return None
    return content[len(_TAG) :]


def _open(item: Any, sealer: Sealer, tenant: str) -> Any:
    token = _sealed_text(item)
    if token is None:
        return item
    summary = sealer.unseal(token, tenant.encode())
    if summary is None:
        raise GatewayError(
            "bad_request",
            "The 'encrypted_content' of a compaction item cannot be read.",
            param="input",
            code="invalid_value",
        )
    return {"type": "message", "role": "developer", "content": _OPENING + summary.decode()}


def _complete_item(item: Mapping[str, Any]) -> dict[str, Any]:
    content = item.get("content")
    if isinstance(content, str):
        content = [{"type": "input_text", "text": content}]
    return {
        "id": item.get("id") or new_item_id("message"),
        "type": "message",
        "status": "completed",
        "content": content,
        "role": "user",
    }


def _text_of(response: Response | None) -> str:
    if response is None or not response.choices:
        return ""
    parts = [part for message in response.choices[0].messages for part in message.parts]
    return "".join(part.text for part in parts if isinstance(part, TextPart)).strip()
