"""Going on: by response, by conversation, by item; over surfaces, keys, providers and fallbacks.

What the model is told is looked at where it arrives: the sandbox says its history, and the fake provider
notes every request.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.lifecycle.house import Client, House, eventually, running_house, text_of
from tests.traffic.load import exchange
from tests.traffic.replay import Reply, Request

AZURE = "/openai/deployments/gpt"
TRUEFOUNDRY = "/api/llm/api/inference/openai"
ASKED = "echo history"


def history_of(client: Client, **members: Any) -> str:
    """What the sandbox saw before its turn."""
    return text_of(client.make(ASKED, **members))


def request_at(house: House, number: int = -1) -> Request:
    return house.upstream.requests[number]


def test_a_response_made_through_azure_goes_on_through_truefoundry_on_another_provider(
    house: House, ann: Client, ann_too: Client
) -> None:
    first = ann.post(
        f"{AZURE}/responses?api-version=2025-03-01-preview",
        {"model": "openai/gpt-4.1", "input": "My cat is called Ada."},
    ).json
    assert ann_too.get(f"/v1/responses/{first['id']}").json["output"] == first["output"]
    second = ann_too.make(
        "And now?", surface=TRUEFOUNDRY, model="anthropic/claude-haiku-4-5", previous_response_id=first["id"]
    )
    history = [message["content"][0]["text"] for message in request_at(house).json()["messages"]]
    assert history == ["My cat is called Ada.", text_of(first), "And now?"]
    assert second["previous_response_id"] == first["id"]
    third = history_of(ann, previous_response_id=second["id"])
    assert "My cat is called Ada." in third
    assert "And now?" in third


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_a_turn_sees_all_turns_before_it(ann: Client, background: bool, stream: bool) -> None:
    mode = {"background": background, "stream": stream}
    first = ann.make("say exactly: one")
    second = ann.make("say exactly: two", previous_response_id=first["id"])
    answer = ann.create(ASKED, previous_response_id=second["id"], **mode)
    assert answer.status == 200
    if stream:
        response_id = answer.events[0]["response"]["id"]
    else:
        response_id = answer.json["id"]
    words = text_of(ann.ended(response_id))
    assert [words.index(w) for w in ("say exactly: one", "one", "say exactly: two")] == sorted(
        words.index(w) for w in ("say exactly: one", "one", "say exactly: two")
    )


def test_branches_see_their_own_branch_alone(ann: Client) -> None:
    root = ann.make("say exactly: the root")
    response = ann.make("say exactly: the left", previous_response_id=root["id"])
    right = ann.make("say exactly: the right", previous_response_id=root["id"])
    seen = history_of(ann, previous_response_id=response["id"])
    assert "the root" in seen
    assert "the left" in seen
    assert "the right" not in seen
    assert "the left" not in history_of(ann, previous_response_id=right["id"])


def test_instructions_do_not_carry_over(ann: Client) -> None:
    first = ann.make("say exactly: one", instructions="Speak like a pirate.")
    assert first["instructions"] == "Speak like a pirate."
    second = ann.make(ASKED, previous_response_id=first["id"])
    assert "pirate" not in text_of(second)
    assert second["instructions"] is None


@pytest.mark.parametrize("form", ["string", "object"])
def test_a_conversation_is_read_and_grows(ann: Client, form: str) -> None:
    body = ann.post("/v1/conversations", {"items": [{"role": "user", "content": "I am Ann."}]}).json
    named: Any = body["id"] if form == "string" else {"id": body["id"]}
    first = ann.make("say exactly: hello Ann", conversation=named)
    assert first["conversation"] == {"id": body["id"]}
    assert first["conversation_id"] == body["id"]
    seen = history_of(ann, conversation=named)
    assert [word in seen for word in ("I am Ann.", "say exactly: hello Ann")] == [True, True]
    items = ann.get(f"/v1/conversations/{body['id']}/items?order=asc").json["data"]
    assert [item["role"] for item in items] == ["user", "user", "assistant", "user", "assistant"]
    assert [items[2]["id"]] == [item["id"] for item in first["output"]]
    listed = ann.get(f"/v1/responses/{first['id']}/input_items").json["data"]
    assert [items[1]["id"]] == [item["id"] for item in listed]


def test_a_conversation_is_only_read_without_store(ann: Client) -> None:
    body = ann.post("/v1/conversations", {"items": [{"role": "user", "content": "I am Ann."}]}).json
    assert "I am Ann." in history_of(ann, conversation=body["id"], store=False)
    assert len(ann.get(f"/v1/conversations/{body['id']}/items").json["data"]) == 1


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("store", [True, False])
def test_an_item_is_referred_to(ann: Client, ann_too: Client, typed: bool, store: bool) -> None:
    first = ann.make("say exactly: the referred text")
    reference = {"id": first["output"][0]["id"]} | ({"type": "item_reference"} if typed else {})
    ask = {"role": "user", "content": ASKED}
    second = ann_too.make([reference, ask], store=store)
    assert "the referred text" in text_of(second)
    if store:
        listed = ann.get(f"/v1/responses/{second['id']}/input_items?order=asc").json["data"]
        assert [item["role"] for item in listed] == ["assistant", "user"]


def test_history_holds_after_a_fallback(house: House, ann: Client) -> None:
    house.upstream.add(Reply.json({"error": {"message": "no"}}, 500), path="*/chat/completions", times=9)
    first = ann.make("say exactly: rescued", model="rescued")
    assert first["extra_fields"]["provider"] == "sandbox"
    second = ann.make(ASKED, model="rescued", previous_response_id=first["id"])
    assert "rescued" in text_of(second)


TOOL = {
    "type": "function",
    "name": "add",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
}


@pytest.mark.parametrize("model", ["sandbox/echo", "sandbox/responses-echo", "sandbox/messages-echo"])
@pytest.mark.parametrize("background", [False, True])
def test_a_tool_turn_goes_on(ann: Client, model: str, background: bool) -> None:
    response = ann.make("call tool add with a=5", model=model, tools=[TOOL], background=background)
    first = ann.ended(response["id"])
    (call,) = [item for item in first["output"] if item["type"] == "function_call"]
    assert (call["name"], json.loads(call["arguments"])) == ("add", {"a": 5})
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "the sum is 11"}
    response = ann.make(
        [output], model=model, tools=[TOOL], previous_response_id=first["id"], background=background
    )
    second = ann.ended(response["id"])
    assert "the sum is 11" in text_of(second)
    third = ann.make(ASKED, model=model, previous_response_id=second["id"])
    assert "11" in text_of(third)


PIXEL = (
    "data:image/png;base64,"
    + "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.mark.parametrize("size", [0, 100_000], ids=["small", "past 64 KiB"])
def test_an_image_goes_on(house: House, ann: Client, size: int) -> None:
    image = PIXEL + "A" * (size - size % 4)
    part = {"type": "input_image", "image_url": image, "detail": "low"}
    content = [{"type": "input_text", "text": "Look at this."}, part]
    first = ann.make([{"role": "user", "content": content}], model="openai/gpt-4.1")
    listed = ann.get(f"/v1/responses/{first['id']}/input_items").json["data"]
    assert listed[0]["content"] == content
    ann.make("What was it?", model="openai/gpt-4.1", previous_response_id=first["id"])
    assert request_at(house).json()["input"][0]["content"] == content
    ann.make("What was it?", model="anthropic/claude-haiku-4-5", previous_response_id=first["id"])
    source = request_at(house).json()["messages"][0]["content"][1]["source"]
    assert source == {"type": "base64", "media_type": "image/png", "data": image.partition(",")[2]}


REASONED = {
    # model: a recording whose reasoning is signed, where the secret is in the next request
    "openai/gpt-5-nano": "openai-responses_stream-encrypted-reasoning",
    "anthropic/claude-sonnet-4-5": "anthropic-chat_completion_stream-structured-output-reasoning-signature",
    "gemini/gemini-flash-latest": "gemini-chat_completion_stream-signed-text",
}


def secrets_of(model: str) -> list[str]:
    """The signatures that the recording's stream brings."""
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for name, member in value.items():
                if name in ("encrypted_content", "signature", "thoughtSignature") and member:
                    found.append(member)
                walk(member)
        elif isinstance(value, list):
            for member in value:
                walk(member)

    for line in exchange(REASONED[model]).content().decode().splitlines():
        data = line.removeprefix("data:").strip()
        if data.startswith(("{", "[{")):
            walk(json.loads(data))
    return found


