"""The tools of today's agents: brought by items, in namespaces, found by the client's own search.

What a provider of functions is offered, and under which names its calls come back.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from app.dialects.base import ServerContext
from app.dialects.responses.dialect import DIALECT
from tests.behaviour.world import World, chat_body, chat_chunk
from tests.traffic.replay import NEVER, Reply

Json = dict[str, Any]
RESPONSES = "/v1/responses"
LEGAL = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


def function(name: str, **more: Any) -> Json:
    return {"type": "function", "name": name, "parameters": {"type": "object", "properties": {}}, **more}


def space(name: str, *inner: Json) -> Json:
    return {"type": "namespace", "name": name, "description": f"about {name}", "tools": list(inner)}


ADDITIONAL = {
    "type": "additional_tools",
    "role": "developer",
    "tools": [function("shell"), function("patch")],
}
GO = {"role": "user", "content": "Go"}


@pytest.fixture
def world(world: World) -> World:
    return world.fresh()


def call(
    world: World, name: str, *, stream: bool = False, arguments: str = '{"a": 1}', times: float = 1
) -> None:
    """Let the provider call a tool by its wire's name."""
    made = {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}
    if stream:
        chunks = chat_chunk({"role": "assistant", "tool_calls": [{"index": 0, **made}]}) + chat_chunk(
            {}, "tool_calls"
        )
        world.upstream.add(Reply.sse(chunks + b"data: [DONE]\n\n"), times=times)
        return
    choice = {
        "index": 0,
        "message": {"role": "assistant", "tool_calls": [made]},
        "finish_reason": "tool_calls",
    }
    world.upstream.add(Reply.json(chat_body(choices=[choice])), times=times)


def ask(world: World, *, stream: bool = False, **members: Any) -> Json:
    answer = world.send("POST", RESPONSES, {"model": "groq/x", "input": "Go", "stream": stream, **members})
    assert answer.status == 200, answer.body
    if stream:
        assert answer.broken("responses") == []
        done = [e["item"] for e in answer.events if e["type"] == "response.output_item.done"]
        assert done == answer.events[-1]["response"]["output"]
    response: Json = answer.events[-1]["response"] if stream else answer.json
    return response


def request_body(world: World) -> Json:
    body: Json = world.upstream.requests[-1].json()
    return body


def names(body: Json) -> list[str]:
    return [tool["function"]["name"] for tool in body["tools"]]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_tools_that_an_item_brings_are_offered_also_out_of_history(world: World, stream: bool) -> None:
    call(world, "shell", stream=stream)
    first = ask(world, stream=stream, input=[ADDITIONAL, GO], tools=[function("own")])
    assert sorted(names(request_body(world))) == ["own", "patch", "shell"]
    assert [m["role"] for m in request_body(world)["messages"]] == ["user"]
    assert first["output"][0]["name"] == "shell"
    output = {"type": "function_call_output", "call_id": "c1", "output": "done"}
    call(world, "patch", stream=stream)
    ask(world, stream=stream, input=[output], previous_response_id=first["id"])
    assert names(request_body(world)) == ["shell", "patch"]


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ({"type": "function", "name": "patch"}, {"type": "function", "function": {"name": "patch"}}),
        ("required", "required"),
    ],
)
def test_a_choice_may_name_a_tool_that_an_item_brings(world: World, choice: Any, wanted: Any) -> None:
    call(world, "patch")
    ask(world, input=[ADDITIONAL, GO], tool_choice=choice)
    assert request_body(world)["tool_choice"] == wanted


WIRES = ("anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash", "cohere/command-a-03-2025")


@pytest.mark.parametrize("model", WIRES)
def test_every_wire_is_offered_them(world: World, model: str) -> None:
    world.upstream.add(Reply.json({"error": {"message": "seen"}, "message": "seen"}, 400))
    body = {"model": model, "input": [ADDITIONAL, GO], "tools": [space("a", function("f")), function("f")]}
    assert world.send("POST", RESPONSES, body).status == 400
    text = json.dumps(request_body(world))
    assert all(f'"name": "{name}"' in text for name in ("shell", "patch", "f", "a_f"))


