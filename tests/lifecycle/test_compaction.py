"""Compaction and token counts: done by the gateway, for every provider."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.lifecycle.house import Client, House, text_of
from tests.traffic.replay import Reply

SURFACES = ("/v1", "/openai/v1", "/openai/deployments/gpt", "/api/llm")
MODELS = (
    "sandbox/echo",
    "sandbox/responses-echo",
    "openai/gpt-4.1",
    "anthropic/claude-haiku-4-5",
    "gemini/gemini-2.5-flash",
)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def compact(
    client: Client, *, surface: str = "/v1", model: str = "sandbox/echo", **members: Any
) -> dict[str, Any]:
    answer = client.post(f"{surface}/responses/compact", {"model": model, **members})
    assert answer.status == 200, answer.body
    body: dict[str, Any] = answer.json
    return body


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("model", MODELS)
def test_a_compaction_keeps_the_users_words_and_a_sealed_summary(
    ann: Client, surface: str, model: str
) -> None:
    history = [user("My cat is Ada."), {"role": "assistant", "content": "Noted."}, user("She is nine.")]
    made = compact(ann, surface=surface, model=model, input=history)
    assert made["id"].startswith("resp_")
    assert (made["object"], isinstance(made["created_at"], int)) == ("response.compaction", True)
    *kept, last = made["output"]
    assert [item["content"][0] for item in kept] == [
        {"type": "input_text", "text": "My cat is Ada."},
        {"type": "input_text", "text": "She is nine."},
    ]
    assert all(
        (item["type"], item["role"], item["status"]) == ("message", "user", "completed") for item in kept
    )
    assert set(last) == {"id", "type", "encrypted_content"}
    assert (last["type"], last["id"][:4]) == ("compaction", "cmp_")
    assert "cat" not in last["encrypted_content"].replace("_", " ").split()
    assert made["usage"]["total_tokens"] == made["usage"]["input_tokens"] + made["usage"]["output_tokens"] > 0
    assert "cost" in made["usage"]


@pytest.fixture
def summarised(house: House, ann: Client) -> dict[str, Any]:
    """A compaction whose summary is known: the provider is told what to say."""
    body = {
        "id": "up",
        "object": "chat.completion",
        "created": 1,
        "model": "up",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "THE SUMMARY: the cat is Ada."},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 30, "completion_tokens": 6, "total_tokens": 36},
    }
    house.upstream.add(Reply.json(body), path="*/chat/completions")
    return compact(ann, model="groq/llama", input=[user("My cat is Ada.")])


def test_the_provider_is_asked_for_a_summary_of_the_history(house: House, summarised: dict[str, Any]) -> None:
    messages = house.upstream.requests[0].json()["messages"]
    assert "My cat is Ada." in json.dumps(messages[0])
    assert "summary" in json.dumps(messages[-1])
    usage = summarised["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (30, 6, 36)


@pytest.mark.parametrize("mode", [{}, {"store": False}, {"stream": True}, {"background": True}])
@pytest.mark.parametrize("model", ["sandbox/echo", "sandbox/responses-echo", "sandbox/messages-echo"])
def test_the_next_turn_understands_it(
    ann: Client, ann_too: Client, summarised: dict[str, Any], mode: dict[str, Any], model: str
) -> None:
    answer = ann_too.create([*summarised["output"], user("echo history")], model=model, **mode)
    assert answer.status == 200, answer.body
    if mode.get("background"):
        shown = ann.ended(answer.json["id"])
    else:
        shown = answer.events[-1]["response"] if mode.get("stream") else answer.json
    assert "THE SUMMARY: the cat is Ada." in text_of(shown)
    if mode.get("store", True):
        later = ann.make("echo history", previous_response_id=shown["id"], model=model)
        assert "THE SUMMARY: the cat is Ada." in text_of(later)
        items = ann.get(f"/v1/responses/{shown['id']}/input_items?order=asc").json["data"]
        assert items[1]["type"] == "compaction"
        assert items[1]["encrypted_content"] == summarised["output"][1]["encrypted_content"]


def test_another_tenants_is_refused(bob: Client, summarised: dict[str, Any]) -> None:
    for store in (True, False):
        answer = bob.create([*summarised["output"], user("echo history")], store=store)
        assert (answer.status, answer.error["param"], answer.error["code"]) == (400, "input", "invalid_value")
    changed = {
        **summarised["output"][1],
        "encrypted_content": summarised["output"][1]["encrypted_content"][:-6],
    }
    assert bob.create([changed, user("x")]).status == 400


def test_a_stored_history_is_compacted(ann: Client) -> None:
    first = ann.make("say exactly: one")
    made = compact(ann, previous_response_id=first["id"], input=[])
    assert [item["content"][0]["text"] for item in made["output"][:-1]] == ["say exactly: one"]
    again = compact(ann, input=made["output"])
    assert again["output"][-1]["type"] == "compaction"


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"input": "x"}, "model", "missing_required_parameter"),
        ({"model": 5, "input": "x"}, "model", "invalid_type"),
    ],
)
def test_a_bad_compaction_is_refused(ann: Client, body: dict[str, Any], param: str, code: str) -> None:
    answer = ann.post("/v1/responses/compact", body)
    assert (answer.status, answer.error["param"], answer.error["code"]) == (400, param, code)


@pytest.mark.parametrize("surface", SURFACES)
def test_tokens_are_counted_by_the_provider_or_estimated(house: House, ann: Client, surface: str) -> None:
    def count(**body: Any) -> dict[str, Any]:
        answer = ann.post(f"{surface}/responses/input_tokens", body)
        assert answer.status == 200, answer.body
        counted: dict[str, Any] = answer.json
        return counted

    house.upstream.add(
        Reply.json({"object": "response.input_tokens", "input_tokens": 1234}), path="*/input_tokens"
    )
    house.upstream.add(Reply.json({"input_tokens": 4321}), path="*/count_tokens")
    house.upstream.add(Reply.json({"totalTokens": 77}), path="*:countTokens")
    assert count(model="openai/gpt-4.1", input="Hello there")["input_tokens"] == 1234
    assert count(model="anthropic/claude-haiku-4-5", input="Hello there")["input_tokens"] == 4321
    by_provider = count(model="gemini/gemini-2.5-flash", input="Hello there")
    assert (by_provider["object"], by_provider["input_tokens"]) == ("response.input_tokens", 77)
    assert "estimated" not in by_provider
    estimate = count(model="groq/llama", input="Hello there, how are you?")
    assert estimate["estimated"] is True
    assert estimate["input_tokens"] > 0
    if "deployments" not in surface:  # there the path names a model
        assert count()["estimated"] is True


def test_tokens_of_a_history_are_counted_with_it(ann: Client) -> None:
    def tokens(**body: Any) -> int:
        return int(
            ann.post("/v1/responses/input_tokens", {"model": "groq/llama", **body}).json["input_tokens"]
        )

    first = ann.make("say exactly: " + "word " * 200)
    conversation = ann.post("/v1/conversations", {"items": [user("word " * 200)]}).json["id"]
    alone = tokens(input="Hello")
    assert tokens(input="Hello", previous_response_id=first["id"]) > alone + 100
    assert tokens(input="Hello", conversation=conversation) > alone + 100


TRIGGER = {"type": "compaction_trigger"}


@pytest.mark.parametrize("mode", ["whole", "stream", "background", "unstored"])
@pytest.mark.parametrize("model", MODELS)
def test_a_trigger_at_the_end_gives_one_compaction_item(
    house: House, ann: Client, model: str, mode: str
) -> None:
    members: dict[str, Any] = {
        "whole": {},
        "stream": {"stream": True},
        "background": {"background": True},
        "unstored": {"store": False, "stream": True},
    }[mode]
    tools = [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}]
    answer = ann.create([user("My cat is Ada."), TRIGGER], model=model, tools=tools, **members)
    assert answer.status == 200, answer.body
    made = answer.events[-1]["response"] if members.get("stream") else answer.json
    if mode == "background":
        made = ann.ended(made["id"])
    (item,) = made["output"]
    assert (made["status"], item["type"], item["id"][:4]) == ("completed", "compaction", "cmp_")
    assert made["usage"]["total_tokens"] > 0
    if members.get("stream"):
        assert answer.broken("responses") == []
        assert [e["item"] for e in answer.events if e["type"] == "response.output_item.done"] == [item]
    if mode in ("whole", "stream"):
        assert ann.get(f"/v1/responses/{made['id']}").json["output"] == [item]
        listed = ann.get(f"/v1/responses/{made['id']}/input_items").json["data"]
        assert [one["type"] for one in listed] == ["message"]
    assert not any(b"compaction_trigger" in request.body for request in house.upstream.requests)
    assert "Summary of the conversation" in text_of(ann.make([item, user("echo history")]))


def test_a_trigger_after_stored_history_summarises_it(house: House, ann: Client) -> None:
    first = ann.make("say exactly: the cat is Ada", model="sandbox/echo")
    second = ann.make([TRIGGER], previous_response_id=first["id"])
    assert [item["type"] for item in second["output"]] == ["compaction"]


def test_a_trigger_that_is_not_last_is_refused(ann: Client) -> None:
    answer = ann.create([TRIGGER, user("hi")])
    assert (answer.status, answer.error["param"]) == (400, "input[0]")
