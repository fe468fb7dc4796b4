"""Page 003: ``POST /openai/v1/chat/completions``, OpenAI's format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.world import World, chat_body
from tests.pages.quoting import folded, kind, members, misfits, page
from tests.traffic.replay import Reply

PATH = "/openai/v1/chat/completions"
MODEL = "sandbox/page"

BODY_LIST = """
model string required
messages object[] required
stream boolean
max_tokens integer
max_completion_tokens integer
temperature number Required range: 0 <= x <= 2
top_p number
frequency_penalty number Required range: -2 <= x <= 2
presence_penalty number Required range: -2 <= x <= 2
logit_bias object
logprobs boolean
top_logprobs integer
n integer
stop
seed integer
user string
tools object[]
tool_choice Available options: none, auto, required
parallel_tool_calls boolean
response_format object
reasoning_effort enum<string> Available options: none, minimal, low, medium, high, xhigh
service_tier string
stream_options object
fallbacks string[]
"""

RESPONSE_LIST = """
id string choices object[] created integer model string object string service_tier string
system_fingerprint string usage object
"""

EXTRA_FIELDS = """
"extra_fields": {
    "request_type": "<string>",
    "provider": "openai",
    "model_requested": "<string>",
    "model_deployment": "<string>",
    "latency": 123,
    "chunk_index": 123,
    "raw_request": {},
    "raw_response": {},
    "cache_debug": {
      "cache_hit": true,
      "cache_id": "<string>",
      "hit_type": "<string>",
      "provider_used": "<string>",
      "model_used": "<string>",
      "input_tokens": 123,
      "threshold": 123,
      "similarity": 123
    }
  },
"""

USAGE = """
"usage": {
    "prompt_tokens": 123,
    "prompt_tokens_details": {
      "text_tokens": 123,
      "audio_tokens": 123,
      "image_tokens": 123,
      "cached_tokens": 123
    },
    "completion_tokens": 123,
    "completion_tokens_details": {
      "text_tokens": 123,
      "accepted_prediction_tokens": 123,
      "audio_tokens": 123,
      "citation_tokens": 123,
      "num_search_queries": 123,
      "reasoning_tokens": 123,
      "image_tokens": 123,
      "rejected_prediction_tokens": 123,
      "cached_tokens": 123
    },
    "total_tokens": 123,
    "cost": {
      "input_tokens_cost": 123,
      "output_tokens_cost": 123,
      "request_cost": 123,
      "total_cost": 123
    }
  },
"""

SEARCHED = """
"search_results": [
    {
      "title": "<string>",
      "url": "<string>",
      "date": "<string>",
      "last_updated": "<string>",
      "snippet": "<string>",
      "source": "<string>"
    }
  ],
  "videos": [
    {
      "url": "<string>",
      "thumbnail_url": "<string>",
      "thumbnail_width": 123,
      "thumbnail_height": 123,
      "duration": 123
    }
  ],
  "citations": [
    "<string>"
  ]
}
"""

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "w",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        "strict": False,
    },
    "cache_control": {"type": "ephemeral", "ttl": "5m"},
}
CUSTOM = {
    "type": "custom",
    "custom": {
        "name": "calc",
        "format": {"type": "grammar", "grammar": {"definition": "start: /a/", "syntax": "lark"}},
    },
}
SAID: list[dict[str, Any]] = [{"role": "user", "content": "say exactly: hello there"}]
FULL_HISTORY: list[dict[str, Any]] = [
    {"role": "system", "name": "boss", "content": "Be brief."},
    {"role": "user", "name": "ann", "content": [{"type": "text", "text": "hi"}]},
    {
        "role": "assistant",
        "content": "looking",
        "refusal": None,
        "reasoning": "hm",
        "annotations": [
            {
                "type": "url_citation",
                "url_citation": {"start_index": 0, "end_index": 3, "title": "t", "url": "https://e.example"},
            }
        ],
        "tool_calls": [
            {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "done"},
    {"role": "user", "content": "say exactly: hello there"},
]

GIVEN: dict[str, list[Any]] = {
    # member: values that the page allows (model, messages and stream have tests of their own)
    "max_tokens": [123],
    "max_completion_tokens": [123],
    "temperature": [0, 1, 2],
    "top_p": [0.5],
    "frequency_penalty": [-2, 0, 2],
    "presence_penalty": [-2, 0, 2],
    "logit_bias": [{}, {"50256": -100}],
    "logprobs": [True, False],
    "top_logprobs": [3],
    "n": [1],
    "stop": ["END", ["END", "STOP"]],
    "seed": [123],
    "user": ["ann"],
    "tools": [[TOOL], [CUSTOM], [TOOL, CUSTOM]],
    "tool_choice": ["none", "auto", "required", {"type": "function", "function": {"name": "get_weather"}}],
    "parallel_tool_calls": [True, False],
    "response_format": [{"type": "text"}, {"type": "json_object"}],
    "reasoning_effort": ["none", "minimal", "low", "medium", "high", "xhigh"],
    "service_tier": ["auto"],
    "stream_options": [{"include_obfuscation": True, "include_usage": True}],
    "fallbacks": [["sandbox/other"]],
}
NEEDS: dict[str, dict[str, Any]] = {
    "tool_choice": {"tools": [TOOL]},
    "parallel_tool_calls": {"tools": [TOOL]},
    "top_logprobs": {"logprobs": True},
    "stream_options": {"stream": True},
}

OUT_OF_RANGE: dict[str, list[Any]] = {
    "temperature": [-0.1, 2.1, "1"],
    "frequency_penalty": [-2.1, 2.1],
    "presence_penalty": [-2.1, 2.1],
    "reasoning_effort": ["enormous", 3],
    "tool_choice": ["sometimes"],
    "stream": ["true", 1],
    "max_tokens": [0, 1.5],
    "messages": ["hi"],
    "tools": [{}],
    "fallbacks": ["sandbox/x", [1]],
}

SHAPE = {
    "id": "string",
    "object": "string",
    "created": "number",
    "model": "string",
    "choices[].index": "number",
    "choices[].finish_reason": "string",
    "choices[].message.role": "string",
    "choices[].message.content": "string|null",
    "choices[].message.refusal": "null|string",
    "usage.prompt_tokens": "number",
    "usage.prompt_tokens_details.cached_tokens": "number",
    "usage.completion_tokens": "number",
    "usage.completion_tokens_details.reasoning_tokens": "number",
    "usage.total_tokens": "number",
    "usage.cost": "object|null",
    "extra_fields.request_type": "string",
    "extra_fields.provider": "string",
    "extra_fields.model_requested": "string",
    "extra_fields.model_deployment": "string",
    "extra_fields.latency": "number",
    "extra_fields.chunk_index": "number",
}


def ask(world: World, **body: Any) -> Any:
    """Post a body to the page's address."""
    return world.send("POST", PATH, {"model": MODEL, "messages": SAID, **body})