NAMED: list[tuple[list[Json], list[str]]] = [
    ([space("a", function("f"))], ["f"]),
    ([space("a", function("f")), function("f")], ["a_f", "f"]),
    ([space("a", function("f")), space("b", function("f"))], ["f", "b_f"]),
    ([function("a_f"), function("f"), space("a", function("f"))], ["a_f", "f", "a_f_2"]),
    ([space("mcp.server one", function("f")), function("f")], ["mcp_server_one_f", "f"]),
    ([space("a", function("get.it"))], ["get_it"]),
]


def offered(tools: list[Json]) -> Any:
    return DIALECT.decode_request({"model": "m", "input": "Go", "tools": tools}, ServerContext(str, 0))


@pytest.mark.parametrize(("tools", "wanted"), NAMED)
def test_names_are_unique_and_legal(tools: list[Json], wanted: list[str]) -> None:
    assert [tool.name for tool in offered(tools).tools] == wanted


def test_a_long_name_ends_in_its_hash_and_stays_unique() -> None:
    long = [
        space("n" * 50, function("f" * 20)),
        space("n" * 50, function("f" * 21)),
        function("f" * 20),
        function("f" * 21),
    ]
    found = [tool.name for tool in offered(long).tools]
    assert len(set(found)) == 4
    assert all(LEGAL.match(name) for name in found)
    twelve = [space("n" * 50, function("f" * 12)), function("f" * 12)]
    assert [len(tool.name) for tool in offered(twelve).tools] == [63, 12]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", ["function", "custom"])
def test_a_call_out_of_a_namespace_comes_back_by_it_and_goes_on(
    world: World, stream: bool, kind: str
) -> None:
    inner = function("f") if kind == "function" else {"type": "custom", "name": "f"}
    tools = [space("a", function("f")), space("b", inner)]
    call(world, "b_f", stream=stream, arguments='{"input": "x"}')
    first = ask(world, stream=stream, tools=tools)
    (item,) = first["output"]
    assert (item["type"], item["namespace"], item["name"]) == (
        "function_call" if kind == "function" else "custom_tool_call", "b", "f",
    )  # fmt: skip
    output = {"type": f"{item['type']}_output", "call_id": "c1", "output": "done"}
    world.upstream.add(Reply.json(chat_body()), times=2)
    ask(world, input=[output], previous_response_id=first["id"], tools=tools)
    assert request_body(world)["messages"][1]["tool_calls"][0]["function"]["name"] == "b_f"
    ask(world, input=[GO, item, output], tools=tools)
    assert request_body(world)["messages"][1]["tool_calls"][0]["function"]["name"] == "b_f"


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ({"type": "function", "name": "f", "namespace": "b"}, "b_f"),
        ({"type": "function", "name": "g"}, "g"),
        ({"type": "function", "name": "f", "namespace": "a"}, "f"),
    ],
)
def test_a_choice_names_the_tool_that_its_namespace_says(world: World, choice: Json, wanted: str) -> None:
    world.upstream.add(Reply.json(chat_body()))
    ask(
        world, tools=[space("a", function("f")), space("b", function("f"), function("g"))], tool_choice=choice
    )
    assert request_body(world)["tool_choice"]["function"]["name"] == wanted


SEARCH = {"type": "tool_search", "execution": "client", "description": "Finds tools."}
FOUND = {
    "type": "tool_search_output",
    "call_id": "c1",
    "execution": "client",
    "status": "completed",
    "tools": [function("late", defer_loading=True), space("a", function("deep"))],
}


