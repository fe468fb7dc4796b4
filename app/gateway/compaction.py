"""Compaction: the model of a conversation summarizes its history.

The gateway does it for every provider. The summary travels in an item (``compaction_items``), and becomes a message when
the item comes with a later turn (docs/responses.md, "Compact and count"). A turn whose last item is
``compaction_trigger`` is answered with one such item, whole or streamed, stored or in the background; the trigger is
neither sent nor stored. ``context_management`` does it within other turns.

Tests: tests/lifecycle/test_compaction.py.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
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
from app.gateway.compaction_items import (
    is_standing,
    replacement,
    seal_replacement,
    seal_summary,
)
from app.gateway.cost import put_cost
from app.gateway.exchange import Answer
from app.gateway.layers.base import Proceed, Services
from app.gateway.outcome import Outcome
from app.gateway.run import Batch, Run
from app.gateway.translation import server_context
from app.responses_form.items import as_items, item_type
from app.state.crypto import Sealer
from app.state.ids import RESPONSE, new_id, new_item_id

_WIRE: Final = "responses"
_INSTRUCTIONS: Final = (
    "The conversation so far must be replaced by a summary of it. Write that summary now. Keep every "
    "fact, decision, name, number, file path, open task and result of a tool call that a later turn "
    "could need, in the order in which they came up. Write plain prose and lists, address nobody, "
    "add nothing that was not said, and do not continue the conversation."
)
_INPUTS: Final = {"function_call": "arguments", "custom_tool_call": "input"}
_RESULTS: Final = frozenset({"function_call_output", "custom_tool_call_output"})


def summary_body(call: Call, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the Responses body that asks the model for the summary of ``items``.

    Tool calls and results are told in words, and reasoning is left out: without tools, providers refuse calls and results
    (Bedrock), and some ask for the signature of a call (Gemini) or for what follows reasoning (OpenAI)."""
    instructions = call.body.get("instructions")
    ask = {"type": "message", "role": "user", "content": _INSTRUCTIONS}
    said = [_as_message(item) for item in items if item_type(item) != "reasoning"]
    body: dict[str, Any] = {"model": call.model, "input": [*said, ask], "store": False}
    if isinstance(instructions, str):
        body["instructions"] = instructions
    return body


def _as_message(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an item, a message in place of a tool call or a result."""
    kind, call_id = item_type(item), item.get("call_id")
    if kind in _INPUTS:
        words = f"Tool call {call_id}: {item.get('name')}({item.get(_INPUTS[kind])})"
        return {"type": "message", "role": "assistant", "content": words}
    if kind not in _RESULTS:
        return item
    output = item.get("output")
    parts = output if isinstance(output, list) else [{"type": "input_text", "text": str(output)}]
    opening = {"type": "input_text", "text": f"Result of tool call {call_id}:"}
    return {"type": "message", "role": "user", "content": [opening, *parts]}


def compaction_object(
    call: Call, items: Sequence[Mapping[str, Any]], outcome: Outcome, sealer: Sealer
) -> dict[str, Any]:
    """Return the ``response.compaction`` object for the answer that holds the summary.

    Raises ``upstream_invalid`` when the model wrote none.
    """
    item = seal_summary(summary_of(outcome), sealer, call.principal.tenant)
    compaction: dict[str, Any] = {
        "id": new_id(RESPONSE),
        "object": "response.compaction",
        "created_at": call.created_at,
        "output": [*(_complete_item(one) for one in items if one.get("role") == "user"), item],
        "usage": encode_usage(outcome.usage),
    }
    put_cost(compaction, outcome)
    return compaction


def summary_of(outcome: Outcome) -> str:
    """Return the summary that a model wrote; raises ``upstream_invalid`` if it wrote none."""
    summary = _text_of(outcome.response)
    if not summary:
        raise GatewayError("upstream_invalid", "The model wrote no summary.")
    return summary


def asks_compaction(body: Mapping[str, Any]) -> bool:
    """Tell whether a body's last item asks for the compaction of those before it."""
    items = body.get("input")
    last = items[-1] if isinstance(items, list) and items else None
    return isinstance(last, Mapping) and last.get("type") == "compaction_trigger"


def answer_trigger(services: Services, call: Call, proceed: Proceed) -> Run:
    """Return the run of a turn that asks for a compaction; its call has its history.

    A stored turn's item stands for the turns before it. If the turn is not stored, its client says what comes before the item.
    """
    inner = summary_call(call)
    sealer, tenant = services.state().sealer, call.principal.tenant
    standing = [item for item in as_items(call.full_body.get("input")) if is_standing(item)]

    def answer(outcome: Outcome) -> Response:
        summary = summary_of(outcome)
        item = (
            seal_replacement(replacement(summary, standing), sealer, tenant)
            if call.body.get("store")
            else seal_summary(summary, sealer, tenant)
        )
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
    inner.on_attempt(run.announce)
    outcome = inner.result()
    run.outcome.target, run.outcome.losses = outcome.target, outcome.losses
    run.outcome.upstream_ms = outcome.upstream_ms
    response = answer(outcome)
    frames = frames_of(run.call, response, outcome.target.model if outcome.target else None)
    final = Answer(None, response=response, usage=outcome.usage, finish=response.choices[0].finish)
    final.cost = outcome.cost
    yield Batch(frames, last=True, content=True, answer=final)


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
