"""Defects that other gateways have, each shown not to be ours.

Two tables: what a provider must get for a client's request, and what a client must get for a
provider's answer. All go through the running gateway.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.behaviour.world import Answer as Http
from tests.behaviour.world import World, chat_body, data_frame, event_frame
from tests.replay.setting import replaying_world
from tests.traffic.load import exchange, require
from tests.traffic.replay import NEVER, Reply

Json = dict[str, Any]
HI = [{"role": "user", "content": "hi"}]
CLAUDE = "anthropic/claude-sonnet-4-5"
SCHEMA = {"type": "object", "properties": {"zz": {"type": "string"}, "aa": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with replaying_world('[providers.mine]\ndialect = "chat"\nbase_url = "{upstream}/mine"\n') as running:
        yield running


def claude(*content: Json, stop: str = "end_turn", usage: Json | None = None) -> Reply:
    return Reply.json(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude",
            "content": list(content) or [{"type": "text", "text": "good"}],
            "stop_reason": stop,
            "stop_sequence": None,
            "usage": usage or {"input_tokens": 3, "output_tokens": 2},
        }
    )


def claude_stream(*, delta_usage: Json, start_usage: Json, stop: str = "end_turn") -> Reply:
    start = json.loads(bytes(claude().body))  # type: ignore[arg-type]
    start |= {"content": [], "stop_reason": None, "usage": start_usage}
    events: list[Json] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "good"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": delta_usage},
        {"type": "message_stop"},
    ]
    return Reply.sse(b"".join(map(event_frame, events)))


def gemini(*parts: Json, **candidate: Any) -> Reply:
    content = {"role": "model", "parts": list(parts) or [{"text": "good"}]}
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}
    return Reply.json(
        {"candidates": [{"content": content, "finishReason": "STOP", **candidate}], "usageMetadata": usage}
    )


def cohere(finish: str = "COMPLETE") -> Reply:
    message = {"role": "assistant", "content": [{"type": "text", "text": "good"}]}
    usage = {"tokens": {"input_tokens": 3, "output_tokens": 2}}
    return Reply.json({"id": "c", "finish_reason": finish, "message": message, "usage": usage})


CONVERSED = Reply.json(
    {
        "output": {"message": {"role": "assistant", "content": [{"text": "good"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5},
    }
)
GOOD = Reply.json(chat_body())


@dataclass
class Sent:
    """A request of a client, and what must be true of the body that the provider gets."""

    model: str
    check: Callable[[Json], Any]
    reply: Reply = GOOD
    path: str = "/v1/chat/completions"
    members: Json = field(default_factory=lambda: {"messages": HI})
    warned: tuple[str, ...] = ()


def chat_request(**members: Any) -> Json:
    return {"messages": HI, **members}


def keys(body: Json) -> set[str]:
    return set(body)


SENT: dict[str, Sent] = {
    **{
        f"{model}: a limit goes out as max_tokens": Sent(
            model,
            lambda body: body["max_tokens"] == 77 and "max_completion_tokens" not in body,
            members=chat_request(max_completion_tokens=77),
        )
        for model in ("ollama/x", "sgl/x", "parasail/x", "mistral/x", "perplexity/sonar", "mine/x")
    },
    "a tool's schema keeps the client's order of keys": Sent(
        CLAUDE,
        lambda body: list(body["tools"][0]["input_schema"]["properties"]) == ["zz", "aa"],
        claude(),
        members=chat_request(tools=[TOOL]),
    ),
    "every system and developer message reaches Claude": Sent(
        CLAUDE,
        lambda body: all(word in json.dumps(body["system"]) for word in ("ONE", "TWO", "THREE")),
        claude(),
        members={
            "messages": [
                {"role": "system", "content": "ONE"},
                {"role": "developer", "content": "TWO"},
                *HI,
                {"role": "system", "content": "THREE"},
            ]
        },
    ),
    "what Claude cannot take is told": Sent(
        CLAUDE,
        lambda body: not keys(body) & {"seed", "presence_penalty", "frequency_penalty", "logit_bias"},
        claude(),
        members=chat_request(seed=1, presence_penalty=0.5, frequency_penalty=0.5, logit_bias={"1": 2}),
        warned=("seed", "presence_penalty", "frequency_penalty", "logit_bias"),
    ),
    "the user is told to Claude on chat": Sent(
        CLAUDE, lambda body: body["metadata"] == {"user_id": "me"}, claude(), members=chat_request(user="me")
    ),
    "the user is told to Claude on Responses": Sent(
        CLAUDE,
        lambda body: body["metadata"] == {"user_id": "me"},
        claude(),
        "/v1/responses",
        {"input": "hi", "user": "me"},
    ),
    "Claude gets one of temperature and top_p": Sent(
        CLAUDE,
        lambda body: body["temperature"] == 0.5 and "top_p" not in body,
        claude(),
        members=chat_request(temperature=0.5, top_p=0.5),
        warned=("top_p",),
    ),
    "a thinking budget lies below the limit": Sent(
        CLAUDE,
        lambda body: 1024 <= body["thinking"]["budget_tokens"] < body["max_tokens"],
        claude(),
        members=chat_request(reasoning={"max_tokens": 9000}, max_completion_tokens=3000),
        warned=("reasoning.max_tokens",),
    ),
    "empty arguments are an object": Sent(
        CLAUDE,
        lambda body: body["messages"][1]["content"][-1]["input"] == {},
        claude(),
        members={
            "messages": [
                *HI,
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "call_1", "content": "r"},
            ],
            "tools": [TOOL],
        },
    ),
    "results of parallel calls are one turn of Claude's": Sent(
        CLAUDE,
        lambda body: [m["role"] for m in body["messages"]] == ["user", "assistant", "user"],
        claude(),
        members={
            "messages": [
                *HI,
                {"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "id": "call_2"}]},
                {"role": "tool", "tool_call_id": "call_1", "content": "r"},
                {"role": "tool", "tool_call_id": "call_2", "content": "s"},
            ],
            "tools": [TOOL],
        },
    ),
    "Gemini gets seed and the number of choices": Sent(
        "gemini/gemini-2.5-flash",
        lambda body: (body["generationConfig"]["seed"], body["generationConfig"]["candidateCount"]) == (5, 2),
        gemini(),
        members=chat_request(seed=5, n=2),
    ),
    "Gemini gets a tool's result from the user": Sent(
        "gemini/gemini-2.5-flash",
        lambda body: [c["role"] for c in body["contents"]] == ["user", "model", "user"],
        gemini(),
        members={
            "messages": [
                *HI,
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "call_1", "content": "r"},
            ],
            "tools": [TOOL],
        },
    ),
    "Cohere is told auto by silence": Sent(
        "cohere/command-a-03-2025",
        lambda body: "tool_choice" not in body and body["tools"],
        cohere(),
        members=chat_request(tools=[TOOL], tool_choice="auto"),
    ),
    "Cohere gets seed": Sent(
        "cohere/command-a-03-2025", lambda body: body["seed"] == 5, cohere(), members=chat_request(seed=5)
    ),
    "Cohere's tools have no strict": Sent(
        "cohere/command-a-03-2025",
        lambda body: "strict" not in body["tools"][0]["function"],
        cohere(),
        members=chat_request(tools=[{**TOOL, "function": {**TOOL["function"], "strict": True}}]),  # type: ignore[dict-item]
    ),
    "Perplexity gets no nulls and an object of search options": Sent(
        "perplexity/sonar",
        lambda body: (
            None not in body.values() and body["web_search_options"] == {"search_context_size": "low"}
        ),
        members=chat_request(web_search_options={"search_context_size": "low"}),
    ),
    "Perplexity's own members go out by name": Sent(
        "perplexity/sonar",
        lambda body: (body["search_mode"], body["search_domain_filter"]) == ("academic", ["a.org"]),
        members=chat_request(search_mode="academic", search_domain_filter=["a.org"]),
    ),
    "Mistral's seed has its own name, and a last answer is a prefix": Sent(
        "mistral/x",
        lambda body: body["random_seed"] == 5 and body["messages"][-1]["prefix"] is True,
        members={"messages": [*HI, {"role": "assistant", "content": "Well,"}], "seed": 5},
    ),
    "Bedrock's temperature is clamped for Claude": Sent(
        "bedrock/anthropic.claude-3-haiku-20240307-v1:0",
        lambda body: body["inferenceConfig"]["temperature"] == 1,
        CONVERSED,
        members=chat_request(temperature=1.7),
        warned=("temperature",),
    ),
    "Bedrock gets the tools that its history needs": Sent(
        "bedrock/amazon.nova-lite-v1:0",
        lambda body: [t["toolSpec"]["name"] for t in body["toolConfig"]["tools"]] == ["f"],
        CONVERSED,
        members={
            "messages": [
                *HI,
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "call_1", "content": "r"},
            ]
        },
    ),
    "Cohere's input_type can be set": Sent(
        "cohere/embed-v4.0",
        lambda body: body["input_type"] == "search_query",
        Reply.json(
            {"id": "e", "embeddings": {"float": [[0.5]]}, "meta": {"billed_units": {"input_tokens": 1}}}
        ),
        "/v1/embeddings",
        {"input": "hi", "input_type": "search_query"},
    ),
    "ElevenLabs gets only the voice settings that were given": Sent(
        "elevenlabs/eleven_v3",
        lambda body: body["voice_settings"] == {"similarity_boost": 0.9},
        Reply(200, b"ID3", {"content-type": "audio/mpeg"}),
        "/v1/audio/speech",
        {"input": "hi", "voice": "v", "voice_settings": {"similarity_boost": 0.9}},
    ),
}


@pytest.mark.parametrize("case", SENT)
def test_the_provider_gets(world: World, case: str) -> None:
    one = SENT[case]
    world.fresh().upstream.add(one.reply)
    http = world.send("POST", one.path, {"model": one.model, **one.members})
    assert http.status == 200, http.body
    body = world.upstream.requests[0].json()
    assert one.check(body), json.dumps(body)
    if one.path != "/v1/audio/speech":
        told = {row["param"] for row in http.json["extra_fields"].get("warnings", ())}
        assert set(one.warned) <= told


def words(http: Http) -> Any:
    return http.json["choices"][0]


@dataclass
class Told:
    """A provider's answer, and what must be true of the client's."""

    model: str
    reply: Reply
    check: Callable[[Http], Any]
    stream: bool = False
    path: str = "/v1/chat/completions"
    members: Json = field(default_factory=lambda: {"messages": HI})


def chunks(http: Http) -> list[Json]:
    return [event for event in http.events if event != "[DONE]"]


def finish_of(http: Http) -> str:
    return [c["choices"][0]["finish_reason"] for c in chunks(http) if c["choices"]][-1]


def usage_of(http: Http) -> tuple[int, int, int]:
    used = chunks(http)[-1]["usage"]
    cached = used["prompt_tokens_details"]["cached_tokens"]
    return used["prompt_tokens"], used["completion_tokens"], cached


TOLD: dict[str, Told] = {
    "a redacted thought is kept": Told(
        CLAUDE,
        claude({"type": "redacted_thinking", "data": "SECRET"}, {"type": "text", "text": "good"}),
        lambda http: words(http)["message"]["reasoning_details"][0]["type"] == "reasoning.encrypted",
    ),
    "a refusal is no raw word": Told(
        CLAUDE, claude(stop="refusal"), lambda http: words(http)["finish_reason"] == "content_filter"
    ),
    "a paused turn is no raw word": Told(
        CLAUDE, claude(stop="pause_turn"), lambda http: words(http)["finish_reason"] in ("stop", "length")
    ),
    "each chunk of Claude's has model, created and the first a role": Told(
        CLAUDE,
        claude_stream(start_usage={"input_tokens": 3, "output_tokens": 1}, delta_usage={"output_tokens": 2}),
        lambda http: (
            all(c["model"] and c["created"] for c in chunks(http))
            and chunks(http)[0]["choices"][0]["delta"]["role"] == "assistant"
        ),
        stream=True,
    ),
    "Claude's counts of start and end are merged, not added": Told(
        CLAUDE,
        claude_stream(
            start_usage={"input_tokens": 3, "cache_read_input_tokens": 10, "output_tokens": 1},
            delta_usage={"input_tokens": 3, "cache_read_input_tokens": 10, "output_tokens": 7},
        ),
        lambda http: usage_of(http) == (13, 7, 10),
        stream=True,
    ),
    "a filter of Bedrock's is no raw word in a stream": Told(
        "bedrock/amazon.nova-lite-v1:0",
        Reply.json({}),  # replaced by a recording below
        lambda http: finish_of(http) == "content_filter",
        stream=True,
    ),
    "a prompt that Gemini blocks is a content filter": Told(
        "gemini/gemini-2.5-flash",
        Reply.json({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3}}),
        lambda http: words(http)["finish_reason"] == "content_filter",
    ),
    "a chunk of Gemini's with usage alone is no error": Told(
        "gemini/gemini-2.5-flash",
        Reply.sse(
            data_frame({"candidates": [{"content": {"parts": [{"text": "good"}]}, "finishReason": "STOP"}]})
            + data_frame(
                {"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}}
            )
        ),
        lambda http: finish_of(http) == "stop" and usage_of(http)[:2] == (3, 2),
        stream=True,
    ),
    "Perplexity's whole message beside a delta is not said twice": Told(
        "perplexity/sonar",
        Reply.sse(
            data_frame(
                {
                    "id": "p",
                    "object": "chat.completion.chunk",
                    "created": 1,
                    "model": "sonar",
                    "choices": [
                        {
                            "index": 0,
                            "delta": {"role": "assistant", "content": "good"},
                            "message": {"role": "assistant", "content": "good"},
                            "finish_reason": "stop",
                        }
                    ],
                    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
                }
            )
        ),
        lambda http: http.text == "good" and finish_of(http) == "stop",  # and its stream has no [DONE]
        stream=True,
    ),
    "a stream without [DONE] is whole": Told(
        "cerebras/x",
        Reply.sse(
            data_frame(
                {
                    "id": "p",
                    "object": "chat.completion.chunk",
                    "created": 1,
                    "model": "x",
                    "choices": [{"index": 0, "delta": {"content": "good"}, "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
                }
            )
        ),
        lambda http: http.text == "good" and http.events[-1] == "[DONE]",
        stream=True,
    ),
    "raw samples of ElevenLabs' are a WAV": Told(
        "elevenlabs/eleven_v3",
        Reply(200, b"\x00\x01" * 8, {"content-type": "audio/pcm"}),
        lambda http: http.body[:4] == b"RIFF" and http.headers["content-type"] == "audio/wav",
        path="/v1/audio/speech",
        members={"input": "hi", "voice": "v", "response_format": "wav"},
    ),
    "Gemini's embeddings have an estimated usage": Told(
        "gemini/gemini-embedding-001",
        Reply.json({"embeddings": [{"values": [0.5, 0.25]}]}),
        lambda http: http.json["usage"]["prompt_tokens"] > 0,
        path="/v1/embeddings",
        members={"input": "hello you there"},
    ),
    "numbers as base64 are floats of four bytes": Told(
        "gemini/gemini-embedding-001",
        Reply.json({"embeddings": [{"values": [0.5, 0.25]}]}),
        lambda http: len(base64.b64decode(http.json["data"][0]["embedding"])) == 8,
        path="/v1/embeddings",
        members={"input": "hi", "encoding_format": "base64"},
    ),
    **{
        f"{model}: text completions over chat": Told(
            model,
            GOOD,
            lambda http: words(http)["text"] == "good" and http.json["object"] == "text_completion",
            path="/v1/completions",
            members={"prompt": "hi"},
        )
        for model in ("parasail/x", "perplexity/sonar", "groq/x", "mistral/x")
    },
    "Claude's text completions stream": Told(
        CLAUDE,
        claude_stream(start_usage={"input_tokens": 3, "output_tokens": 1}, delta_usage={"output_tokens": 2}),
        lambda http: "".join(c["choices"][0]["text"] for c in chunks(http) if c["choices"]) == "good",
        stream=True,
        path="/v1/completions",
        members={"prompt": "hi"},
    ),
}


@pytest.mark.parametrize("case", TOLD)
def test_the_client_gets(world: World, case: str) -> None:
    one = TOLD[case]
    reply = one.reply
    if case.startswith("a filter of Bedrock's"):
        require()
        reply = Reply.of(exchange(GUARDED))
    world.fresh().upstream.add(reply, times=NEVER)
    body = {"model": one.model, **one.members}
    if one.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    http = world.send("POST", one.path, body)
    assert http.status == 200, http.body
    assert one.check(http), http.body[-2000:]


GUARDED = "bedrock-chat_completion_stream-1cbf5d9e3d61"


@pytest.fixture(scope="module")
def retrying() -> Iterator[World]:
    with replaying_world(SLUICE_MAX_RETRIES="1") as running:
        yield running


@pytest.mark.parametrize("status", [500, 502, 503, 529])
def test_an_overloaded_provider_is_asked_once_more(retrying: World, status: int) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    retrying.fresh().upstream.add(Reply.json(error, status))
    retrying.upstream.add(claude())
    http = retrying.send("POST", "/v1/chat/completions", {"model": CLAUDE, "messages": HI})
    assert (http.status, len(retrying.upstream.requests)) == (200, 2)


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422, 429, 504])
def test_what_another_try_cannot_mend_is_not_tried_again(retrying: World, status: int) -> None:
    error = {"type": "error", "error": {"type": "x", "message": "no"}}
    retrying.fresh().upstream.add(Reply.json(error, status), times=NEVER)
    http = retrying.send("POST", "/v1/chat/completions", {"model": CLAUDE, "messages": HI})
    assert (http.status >= 400, len(retrying.upstream.requests)) == (True, 1)
