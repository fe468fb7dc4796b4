"""Page 002: ``POST {controlPlaneURL}/api/llm/api/inference/openai/responses``, TrueFoundry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.world import World, chat_body, upstream_requests
from tests.pages.quoting import folded, misfits, page
from tests.traffic.replay import Reply

PREFIXES = ("/api/llm/api/inference/openai", "/api/llm/api/inference/openai/v1", "/api/llm")
PATH = f"{PREFIXES[0]}/responses"
MODEL = "sandbox/page"

REQUEST = """
{
  "model": "<string>",
  "messages": [
    {
      "role": "system",
      "content": "<string>"
    }
  ],
  "tools": [
    {
      "type": "<string>",
      "function": {
        "name": "<string>",
        "description": "<string>",
        "parameters": {}
      }
    }
  ],
  "tool_choice": "none",
  "temperature": 123,
  "top_p": 123,
  "n": 123,
  "stream": true,
  "logprobs": 123,
  "stop": "<string>",
  "max_tokens": 123,
  "presence_penalty": 123,
  "frequency_penalty": 123,
  "logit_bias": {},
  "user": "<string>"
}
"""

ANSWER = """
{
  "id": "<string>",
  "object": "<string>",
  "created_at": 123,
  "status": "<string>",
  "error": "<any>",
  "incomplete_details": "<any>",
  "instructions": "<any>",
  "max_output_tokens": 123,
  "model": "<string>",
  "output": [
    {
      "id": "<string>",
      "type": "<string>",
      "status": "<string>",
      "content": [
        {
          "type": "<string>",
          "annotations": [
            "<any>"
          ],
          "text": "<string>"
        }
      ],
      "role": "<string>"
    }
  ],
  "parallel_tool_calls": true,
  "previous_response_id": "<string>",
  "reasoning": {
    "effort": "<any>",
    "summary": "<any>"
  },
  "service_tier": "<string>",
  "store": true,
  "temperature": 123,
  "text": {
    "format": {
      "type": "<string>"
    }
  },
  "tool_choice": "<string>",
  "tools": [
    "<any>"
  ],
  "top_p": 123,
  "truncation": "<string>",
  "usage": {
    "input_tokens": 123,
    "input_tokens_details": {
      "cached_tokens": 123
    },
    "output_tokens": 123,
    "output_tokens_details": {
      "reasoning_tokens": 123
    },
    "total_tokens": 123
  },
  "user": "<any>",
  "metadata": {},
  "provider": "<string>"
}
"""

SHAPE = {
    "id": "string",
    "object": "string",
    "created_at": "number",
    "status": "string",
    "error": "null",
    "incomplete_details": "null",
    "instructions": "null|string",
    "max_output_tokens": "null|number",
    "model": "string",
    "output[].id": "string",
    "output[].type": "string",
    "output[].status": "string",
    "output[].content[].type": "string",
    "output[].content[].annotations": "array",
    "output[].content[].text": "string",
    "output[].role": "string",
    "parallel_tool_calls": "boolean",
    "previous_response_id": "null|string",
    "reasoning.effort": "null|string",
    "reasoning.summary": "null|string",
    "service_tier": "string",
    "store": "boolean",
    "temperature": "number",
    "text.format.type": "string",
    "tool_choice": "string",
    "tools": "array",
    "top_p": "number",
    "truncation": "string",
    "usage.input_tokens": "number",
    "usage.input_tokens_details.cached_tokens": "number",
    "usage.output_tokens": "number",
    "usage.output_tokens_details.reasoning_tokens": "number",
    "usage.total_tokens": "number",
    "user": "null|string",
    "metadata": "object",
    "provider": "string",
}

SAID = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "say exactly: hello"}]
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}}

GIVEN: dict[str, list[Any]] = {
    # member: values that the page allows (model, messages and stream have tests of their own)
    "tools": [[TOOL]],
    "tool_choice": ["none", "auto"],
    "temperature": [0.5],
    "top_p": [0.5],
    "n": [1],
    "logprobs": [3, True, False, 0],
    "stop": ["END", ["END"]],
    "max_tokens": [123, 1],
    "presence_penalty": [0.5],
    "frequency_penalty": [0.5],
    "logit_bias": [{}, {"1": 5}],
    "user": ["ann"],
}


def ask(
    world: World, *, prefix: str = PREFIXES[0], headers: dict[str, str] | None = None, **body: Any
) -> Any:
    """Post a chat-shaped body to the page's address."""
    return world.send("POST", f"{prefix}/responses", {"model": MODEL, "messages": SAID, **body}, headers)


def test_the_quotes_are_the_pages(shared_dir: Path) -> None:
    text = page(shared_dir, "002")
    assert "--url https://{controlPlaneURL}/api/llm/api/inference/openai/responses" in text
    assert folded(REQUEST) in text
    assert folded(ANSWER) in text
    assert "Authorization: Bearer <token>" in text
    assert {"model", "messages", "stream", *GIVEN} == set(json.loads(REQUEST))


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_chat_shaped_body_is_answered_by_a_response(world: World, prefix: str) -> None:
    answer = ask(world, prefix=prefix)
    assert misfits(answer.json, SHAPE) == []
    assert set(json.loads(ANSWER)) <= set(answer.json)
    assert answer.json["object"] == "response"
    assert answer.json["output"][0]["content"][0]["text"] == "hello"
    assert answer.json["provider"] == "sandbox"
    assert answer.headers["x-tfy-resolved-model"] == "page"
    assert "extra_fields" not in answer.json
    assert "cost" in answer.json["usage"]


