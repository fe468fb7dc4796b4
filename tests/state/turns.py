"""Turns for the tests: short ways to make a response run and end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select

from app.state.background import Work
from app.state.ids import new_id
from app.state.records import Ending, Expansion, Fence, NewResponse
from app.state.state import State

TENANT = "acme"


def snapshot(response_id: str, status: str = "in_progress", **members: Any) -> dict[str, Any]:
    """A response object as it is shown while the work goes on."""
    return {
        "id": response_id,
        "object": "response",
        "created_at": 1_700_000_000,
        "status": status,
        "completed_at": None,
        "error": None,
        "output": [],
        "usage": None,
        **members,
    }


def message(text: str, item_id: str | None = None) -> dict[str, Any]:
    """An assistant's finished message."""
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {
        "id": item_id or new_id("msg"),
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [part],
    }


def call(call_id: str, name: str = "add") -> dict[str, Any]:
    """A finished function call."""
    return {
        "id": new_id("fc"),
        "type": "function_call",
        "status": "completed",
        "call_id": call_id,
        "name": name,
        "arguments": "{}",
    }


def answer(call_id: str, output: str = "5") -> dict[str, Any]:
    """The result of a function call, as a client sends it."""
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def user(text: str) -> dict[str, Any]:
    """A user's message in normal form, without an id."""
    return {
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_text", "text": text}],
    }


def texts(items: Sequence[Mapping[str, Any]]) -> list[str]:
    """The words of some messages, in order."""
    return [item["content"][0]["text"] for item in items if item.get("type") == "message"]


def ending(
    response_id: str, output: Sequence[Mapping[str, Any]], status: str = "completed", **more: Any
) -> Ending:
    """The end of a turn with this output."""
    response_object = snapshot(response_id, status, output=list(output), usage={"total_tokens": 3})
    return Ending(status, response_object, **more)


def begin(
    state: State, expansion: Expansion | None = None, *, tenant: str = TENANT, **more: Any
) -> tuple[str, Fence]:
    """Write a synchronous turn ahead."""
    response_id = new_id("resp")
    turn = expansion or Expansion([], [], [])
    new = NewResponse(
        id=response_id,
        tenant=tenant,
        object=snapshot(response_id),
        input=turn.own,
        parent_id=turn.parent_id,
        conversation_id=turn.conversation_id,
        conversation_head=turn.conversation_head,
        **more,
    )
    return response_id, state.responses.create(new)


def take_turn(
    state: State,
    input: Any = "hello",
    output: Sequence[Mapping[str, Any]] | None = None,
    *,
    tenant: str = TENANT,
    previous: str | None = None,
    conversation: Any = None,
    status: str = "completed",
    **more: Any,
) -> str:
    """Run one whole synchronous turn; return its id."""
    expansion = state.history.expand(tenant, input, previous_response_id=previous, conversation=conversation)
    response_id, fence = begin(state, expansion, tenant=tenant, **more)
    items = [message(f"to {input}")] if output is None else output
    assert state.responses.finish(tenant, response_id, fence, ending(response_id, items, status))
    return response_id


def enqueue(state: State, *, stream: bool = False, tenant: str = TENANT, input: Any = (), **more: Any) -> str:
    """Queue a background response; return its id."""
    response_id = new_id("resp")
    response_object = snapshot(response_id, "queued", background=True)
    state.queue.enqueue(
        NewResponse(
            id=response_id,
            tenant=tenant,
            object=response_object,
            input=input,
            background=True,
            stream=stream,
            request={"model": "sandbox/echo"},
            **more,
        )
    )
    return response_id


def claim_one(state: State) -> Work:
    """Claim exactly one piece of work."""
    (work,) = state.queue.claim(1)
    return work


def delta(number: int, text: str) -> dict[str, Any]:
    """A text delta of the first item."""
    return {
        "type": "response.output_text.delta",
        "sequence_number": number,
        "item_id": "msg_1",
        "output_index": 0,
        "content_index": 0,
        "delta": text,
    }


def in_progress(number: int = 2) -> dict[str, Any]:
    """The life-cycle event that a runner writes first."""
    return {"type": "response.in_progress", "sequence_number": number, "response": {}}


def item_opened(number: int = 3) -> list[dict[str, Any]]:
    """The two events that open a message and its first part."""
    item = {"id": "msg_1", "type": "message", "status": "in_progress", "role": "assistant", "content": []}
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    return [
        {"type": "response.output_item.added", "sequence_number": number, "output_index": 0, "item": item},
        {
            "type": "response.content_part.added",
            "sequence_number": number + 1,
            "item_id": "msg_1",
            "output_index": 0,
            "content_index": 0,
            "part": part,
        },
    ]


def numbers(events: Sequence[Mapping[str, Any]]) -> list[int]:
    """The sequence numbers of some events."""
    return [event["sequence_number"] for event in events]


def read_log(
    state: State, response_id: str, after: int = -1, *, tenant: str = TENANT
) -> list[dict[str, Any]]:
    """Everything a reader of an ended log gets."""
    batches = state.events.follow(tenant, response_id, after)
    return [event for batch in batches for event in batch]


def count(state: State, table: Any) -> int:
    """Return how many rows a table has."""
    return state.db.read(lambda c: c.execute(select(func.count()).select_from(table)).scalar_one())