@pytest.mark.parametrize("maker", REASONED)
@pytest.mark.parametrize("by", ["previous_response_id", "conversation", "client"])
@pytest.mark.parametrize("background", [False, True])
def test_signed_reasoning_goes_back_to_its_maker_alone(
    house: House, ann: Client, maker: str, by: str, background: bool
) -> None:
    house.upstream.add(Reply.of(exchange(REASONED[maker]), chunk=0), stream=None)
    house.upstream.script = None
    links: dict[str, Any] = {}
    if by == "conversation":
        links = {"conversation": ann.post("/v1/conversations").json["id"]}
    include = ["reasoning.encrypted_content"] if by == "client" else []
    response = ann.create("Think.", model=maker, stream=True, background=background, include=include, **links)
    first = ann.ended(response.events[0]["response"]["id"])
    items = response.events[-1]["response"]["output"]
    done = [event["item"] for event in response.events if event["type"] == "response.output_item.done"]
    assert done == items
    text = json.dumps(items)
    assert ("encrypted_content" in text) == (by == "client")
    house.fresh()
    input: Any = "Go on."
    if by == "previous_response_id":
        links = {"previous_response_id": first["id"]}
    if by == "client":
        links, input = {"store": False}, [*items, {"role": "user", "content": "Go on."}]
    again = ann.make(input, model=maker, **links)
    body = json.dumps(request_at(house).json())
    assert any(secret in body for secret in secrets_of(maker)), body
    assert not any("reasoning" in w["message"] for w in again["extra_fields"].get("warnings", ()))
    if by == "conversation":
        return  # the maker's second answer is now the newest
    for other in set(REASONED) - {maker}:
        foreign = ann.make(input, model=other, **links)
        body = json.dumps(request_at(house).json())
        assert not any(secret in body for secret in secrets_of(maker))
        assert "slr1." not in body
        assert [w for w in foreign["extra_fields"]["warnings"] if "easoning" in w["message"]], foreign