@pytest.mark.parametrize(
    "member, value", [pytest.param(m, v, id=f"{m}-{i}") for m, vs in GIVEN.items() for i, v in enumerate(vs)]
)
def test_each_member_of_the_request_is_accepted(world: World, member: str, value: Any) -> None:
    answer = ask(world, **({"tools": [TOOL]} if member == "tool_choice" else {}), **{member: value})
    assert answer.status == 200, answer.body
    assert answer.json["provider"] == "sandbox"


def test_all_members_together_are_accepted(world: World) -> None:
    answer = ask(world, **{name: values[0] for name, values in GIVEN.items()})
    assert misfits(answer.json, SHAPE) == []
    assert (answer.json["temperature"], answer.json["top_p"], answer.json["user"]) == (0.5, 0.5, "ann")
    assert answer.json["max_output_tokens"] == 123


def test_more_than_one_answer_is_refused(world: World) -> None:
    refused = ask(world, n=2)
    assert (refused.status, refused.error["param"]) == (400, "n")
    assert "extra_fields" not in refused.json
    assert "is_bifrost_error" not in refused.json


def test_a_responses_body_is_read_too(world: World) -> None:
    answer = world.send(
        "POST", PATH, {"model": MODEL, "input": "say exactly: plain", "max_output_tokens": 99}
    )
    assert answer.json["output"][0]["content"][0]["text"] == "plain"
    beside = ask(world, instructions="Be kind.", metadata={"a": "b"}, max_output_tokens=50)
    assert (beside.json["instructions"], beside.json["metadata"]) == ("Be kind.", {"a": "b"})


def test_a_chat_provider_gets_the_chat_parameters_with_their_meaning(world: World) -> None:
    world.fresh().upstream.add(Reply.json(chat_body("good")))
    answer = ask(world, model="groq/x", stop="END", seed=7, max_tokens=9, messages=SAID)
    assert answer.status == 200
    (request,) = upstream_requests(world)
    body = request.json()
    assert request.path.endswith("/chat/completions")
    assert (body["stop"], body["seed"]) in (("END", 7), (["END"], 7))
    assert body["messages"][0]["role"] == "system"
    assert "x-sluice-warnings" not in answer.headers


def test_what_could_not_be_honoured_is_named_in_a_header(world: World) -> None:
    claude_says = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "c",
        "content": [{"type": "text", "text": "good"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    world.fresh().upstream.add(Reply.json(claude_says))
    claude = ask(world, model="anthropic/claude-sonnet-4-5", logit_bias={"1": 5}, presence_penalty=1)
    assert claude.status == 200, claude.body
    named = {warning["param"] for warning in json.loads(claude.headers["x-sluice-warnings"])}
    assert {"logit_bias", "presence_penalty"} <= named


def test_it_streams_events_with_the_provider(world: World) -> None:
    answer = ask(world, stream=True)
    events = answer.events
    assert answer.broken("responses") == []
    assert events[-1]["type"] == "response.completed"
    assert events[0]["response"]["provider"] == events[-1]["response"]["provider"] == "sandbox"
    assert not [event for event in events if "extra_fields" in event]


def test_only_bearer_keys_open_this_surface(world: World) -> None:
    bare = World(world.gateway, world.upstream)
    key = world.key or ""
    for header in ("api-key", "x-api-key", "x-bf-vk", "x-goog-api-key"):
        assert bare.send("POST", PATH, {"model": MODEL, "input": "hi"}, {header: key}).status == 401
    assert (
        bare.send("POST", PATH, {"model": MODEL, "input": "hi"}, {"authorization": f"bEARER {key}"}).status
        == 200
    )


def test_request_headers_of_truefoundry(world: World) -> None:
    metadata = json.dumps({"team": "blue-whales", "n": "1"})
    assert ask(world, headers={"x-tfy-metadata": metadata, "x-tfy-unknown": "x"}).status == 200
    assert "blue-whales" in world.gateway.log
    assert "x-tfy-metadata" in ask(world, headers={"x-tfy-metadata": "n=1"}).error["message"]
    refused = ask(world, headers={"x-tfy-metadata": '{"n": 1}'})
    assert refused.status == 400


def test_a_response_of_this_surface_is_fetched_by_every_other(world: World) -> None:
    body = ask(world).json
    plain = world.send("GET", f"{PATH}/{body['id']}").json
    assert plain["provider"] == "sandbox"
    assert plain["usage"] == body["usage"]
    other = world.send("GET", f"/openai/v1/responses/{body['id']}").json
    assert "provider" not in other
    assert "extra_fields" not in other
    assert other["usage"] == body["usage"]
    assert world.send("GET", f"/v1/responses/{body['id']}").json["extra_fields"]["provider"] == "sandbox"
