"""Streams whose opening was sent when their attempt failed before content: the next attempt repeats nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest

from tests.behaviour.world import whole
from tests.lifecycle.house import Client, House, events_of
from tests.traffic.grammar import check_responses_stream
from tests.traffic.replay import Reply, Request


def frame(kind: str, **members: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


MESSAGE = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "content": [],
    "model": "c",
    "stop_reason": None,
}
OPENING = frame("message_start", message=MESSAGE | {"usage": {"input_tokens": 1, "output_tokens": 1}})
OPENING += frame("content_block_start", index=0, content_block={"type": "text", "text": ""})
REST = frame("content_block_delta", index=0, delta={"type": "text_delta", "text": "hi"})
REST += frame("content_block_stop", index=0)
REST += frame("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2})
REST += frame("message_stop")


@pytest.mark.parametrize("recovers", [True, False])
def test_a_block_that_began_is_not_begun_again(house: House, ann: Client, recovers: bool) -> None:
    opened = Event()
    attempts: list[Request] = []

    def broken() -> Iterator[bytes]:
        yield OPENING
        opened.wait(20)
        yield frame("error", error={"type": "overloaded_error", "message": "Overloaded"})

    def script(request: Request) -> Reply:
        attempts.append(request)
        fails = len(attempts) == 1 or not recovers
        return Reply.sse(broken() if fails else OPENING + REST, chunk=0)

    house.upstream.script = script
    body = {"model": "anthropic/claude-haiku-4-5", "input": "hi", "stream": True}
    connection = ann.open("POST", "/v1/responses", body)
    response = connection.getresponse()
    begun = response.peek(1)  # type: ignore[attr-defined]
    assert begun
    opened.set()
    answer = whole(response)
    connection.close()
    events = events_of(answer)
    assert len(attempts) > 1
    assert check_responses_stream(events, ours=True) == []
    assert events[-1]["type"] == ("response.completed" if recovers else "response.failed")