def test_the_quotes_are_the_pages(shared_dir: Path) -> None:
    text = page(shared_dir, "003")
    assert "POST / openai / v1 / chat / completions" in text
    assert "--url http://localhost:8080/openai/v1/chat/completions" in text
    for quote in (EXTRA_FIELDS, USAGE, SEARCHED):
        assert folded(quote) in text
    below = text.partition("Body application/json")[2]
    for line in [*BODY_LIST.strip().splitlines(), RESPONSE_LIST]:
        words = iter(below.split())
        assert all(word in words for word in line.split()), line  # in this order
    assert set(GIVEN) | {"model", "messages", "stream"} == {
        row.split()[0] for row in BODY_LIST.split("\n") if row
    }


@pytest.mark.parametrize(
    "member, value", [pytest.param(m, v, id=f"{m}-{i}") for m, vs in GIVEN.items() for i, v in enumerate(vs)]
)
def test_each_member_of_the_request_is_accepted(world: World, member: str, value: Any) -> None:
    answer = ask(world, **NEEDS.get(member, {}), **{member: value})
    assert answer.status == 200, answer.body
    if member != "stream_options":
        assert misfits(answer.json, SHAPE) == []


@pytest.mark.parametrize(
    "member, value",
    [pytest.param(m, v, id=f"{m}-{i}") for m, vs in OUT_OF_RANGE.items() for i, v in enumerate(vs)],
)
def test_what_the_page_excludes_is_refused_with_its_path(world: World, member: str, value: Any) -> None:
    answer = ask(world, **{member: value})
    assert answer.status == 400
    assert answer.error["param"].split("[")[0] == member
    assert answer.error["type"] == "invalid_request_error"


@pytest.mark.parametrize("member", ["messages", "model"])
def test_required_members_are_missed_by_name(world: World, member: str) -> None:
    body = {"model": MODEL, "messages": SAID}
    del body[member]
    answer = world.send("POST", PATH, body)
    assert (answer.status, answer.error["param"]) == (400, member)
    assert answer.error["code"] == "missing_required_parameter"


def test_all_members_of_a_message_are_accepted(world: World) -> None:
    answer = ask(world, messages=FULL_HISTORY)
    assert answer.json["choices"][0]["message"]["content"] == "hello there"


def test_all_members_together_are_accepted(world: World) -> None:
    body = {name: values[0] for name, values in GIVEN.items() if name != "stream_options"}
    answer = ask(world, **body)
    assert answer.status == 200, answer.body
    assert misfits(answer.json, SHAPE) == []


def test_the_answer_holds_tool_calls_reasoning_and_refusals(world: World) -> None:
    called = ask(
        world, tools=[TOOL], messages=[{"role": "user", "content": "call tool get_weather with city=Rome"}]
    )
    (call,) = called.json["choices"][0]["message"]["tool_calls"]
    assert {"id": kind(call["id"]), "type": call["type"], **call["function"]} == {
        "id": "string",
        "type": "function",
        "name": "get_weather",
        "arguments": call["function"]["arguments"],
    }
    assert json.loads(call["function"]["arguments"]) == {"city": "Rome"}
    thought = ask(world, messages=[{"role": "user", "content": "think: hm, say exactly: a"}])
    message = thought.json["choices"][0]["message"]
    assert message["reasoning"] == "hm"
    assert message["reasoning_details"][0]["type"].startswith("reasoning.")
    refused = ask(world, messages=[{"role": "user", "content": "refuse"}]).json["choices"][0]["message"]
    assert kind(refused["refusal"]) == "string"