@pytest.mark.parametrize("by_id", [True, False], ids=["by-id", "by-hand"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_clients_own_search_for_tools_is_offered_answered_and_loaded(
    world: World, stream: bool, by_id: bool
) -> None:
    call(world, "tool_search", stream=stream, arguments='{"query": "weather"}')
    first = ask(world, stream=stream, tools=[SEARCH])
    assert names(request_body(world)) == ["tool_search"]
    (item,) = first["output"]
    assert item | {"id": ""} == {
        "id": "", "type": "tool_search_call", "status": "completed", "execution": "client", "call_id": "c1",
        "arguments": {"query": "weather"},
    }  # fmt: skip
    assert item["id"].startswith("tsc_")
    call(world, "late", stream=stream)
    more = {"input": [FOUND], "previous_response_id": first["id"]} if by_id else {"input": [GO, item, FOUND]}
    second = ask(world, stream=stream, tools=[SEARCH], **more)
    assert names(request_body(world)) == ["tool_search", "late", "deep"]
    roles = [message["role"] for message in request_body(world)["messages"]]
    assert roles == ["user", "assistant", "tool"]
    assert "late, deep" in request_body(world)["messages"][2]["content"]
    assert second["output"][0]["name"] == "late"


def test_a_call_is_done_when_the_next_text_begins_and_stored_in_the_order_of_the_stream(world: World) -> None:
    made = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    deltas: list[Json] = [{"content": "one"}, {"tool_calls": [made]}, {"content": "two"}]
    frames = b"".join(chat_chunk(delta) for delta in deltas) + chat_chunk({}, "tool_calls")
    world.upstream.add(Reply.sse(frames + b"data: [DONE]\n\n"))
    answer = world.send("POST", RESPONSES, {"model": "groq/x", "input": "Go", "stream": True})
    steps = [
        (e["type"].rpartition(".")[2], e["output_index"]) for e in answer.events if "output_item" in e["type"]
    ]
    assert steps == [("added", 0), ("done", 0), ("added", 1), ("done", 1), ("added", 2), ("done", 2)]
    output = answer.events[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["message", "function_call", "message"]
    stored = world.send("GET", f"{RESPONSES}/{answer.events[-1]['response']['id']}").json
    assert stored["output"] == output


def test_nothing_said_is_one_empty_text_both_ways(world: World) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": None}, "finish_reason": "length"}
    world.upstream.add(Reply.json(chat_body(choices=[choice])))
    whole = ask(world)
    world.upstream.add(
        Reply.sse(
            chat_chunk({"role": "assistant", "content": None})
            + chat_chunk({}, "length")
            + b"data: [DONE]\n\n"
        )
    )
    streamed = ask(world, stream=True)
    for one in (whole, streamed):
        (item,) = one["output"]
        assert (one["status"], item["type"], item["content"][0]["text"]) == ("incomplete", "message", "")


@pytest.mark.parametrize("role", ["user", "developer"])
def test_texts_alone_are_one_string_for_servers_that_know_no_lists(world: World, role: str) -> None:
    content = [{"type": "input_text", "text": "one"}, {"type": "input_text", "text": "two"}]
    result = {"type": "function_call_output", "call_id": "c1", "output": content}
    item = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
    items = [{"role": role, "content": content}, item, result]
    for model, lists in (("groq/x", True), ("sgl/x", False), ("parasail/x", False)):
        world.upstream.add(Reply.json(chat_body()))
        ask(world, model=model, input=items)
        told = [
            message["content"]
            for message in request_body(world)["messages"]
            if message["role"] != "assistant"
        ]
        assert (told == ["one\ntwo", "one\ntwo"]) is not lists


def test_a_provider_of_responses_gets_all_of_it_as_it_came(world: World) -> None:
    world.upstream.add(Reply.json({"error": {"message": "seen"}}, 400), times=NEVER)
    tools = [space("a", function("f")), SEARCH]
    for model in ("openai/gpt-5", "responder/x"):
        body = {"model": model, "input": [ADDITIONAL, GO], "tools": tools}
        assert world.send("POST", RESPONSES, body).status == 400
        told = request_body(world)
        brought = [item for item in told["input"] if item.get("type") == "additional_tools"]
        everything = [*told["tools"], *(tool for item in brought for tool in item["tools"])]
        assert [tool.get("name") or tool["type"] for tool in everything] == [
            "a",
            "tool_search",
            "shell",
            "patch",
        ]
