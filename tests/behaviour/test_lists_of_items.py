"""Items of a provider come back as they came, whatever members and types they have: retrieved, listed, and sent again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.behaviour.world import World
from tests.traffic.replay import Reply

ENCRYPTED = "reasoning.encrypted_content"
QUERY = f"?include={ENCRYPTED}&limit=100&order=asc"
PART = {"type": "output_text", "text": "hi", "annotations": [], "logprobs": [], "x_part": 1}
ITEMS: list[dict[str, Any]] = [
    {"type": "reasoning", "id": "rs_1", "summary": [], "content": [], "status": None, "x_own": [1]},
    {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "x": 1},
        "x_own": 2,
    },
    {"type": "x_provider_item", "id": "xp_1", "foo": {"bar": [None, 1]}},
    {"type": "x_provider_state", "id": "xp_2", "status": "odd"},
    {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [PART, {"type": "x_kind", "y": 2}],
        "phase": "final_answer",
        "x_own": 4,
    },
]


def _reply(stream: bool) -> Reply:
    response = {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "model": "gpt-5",
        "output": ITEMS,
    }
    if not stream:
        return Reply.json(response)
    events: list[dict[str, Any]] = [{"type": "response.created", "response": {**response, "output": []}}]
    for place, item in enumerate(ITEMS):
        events += [
            {"type": f"response.output_item.{step}", "output_index": place, "item": item}
            for step in ("added", "done")
        ]
    events.append({"type": "response.completed", "response": response})
    return Reply.sse(b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events))


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
def test_items_are_the_same_wherever_they_are_read(stream: bool, world: World) -> None:
    world.upstream.script = lambda request: _reply(stream)
    conversation = world.send("POST", "/v1/conversations", {}).json["id"]
    body = {"model": "openai/gpt-5", "input": "hi", "stream": stream, "include": [ENCRYPTED]}
    answer = world.send("POST", "/v1/responses", {**body, "conversation": conversation})
    first = answer.events[-1]["response"] if stream else answer.json
    again = [{"role": "user", "content": "hi"}, *first["output"], {"role": "user", "content": "more"}]
    world.upstream.script = lambda request: _reply(False)
    second = world.send("POST", "/v1/responses", {**body, "input": again, "stream": False}).json

    places = [
        # path, and which of its items are the provider's
        (f"responses/{first['id']}", "output", slice(None)),
        (f"conversations/{conversation}/items", "data", slice(1, None)),
        (f"responses/{second['id']}/input_items", "data", slice(1, -1)),
    ]
    assert first["output"] == ITEMS
    for path, member, which in places:
        assert world.send("GET", f"/v1/{path}{QUERY}").json[member][which] == ITEMS, path
    for item in ITEMS:
        one = world.send("GET", f"/v1/conversations/{conversation}/items/{item['id']}{QUERY}").json
        assert one == item
