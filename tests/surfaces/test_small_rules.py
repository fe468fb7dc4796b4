"""Small rules of the surfaces: what a stream is to tell, plain errors, models by bare name and alias."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.behaviour.world import World, chat_body, running_world
from tests.traffic.replay import NEVER, Reply

Json = dict[str, Any]
CONFIG = """
[models."house-model"]
target = "openai/gpt-4o"
"""
HI = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def _world() -> Iterator[World]:
    with running_world({"SLUICE_MODELS_KEPT": "0"}, config=CONFIG) as world:
        yield world


@pytest.fixture
def world(_world: World) -> World:
    return _world.fresh()


@pytest.mark.parametrize("value", ["yes", 1, {}, []])
@pytest.mark.parametrize(
    "path, body",
    [
        ("/v1/chat/completions", {"messages": HI}),
        ("/v1/responses", {"input": "hi"}),
        ("/v1/completions", {"prompt": "hi"}),
    ],
)
def test_what_a_stream_is_to_tell_is_a_boolean(path: str, body: Json, value: Any, world: World) -> None:
    asked = {"model": "openai/x", "stream": True, "stream_options": {"include_usage": value}, **body}
    answer = world.send("POST", path, asked)
    assert (answer.status, answer.error["param"]) == (400, "stream_options.include_usage")
    assert world.upstream.requests == []


@pytest.mark.parametrize(
    "path, body, missing",
    [
        ("batches", {"endpoint": "/v1/responses", "completion_window": "24h"}, "input_file_id"),
        ("batches", {"input_file_id": "file-x", "completion_window": "24h"}, "endpoint"),
        ("batches", {"input_file_id": "file-x", "endpoint": "/v1/responses"}, "completion_window"),
        ("conversations/{conversation}/items", {}, "items"),
        ("embeddings", {"model": "sandbox/x"}, "input"),
    ],
)
def test_a_required_member_may_not_be_null(path: str, body: Json, missing: str, world: World) -> None:
    conversation = world.send("POST", "/v1/conversations", {}).json["id"]
    for sent in (body, {**body, missing: None}):
        answer = world.send("POST", f"/v1/{path.format(conversation=conversation)}", sent)
        assert (answer.status, answer.error["param"]) == (400, missing)
        assert answer.error["code"] == "missing_required_parameter"


def test_null_empties_the_metadata_of_a_conversation(world: World) -> None:
    conversation = world.send("POST", "/v1/conversations", {"metadata": {"a": "b"}}).json["id"]
    answer = world.send("POST", f"/v1/conversations/{conversation}", {"metadata": None})
    assert (answer.status, answer.json["metadata"]) == (200, {})


def test_groqs_default_effort_and_vllms_top_k_pass_the_surface(world: World) -> None:
    world.upstream.add(Reply.json(chat_body()), times=NEVER)
    for more in ({"reasoning_effort": "default"}, {"top_k": -1}):
        body = {"model": "groq/qwen/qwen3-32b", "messages": HI, **more}
        assert world.send("POST", "/v1/chat/completions", body).status == 200
    body = {"model": "groq/qwen/qwen3-32b", "input": "hi", "reasoning": {"effort": "default"}}
    assert world.send("POST", "/v1/responses", body).status == 200
    assert b'"reasoning_effort":"default"' in world.upstream.requests[-1].body


@pytest.mark.parametrize("path", ["responses/resp_none", "responses/resp_none/input_items"])
def test_errors_of_what_is_retrieved_plainly_are_plain(path: str, world: World) -> None:
    for prefix in ("/openai/v1", "/openai"):
        answer = world.send("GET", f"{prefix}/{path}")
        assert (answer.status, answer.json.keys()) == (404, {"error"})
    assert "extra_fields" in world.send("GET", f"/v1/{path}").json


@pytest.mark.parametrize("path", ["/v1/nothing", "/openai/v1/nothing", "/v1/chat"])
def test_an_unknown_operation_is_none_of_ours(path: str, world: World) -> None:
    answer = world.send("POST", path, {})
    assert answer.status == 404
    assert answer.json["extra_fields"]["request_type"] is None


MODELS = {"object": "list", "data": [{"id": "gpt-4o", "object": "model"}, {"id": "o3", "object": "model"}]}


def test_a_bare_name_is_found_where_a_call_would_find_it(world: World) -> None:
    world.upstream.add(Reply.json(MODELS), times=NEVER)
    for path in ("/openai/v1/models/gpt-4o", "/openai/v1/models/openai/gpt-4o", "/v1/models/openai/gpt-4o"):
        answer = world.send("GET", path)
        assert (answer.status, answer.json.get("id")) == (200, "openai/gpt-4o"), path
    assert world.send("GET", "/openai/v1/models/none").error["code"] == "model_not_found"


def test_the_operators_names_are_listed_and_found(world: World) -> None:
    world.upstream.add(Reply.json(MODELS), times=NEVER)
    listed = [model["id"] for model in world.send("GET", "/v1/models").json["data"]]
    assert listed[0] == "house-model"
    assert "openai/gpt-4o" in listed
    assert world.send("GET", "/v1/models/house-model").json["id"] == "house-model"


def test_a_refused_document_is_named_with_the_model(world: World) -> None:
    part = {
        "type": "file",
        "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0x"},
    }
    body = {"model": "groq/llama-x", "messages": [{"role": "user", "content": [part]}]}
    message = world.send("POST", "/v1/chat/completions", body).error["message"]
    assert message == "documents are not supported by 'groq/llama-x': a.pdf."


@pytest.mark.parametrize("call_id", [[[]], {}, 5], ids=repr)
@pytest.mark.parametrize(
    "item",
    [
        {"type": "local_shell_call", "id": "x", "status": "completed", "action": {}},
        {"type": "of_tomorrow", "id": "x"},
        {"role": "user", "content": "hi"},
        {"type": "function_call", "name": "f", "arguments": "{}"},
    ],
    ids=lambda item: item.get("type"),
)
def test_the_id_of_a_call_is_a_string_in_every_item(item: Json, call_id: Any, world: World) -> None:
    """One that is none would be stored in a conversation, and break all its later turns."""
    conversation = world.send("POST", "/v1/conversations", {}).json["id"]
    items = [{**item, "call_id": call_id}]

    turn = world.ask("responses", model="anthropic/x", input=items, conversation=conversation)
    added = world.send("POST", f"/v1/conversations/{conversation}/items", {"items": items})

    assert (turn.status, turn.error["param"]) == (400, "input[0].call_id")
    assert (added.status, added.error["param"]) == (400, "items[0].call_id")
    assert world.upstream.requests == []