def test_a_warning_of_a_background_turn_is_told_by_get(house: House, ann: Client) -> None:
    response = ann.make("say exactly: x", background=True, seed=7, model="anthropic/claude-haiku-4-5")
    ended = ann.ended(response["id"])
    assert [w["param"] for w in ended["extra_fields"]["warnings"]] == ["seed"]


def test_the_next_turn_may_follow_as_soon_as_the_stream_has_ended(ann: Client) -> None:
    for _ in range(3):
        first = ann.create("say exactly: x", stream=True).events[-1]["response"]
        assert ann.make("say exactly: y", previous_response_id=first["id"])["status"] == "completed"


def test_what_a_client_left_is_history_too(ann: Client) -> None:
    connection = ann.open(
        "POST",
        "/v1/responses",
        {"model": "sandbox/echo", "input": "take 5 seconds\nsay exactly: a b c d e f g h", "stream": True},
    )
    head = connection.getresponse().read(400).decode()
    response_id = head.partition('"id":"')[2].partition('"')[0]
    connection.close()
    eventually(lambda: ann.get(f"/v1/responses/{response_id}").status == 200, 3)
    assert "take 5 seconds" in history_of(ann, previous_response_id=response_id)


TWO_KEYS = """
[[providers.openai.keys]]
name = "first"
value = "sk-first"

[[providers.openai.keys]]
name = "second"
value = "sk-second"
"""


def test_what_an_account_holds_goes_back_to_that_account() -> None:
    with running_house(env={"OPENAI_API_KEY": ""}, config=TWO_KEYS) as house:
        ann = house.client()
        used = set()
        for _ in range(8):
            first = ann.make("x", model="openai/gpt-4.1")
            key = request_at(house).headers["authorization"]
            used.add(key)
            second = ann.make("y", model="openai/gpt-4.1", previous_response_id=first["id"])
            assert request_at(house).headers["authorization"] == key
            response = ann.make(
                "z", model="openai/gpt-4.1", previous_response_id=second["id"], background=True
            )
            ann.ended(response["id"])
            assert request_at(house).headers["authorization"] == key
        assert used == {"Bearer sk-first", "Bearer sk-second"}


def test_three_hundred_references_to_one_item_store_it_once(ann: Client) -> None:
    conversation = ann.post("/v1/conversations", {"items": [{**LARGE, "id": f"msg_{ann.port}"}]}).json["id"]
    response = ann.make([{"type": "item_reference", "id": f"msg_{ann.port}"}] * 300)
    stored = ann.get(f"/v1/responses/{response['id']}/input_items?limit=100").json
    assert [item["content"][0]["text"] for item in stored["data"]] == [LARGE["content"]]
    assert ann.delete(f"/v1/conversations/{conversation}").status == 200


LARGE = {"role": "user", "content": "word " * 40_000}


@pytest.mark.parametrize("forged", [{"sluice:blob": "0" * 64}, {"sluice:blob": ["x"]}, {"sluice:blob": None}])
def test_a_thread_outlives_a_clients_own_mark(ann: Client, forged: dict[str, Any]) -> None:
    items = [{"role": "user", "content": [{"type": "input_text", "text": "a", "extra": forged}]}]
    response = ann.make(items, model="sandbox/echo")
    data = ann.get(f"/v1/responses/{response['id']}/input_items").json["data"]
    assert data[0]["content"][0]["extra"] == forged
    assert ann.create("b", previous_response_id=response["id"]).status == 200
