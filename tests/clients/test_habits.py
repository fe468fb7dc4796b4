"""What clients that are not installed here really send, replayed request by request.

Each row is the habit of a client: the OpenAI agents SDKs,
LangChain, pydantic-ai, instructor, the AI SDK, LiteLLM and Codex.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.behaviour.world import World, received

HISTORY: list[dict[str, Any]] = [
    {"role": "user", "content": "call tool weather with city=Rome"},
    {
        "id": "fc_00000000000000000000000000000000",
        "type": "function_call",
        "status": "completed",
        "call_id": "call_1",
        "name": "weather",
        "arguments": '{"city":"Rome"}',
    },
    {"type": "function_call_output", "call_id": "call_1", "output": "rain in Rome"},
    {"role": "assistant", "content": "It rains."},
    {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "It rains."}],
    },
    {"role": "user", "content": [{"type": "input_text", "text": "echo history"}]},
]
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}
CODEX = {
    "model": "sandbox/codex",
    "instructions": "You are a coding agent. " * 1500,
    "input": [
        {
            "type": "message",
            "role": "developer",
            "content": [{"type": "input_text", "text": "one"}, {"type": "input_text", "text": "two"}],
        },
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "say exactly: done"}]},
    ],
    "tools": [
        TOOL,
        {"type": "namespace", "name": "files", "description": "files", "tools": [TOOL]},
        {"type": "web_search"},
        {"type": "custom", "name": "apply_patch", "format": {"type": "text"}},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "reasoning": {"effort": "medium", "summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "0199",
    "text": {"verbosity": "low"},
    "client_metadata": {"x": "y"},
}

SENT: dict[str, tuple[str, dict[str, Any], str]] = {
    # client: path, body, words of the answer
    "agents: empty include, replayed history with its ids": (
        "/v1/responses",
        {"model": "sandbox/x", "input": HISTORY, "include": [], "tools": [TOOL]},
        "rain in Rome",
    ),
    "langchain: stream false, text beside tools": (
        "/v1/responses",
        {"model": "sandbox/x", "input": [{"role": "user", "content": "say exactly: hi"}], "stream": False},
        "hi",
    ),
    "instructor: text format and a forced tool": (
        "/v1/responses",
        {
            "model": "sandbox/x",
            "input": "call tool weather with city=Rome",
            "text": {"format": {"type": "text"}},
            "tools": [TOOL],
            "tool_choice": {"type": "function", "name": "weather"},
        },
        "Rome",
    ),
    "AI SDK azure: neither v1 nor api-version": (
        "/openai/responses",
        {
            "model": "sandbox/x",
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        },
        "completed",
    ),
    "AI SDK azure: deployment in the path": (
        "/openai/deployments/sandbox%2Fx/responses?api-version=v1",
        {"model": "x", "input": "say exactly: hi"},
        "hi",
    ),
    "chat clients: null members and an empty assistant content": (
        "/v1/chat/completions",
        {
            "model": "sandbox/x",
            "messages": [
                {"role": "user", "content": "call tool weather with city=Rome"},
                {
                    "role": "assistant",
                    "content": None,
                    "refusal": None,
                    "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
                    ],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "rain in Rome"},
            ],
            "temperature": None,
            "stop": None,
            "n": 1,
            "stream": False,
        },
        "rain in Rome",
    ),
    "the beta twin of the path": (
        "/v1/responses?beta=true",
        {"model": "sandbox/x", "input": "say exactly: hi"},
        "hi",
    ),
    "codex": ("/v1/responses", CODEX, "done"),
}


@pytest.mark.parametrize("client", SENT)
def test_a_request_as_a_client_sends_it_is_answered(world: World, client: str) -> None:
    path, body, words = SENT[client]
    answer = world.send("POST", path, body, {"user-agent": client[:20], "x-stainless-lang": "js"})
    assert answer.status == 200, answer.body
    assert words in answer.body.decode()


def test_codex_sees_its_turn_completed(world: World) -> None:
    events = world.send("POST", "/v1/responses", CODEX, {"session-id": "s", "x-codex-turn": "1"}).events
    assert events[-1]["type"] == "response.completed"
    assert events[-1]["response"]["output"][-1]["content"][0]["text"] == "done"
    warned = {row["param"] for row in events[0]["extra_fields"].get("warnings", ())}
    assert "tools" in warned  # web_search is not for this provider; the namespace was flattened


@pytest.mark.parametrize("content_type", ["application/json", None])
def test_an_empty_body_is_fine_where_nothing_is_needed(world: World, content_type: str | None) -> None:
    sent = {"content-type": content_type} if content_type else {}
    answer = world.send("POST", "/v1/conversations", None, {**sent, "content-length": "0"})
    assert answer.json["object"] == "conversation"
    queued = world.ask("responses", model="sandbox/x", background=True, input="take 30 seconds").json
    path = f"/v1/responses/{queued['id']}/cancel"
    assert world.send("POST", path, None, {**sent, "content-length": "0"}).json["status"] == "cancelled"


@pytest.mark.parametrize(
    "query",
    ["include%5B%5D=reasoning.encrypted_content", "include[0]=a.b&include=c", "include=a,b", "include="],
)
def test_include_in_a_query_has_many_spellings(world: World, query: str) -> None:
    body = world.ask("responses", model="sandbox/x").json
    assert world.send("GET", f"/v1/responses/{body['id']}?{query}").status == 200


def test_a_stored_response_is_fetched_with_stream_false(world: World) -> None:
    body = world.ask("responses", model="sandbox/x").json
    assert world.send("GET", f"/v1/responses/{body['id']}?stream=false").json["id"] == body["id"]
    assert (
        world.send("DELETE", f"/v1/responses/{body['id']}", None, {"accept": "*/*"}).json["deleted"] is True
    )


def test_each_event_is_one_write_of_its_two_lines(world: World) -> None:
    """Some clients forget a half-read event between reads: no read may end within one."""
    connection = world.open("responses", model="sandbox/x", input="say exactly: a b c d e f g h")
    with connection:
        data = received(connection, b"\r\n0\r\n\r\n")
    body, pieces = data.partition(b"\r\n\r\n")[2], []
    while body and not body.startswith(b"0\r\n"):
        size, _, rest = body.partition(b"\r\n")
        pieces.append(rest[: int(size, 16)])
        body = rest[int(size, 16) + 2 :]
    assert pieces
    assert all(piece.startswith((b"event: ", b": ")) and piece.endswith(b"\n\n") for piece in pieces)


def test_a_websocket_is_refused_in_words(world: World) -> None:
    asked = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    refused = world.send(
        "GET", "/v1/chat/completions", None, {**asked, "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    )
    assert refused.status == 426
    assert refused.error["code"] == "websocket_not_supported"
    assert world.send("GET", "/v1/responses").status == 405
    assert json.loads(world.send("GET", "/v1/responses").body)["error"]["code"] == "method_not_supported"
