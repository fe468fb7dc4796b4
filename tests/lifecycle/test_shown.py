"""What a stored response shows: the echo, its cost, what ``include`` adds, pages of its input."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.lifecycle.house import Client, House, events_of
from tests.traffic.load import exchange
from tests.traffic.replay import Reply

KEYS = (
    "id object created_at status background completed_at error frequency_penalty incomplete_details "
    "instructions max_output_tokens max_tool_calls model moderation output parallel_tool_calls "
    "presence_penalty previous_response_id prompt_cache_key prompt_cache_retention reasoning "
    "safety_identifier service_tier store temperature text tool_choice tools top_logprobs top_p truncation "
    "usage user metadata"
).split()
NUMBERS = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "top_logprobs")
STRINGS = ("truncation", "service_tier", "model", "id", "status")
FLAGS = ("store", "background", "parallel_tool_calls")
SURFACES = (
    "/v1",
    "/openai/v1",
    "/openai",
    "/openai/deployments/gpt",
    "/api/llm/api/inference/openai/v1",
    "/api/llm",
)
MODELS = (
    "sandbox/echo",
    "sandbox/responses-echo",
    "sandbox/messages-echo",
    "openai/gpt-4.1",
    "anthropic/claude-haiku-4-5",
    "gemini/gemini-2.5-flash",
)


def whole(response: dict[str, Any]) -> None:
    """Check the members that every response object has, whatever its state."""
    assert set(KEYS) <= set(response)
    assert all(isinstance(response[name], int | float) for name in NUMBERS)
    assert all(isinstance(response[name], str) for name in STRINGS)
    assert all(isinstance(response[name], bool) for name in FLAGS)
    assert isinstance(response["tools"], list)
    assert response["text"]["format"]["type"] == "text"
    assert response["text"]["verbosity"] == "medium"
    assert (response["completed_at"] is not None) == (response["status"] == "completed")
    assert (response["error"] is not None) == (response["status"] == "failed")
    assert "output_text" not in response


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("background", [False, True])
def test_every_object_is_whole_and_costs_the_same_everywhere(
    ann: Client, model: str, stream: bool, background: bool
) -> None:
    answer = ann.create("say exactly: x", model=model, stream=stream, background=background)
    objects = (
        [event["response"] for event in answer.events if "response" in event] if stream else [answer.json]
    )
    for one in objects:
        whole(one)
    assert len({(one["id"], one["created_at"]) for one in objects}) == 1
    ended = ann.ended(objects[0]["id"])
    seen = [ended["usage"]]
    seen += [ann.get(f"{surface}/responses/{ended['id']}").json["usage"] for surface in SURFACES]
    if stream or not background:
        seen.append(objects[-1]["usage"])
    if background:
        seen.append(ann.log(ended["id"])[-1]["response"]["usage"])
    assert "cost" in ended["usage"]
    assert all(usage == ended["usage"] for usage in seen)
    if not model.startswith("sandbox/"):
        assert ended["usage"]["cost"] > 0
    assert {"input_tokens", "output_tokens", "total_tokens"} <= set(ended["usage"])
    assert {"cached_tokens", "cache_write_tokens"} <= set(ended["usage"]["input_tokens_details"])


@pytest.mark.parametrize("words", ["fail with 500", "refuse", "stop at length", "fail midway"])
@pytest.mark.parametrize("background", [False, True])
def test_every_ending_is_whole(ann: Client, words: str, background: bool) -> None:
    answer = ann.create(words, stream=True, background=background)
    if answer.status != 200:
        assert (words, background) == ("fail with 500", False)
        return
    response_id = answer.events[0]["response"]["id"]
    for surface in SURFACES:
        whole(ann.get(f"{surface}/responses/{response_id}").json)
    last = answer.events[-1]["response"]
    assert ann.get(f"/openai/v1/responses/{response_id}").json == last


ASKED: dict[str, Any] = {
    "instructions": "Be brief.",
    "max_output_tokens": 500,
    "max_tool_calls": 3,
    "metadata": {"team": "red"},
    "parallel_tool_calls": False,
    "prompt_cache_key": "cache-1",
    "safety_identifier": "person-1",
    "temperature": 0.25,
    "top_p": 0.5,
    "truncation": "auto",
    "user": "someone",
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("background", [False, True])
def test_the_echo_is_the_clients_own_request(ann: Client, model: str, background: bool) -> None:
    response = ann.make("say exactly: x", model=model, background=background, **ASKED)
    ended = ann.ended(response["id"])
    for shown in (response, ended):
        assert {name: shown[name] for name in ASKED} == ASKED
        assert shown["background"] is background
        assert shown["store"] is True


MCP = {
    "type": "mcp",
    "server_label": "files",
    "server_url": "https://user:pass@mcp.example.com/secret-path?key=secret-key",
    "authorization": "secret-authorization",
    "headers": {"X-Key": "secret-header"},
}


@pytest.mark.parametrize("background", [False, True])
def test_secrets_of_an_mcp_server_are_never_shown(house: House, ann: Client, background: bool) -> None:
    response = ann.create("x", model="openai/gpt-4.1", tools=[MCP], stream=True, background=background)
    response_id = response.events[0]["response"]["id"]
    ended = ann.ended(response_id)
    log = ann.log(response_id) if background else []
    texts = [response.body.decode(), json.dumps(ended), json.dumps(log)]
    assert not any("secret-" in text or "user:pass" in text for text in texts)
    assert ended["tools"][0]["authorization"] == "<redacted>"
    assert ended["tools"][0]["headers"] == {"X-Key": "<redacted>"}
    sent = house.upstream.requests[-1].json()["tools"][0]
    assert (sent["authorization"], sent["headers"]) == (MCP["authorization"], MCP["headers"])


ENCRYPTED = "openai-responses_stream-encrypted-reasoning"
WANTED = "reasoning.encrypted_content"
SPELLINGS = [
    f"include[]={WANTED}",
    f"include%5B%5D={WANTED}",
    f"include={WANTED}",
    f"include[0]={WANTED}",
    f"include=message.output_text.logprobs,{WANTED}",
    f"include[]=file_search_call.results&include[]={WANTED}",
    f"include=&include={WANTED}",
    f"api-version=v1&include[]={WANTED}&include_obfuscation=false",
]
WITHOUT = ["", "include=", "include[]=", "include=some.future.member", "include[]=file_search_call.results"]


@pytest.mark.parametrize("surface", SURFACES)
def test_include_shows_what_is_left_out_otherwise(house: House, ann: Client, surface: str) -> None:
    house.upstream.add(Reply.of(exchange(ENCRYPTED), chunk=0))
    response = ann.create("Think.", model="openai/gpt-5-nano", stream=True)
    response_id = events_of(response)[0]["response"]["id"]
    for query in SPELLINGS:
        assert "encrypted_content" in ann.get(f"{surface}/responses/{response_id}?{query}").body.decode(), (
            query
        )
    for query in WITHOUT:
        assert (
            "encrypted_content" not in ann.get(f"{surface}/responses/{response_id}?{query}").body.decode()
        ), query
    follower = ann.make("x", previous_response_id=response_id)
    assert "encrypted_content" not in json.dumps(follower["output"])


def test_obfuscation_goes_when_it_is_not_wanted(ann: Client) -> None:
    members: dict[str, Any] = {"stream": True, "input": "say exactly: one two three"}
    padded = [e for e in ann.create(**members).events if e["type"] == "response.output_text.delta"]
    assert padded
    assert all((len(e["delta"]) + len(e["obfuscation"])) % 16 == 0 for e in padded)
    assert all(e["obfuscation"].isalnum() or not e["obfuscation"] for e in padded)
    bare = ann.create(**members, stream_options={"include_obfuscation": False}).events
    assert not any("obfuscation" in event for event in bare)
    response = ann.make("say exactly: x", background=True)
    ann.ended(response["id"])
    for value in ("true", "false"):
        answer = ann.get(f"/v1/responses/{response['id']}?stream=true&include_obfuscation={value}")
        assert b"obfuscation" not in answer.body


@pytest.fixture
def listed(ann: Client) -> tuple[str, list[str]]:
    """A response of 25 input items: its id, and theirs in order."""
    input = [{"role": "user", "content": f"item {number}"} for number in range(24)]
    response = ann.make([*input, {"role": "user", "content": "say exactly: x"}])
    page = ann.get(f"/v1/responses/{response['id']}/input_items?order=asc&limit=100").json
    return response["id"], [item["id"] for item in page["data"]]


PAGES: list[tuple[str, list[int], bool]] = [
    # query, places of the items, has_more; aN and bN stand for the id at place N
    ("", list(range(24, 4, -1)), True),
    ("order=asc", list(range(20)), True),
    ("order=asc&limit=100", list(range(25)), False),
    ("limit=1", [24], True),
    ("limit=25", list(range(24, -1, -1)), False),
    ("limit=3&after=i5", [4, 3, 2], True),
    ("limit=3&after=i2", [1, 0], False),
    ("limit=3&after=i0", [], False),
    ("order=asc&limit=3&after=i5", [6, 7, 8], True),
    ("order=asc&after=i24", [], False),
    ("order=asc&limit=3&before=i5", [2, 3, 4], True),
    ("order=asc&limit=9&before=i2", [0, 1], False),
    ("limit=3&before=i5", [8, 7, 6], True),
    ("order=asc&limit=9&after=i3&before=i6", [4, 5], False),
]


@pytest.mark.parametrize("surface", SURFACES)
def test_input_items_come_in_pages(ann: Client, listed: tuple[str, list[str]], surface: str) -> None:
    response_id, ids = listed
    assert len(ids) == 25
    for query, places, more in PAGES:
        for number, one in sorted(enumerate(ids), reverse=True):
            query = query.replace(f"=i{number}", f"={one}")
        page = ann.get(f"{surface}/responses/{response_id}/input_items?{query}").json
        expected = [ids[place] for place in places]
        assert [item["id"] for item in page["data"]] == expected, query
        assert (page["first_id"], page["last_id"], page["has_more"], page["object"]) == (
            expected[0] if expected else None,
            expected[-1] if expected else None,
            more,
            "list",
        )


def test_get_on_the_unified_surface_says_who_answered(ann: Client) -> None:
    response = ann.make(model="openai/gpt-4.1")
    fields = ann.get(f"/v1/responses/{response['id']}").json["extra_fields"]
    names = {"model_requested": "openai/gpt-4.1", "original_model_requested": "openai/gpt-4.1"}
    names |= {"resolved_model_used": "gpt-4.1", "model_deployment": "gpt-4.1", "provider": "openai"}
    assert {name: fields[name] for name in names} == names
    assert "attempts" not in fields
    plain = ann.get(f"/openai/v1/responses/{response['id']}").json
    assert "extra_fields" not in plain
    assert ann.get(f"/api/llm/responses/{response['id']}").json == {**plain, "provider": "openai"}