def test_it_streams_chunks_with_the_envelope(world: World) -> None:
    events = ask(world, stream=True, stream_options={"include_usage": True}).events
    assert events[-1] == "[DONE]"
    chunks = events[:-1]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert (
        "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
        == "hello there"
    )
    assert [c["extra_fields"]["chunk_index"] for c in chunks] == list(range(len(chunks)))
    assert {c["extra_fields"]["request_type"] for c in chunks} == {"chat_completion_stream"}
    assert all({"id", "object", "created", "model"} <= set(c) for c in chunks)
    assert chunks[-1]["choices"] == []
    assert "cost" in chunks[-1]["usage"]
    without = ask(world, stream=True).events
    assert not [c for c in without[:-1] if not c["choices"] or c.get("usage")]


def test_what_a_provider_searched_is_on_top_of_the_answer(world: World) -> None:
    found = {
        "citations": ["https://a.example", "https://b.example"],
        "search_results": [{"title": "A", "url": "https://a.example", "date": "2026-01-01"}],
        "videos": [{"url": "https://v.example", "duration": 5}],
    }
    usage = {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
        "citation_tokens": 7,
        "num_search_queries": 2,
        "cost": {"input_tokens_cost": 0.1, "output_tokens_cost": 0.2, "request_cost": 0.3, "total_cost": 0.6},
    }
    text = "Rome is old [1][2]."
    world.fresh().upstream.add(Reply.json(chat_body(text, **found, usage=usage)))
    answer = ask(world, model="perplexity/sonar").json
    assert {name: answer[name] for name in found} == found
    details = answer["usage"]["completion_tokens_details"]
    assert (details["citation_tokens"], details["num_search_queries"]) == (7, 2)
    assert {name: answer["usage"]["cost"][name] for name in usage["cost"]} == usage["cost"]
    assert answer["usage"]["cost"]["source"] == "provider"
    notes = answer["choices"][0]["message"]["annotations"]
    assert [note["url_citation"]["url"] for note in notes] == found["citations"]


def test_the_envelope_names_nothing_that_the_page_does_not(world: World) -> None:
    quoted: Mapping[str, Any] = json.loads("{" + EXTRA_FIELDS.strip().rstrip(",") + "}")
    page_names = {path.partition(".")[2] for path in members(quoted)}
    other_generation = {"original_model_requested", "resolved_model_used"}  # pages 000 and 001 call them so
    assert set(ask(world).json["extra_fields"]) <= page_names | other_generation


def test_fallbacks_are_tried_in_order(world: World) -> None:
    failing = {"messages": [{"role": "user", "content": "fail with 503 for first. say exactly: saved"}]}
    answer = ask(world, model="sandbox/first", fallbacks=["openai/x", "sandbox/second"], **failing)
    assert answer.status == 200, answer.body
    assert answer.json["extra_fields"]["provider"] == "sandbox"
    assert answer.json["extra_fields"]["model_deployment"] == "second"
    tried = [(row["provider"], row["model"]) for row in answer.json["extra_fields"]["attempts"]]
    assert tried[0] == ("sandbox", "first")
    assert tried[-1] == ("sandbox", "second")


def test_what_was_searched_is_on_every_chunk_and_on_the_terminal_response(world: World) -> None:
    found = {
        "citations": ["https://a.example"],
        "search_results": [{"title": "A", "url": "https://a.example"}],
    }

    def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        data = {
            "id": "p",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "sonar",
            "choices": [choice],
        }
        return b"data: " + json.dumps({**data, **found, **more}).encode() + b"\r\n\r\n"

    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "num_search_queries": 1}
    stream = chunk({"role": "assistant", "content": "Rome "}) + chunk({"content": "is old [1]."})
    stream += chunk({}, "stop", usage=usage)
    world.fresh().upstream.add(Reply.sse(stream), times=2)
    asked: dict[str, Any] = {
        "model": "perplexity/sonar",
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    chunks = ask(world, **asked).events[:-1]
    assert all({name: event[name] for name in found} == found for event in chunks)
    assert chunks[-1]["usage"]["completion_tokens_details"]["num_search_queries"] == 1
    events = world.send("POST", "/openai/v1/responses", {**asked, "input": "hi"}).events
    final = events[-1]["response"]
    assert {name: final[name] for name in found} == found
    notes = [
        note["url"] for item in final["output"] for part in item["content"] for note in part["annotations"]
    ]
    assert notes == found["citations"]
    fetched = world.send("GET", f"/openai/v1/responses/{final['id']}").json
    assert {name: fetched[name] for name in found} == found
