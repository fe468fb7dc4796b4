"""The cases of Open Responses' public suite that run over a WebSocket, each in a test of its own.

Its suite is a program for a browser and for Bun (openresponses/openresponses, ``compliance-tests.ts``,
2026-09); these are its seven cases by their names, with the published schemas as judges of all that
comes back. What else holds of sockets is in ``test_sockets.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.behaviour.world import ROLE, World, chat_text
from tests.dialects.openresponses import event_schemas, faults_of, faults_of_event, faults_of_response
from tests.surfaces.test_sockets import ENDS, opened, text_of
from tests.traffic.replay import Reply
from tests.websocket_client import ClientConnection

MODEL = "sandbox/echo"
MISSING = "previous_response_not_found"


def turn(connection: ClientConnection, said: Any, **members: Any) -> dict[str, Any]:
    """Take one turn that is not stored; return its last event, each being held to its schema."""
    request = {"type": "response.create", "model": MODEL, "store": False, "input": said, **members}
    assert faults_of("WebSocketResponseCreateEvent", request) == []
    connection.send(json.dumps(request))
    kinds: list[str] = []
    while True:
        event: dict[str, Any] = json.loads(connection.recv(timeout=20))
        kinds.append(event["type"])
        if event["type"] == "error":
            assert faults_of("WebSocketErrorEvent", event) == []
            return event
        assert event["type"] in event_schemas()
        assert faults_of_event(event) == []
        if event["type"] in ENDS:
            assert kinds[0] == "response.created"
            return event


def answered(connection: ClientConnection, said: Any, **members: Any) -> dict[str, Any]:
    """Take one turn that must be completed; return its response, which fits the schema."""
    last = turn(connection, said, **members)
    assert last["type"] == "response.completed", last
    response: dict[str, Any] = last["response"]
    assert faults_of_response(response) == []
    assert (response["status"], response["store"]) == ("completed", False)
    return response


def refused(connection: ClientConnection, said: Any, **members: Any) -> Mapping[str, Any]:
    """Take one turn that must not begin; return the error."""
    last = turn(connection, said, **members)
    assert last["type"] == "error", last
    told: dict[str, Any] = last["error"]
    return told


def test_websocket_response(world: World) -> None:
    with opened(world) as connection:
        assert text_of(answered(connection, "say exactly: hello")) == "hello"


def test_websocket_sequential_responses(world: World) -> None:
    with opened(world) as connection:
        for word in ("first", "second"):
            assert text_of(answered(connection, f"say exactly: {word}")) == word


def test_websocket_continuation(world: World) -> None:
    with opened(world) as connection:
        first = answered(connection, "Remember the code word: ember.")
        second = answered(connection, "say exactly: ember", previous_response_id=first["id"])
        assert second["previous_response_id"] == first["id"]
        assert second["usage"]["input_tokens"] > first["usage"]["input_tokens"]  # the first turn was heard


def test_websocket_reconnect_store_false_recovery(world: World) -> None:
    with opened(world) as connection:
        first = answered(connection, "Remember the code word: copper.")
    with opened(world) as connection:
        assert refused(connection, "go on", previous_response_id=first["id"])["code"] == MISSING
        messages = [{"type": "message", "role": "user", "content": "say exactly: recovered"}]
        assert text_of(answered(connection, messages)) == "recovered"


def test_websocket_previous_response_not_found(world: World) -> None:
    with opened(world) as connection:
        told = refused(connection, "go on", previous_response_id="resp_openresponses_missing_1")
        assert (told["code"], told["param"]) == (MISSING, "previous_response_id")


def test_websocket_failed_continuation_evicts_cache(world: World) -> None:
    output = {"type": "function_call_output", "call_id": "call_missing", "output": "nobody asked"}
    with opened(world) as connection:
        first = answered(connection, "Remember the code word: ember.")
        assert "call_missing" in refused(connection, [output], previous_response_id=first["id"])["message"]
        assert refused(connection, "go on", previous_response_id=first["id"])["code"] == MISSING


def test_websocket_compact_new_chain(world: World) -> None:
    parts = [("user", "input_text", "Remember: slate."), ("assistant", "output_text", "OK.")]
    said = [
        {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}
        for role, kind, text in parts
    ]
    compacted = world.send("POST", "/v1/responses/compact", {"model": MODEL, "input": said}).json
    compacted.pop("extra_fields", None)
    assert faults_of("CompactResource", compacted) == []
    more = {"type": "message", "role": "user", "content": "say exactly: slate"}
    with opened(world) as connection:
        response = answered(connection, [*compacted["output"], more])
        assert (response["previous_response_id"], text_of(response)) == (None, "slate")


def test_a_turn_that_breaks_ends_in_an_error_of_the_schema(world: World) -> None:
    world.upstream.add(Reply.sse(ROLE + chat_text("so far") + b'data: {"error": {"message": "gone"}}\n\n'))
    with opened(world) as connection:
        last = turn(connection, "hi", model="groq/x")
        assert (last["type"], last["status"], last["error"]["message"]) == ("error", 502, "gone")
