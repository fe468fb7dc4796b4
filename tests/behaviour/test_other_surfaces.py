"""Faults, attacks, silence and fallbacks at the surfaces that are not OpenAI's: the same rules, each in its own form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from tests.behaviour.surfaces import SURFACES, Surface, at_each, events
from tests.behaviour.world import (
    PATHS,
    ROLE,
    World,
    chat_body,
    chat_stream,
    chat_text,
    data_frame,
    running_world,
)
from tests.traffic.replay import Reply

MAX_BODY = 200_000
BEN = "ben-secret-key-0002"


@pytest.fixture(scope="module")
def _world() -> Iterator[World]:
    env = {
        "SLUICE_MAX_BODY_BYTES": str(MAX_BODY),
        "SLUICE_TIMEOUT_FIRST_BYTE": "2",
        "SLUICE_TIMEOUT_IDLE": "2",
        "SLUICE_STATUS_AFTER": "60",
        "SLUICE_COMMENT_EVERY": "0.2",
        "SLUICE_KEYS": f"ann:ann-secret-key-0001,ben:{BEN}",
        "GEMINI_API_KEY": "gemini-key",
        "GEMINI_BASE_URL": "{upstream}/gemini/v1beta",
        "COHERE_API_KEY": "cohere-key",
        "COHERE_BASE_URL": "{upstream}/cohere",
        "AWS_BEARER_TOKEN_BEDROCK": "bedrock-key",
        "BEDROCK_BASE_URL": "{upstream}/bedrock",
    }
    with running_world(env, key="ann-secret-key-0001") as world:
        yield world


@pytest.fixture
def world(_world: World) -> World:
    return _world.fresh()


EVERY = pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
COHERE = ["id", "message"]
BEDROCK = ["message"]
REFUSED = ("invalid_request_error", "request_too_large", "INVALID_ARGUMENT", COHERE, BEDROCK)
FAULTS = {500: 500, 503: 503, 504: 504, 400: 400, 401: 502, 404: 404, 413: 413, 429: 429}
"""The provider's status, and ours."""


@BOTH
@pytest.mark.parametrize("given", FAULTS)
def test_a_fault_before_content_has_its_status_and_its_form(world: World, stream: bool, given: int) -> None:
    error = {"message": "it broke", "type": "some_error", "param": None, "code": None}
    world.upstream.script = lambda request: Reply.json({"error": error}, given)

    def check(surface: Surface) -> None:
        answer = surface.ask(world, "groq/x", stream=stream)
        status = surface.statuses.get(FAULTS[given], FAULTS[given])
        assert (answer.status, surface.word(answer.json)) == (status, surface.words[status])
        assert "extra_fields" not in answer.json
        assert answer.headers["x-sluice-provider"] == "groq"

    at_each(check, SURFACES)


@EVERY
@pytest.mark.parametrize(
    "tail, knobs",
    [
        (data_frame({"error": {"message": "it broke", "type": "server_error", "code": None}}), {}),
        (b"", {"cut": 10**9}),
        (b"data: {nonsense\n\n", {}),
        (data_frame({"choices": 5}), {}),
    ],
    ids=["told", "cut", "nonsense", "shape"],
)
def test_a_stream_that_breaks_ends_in_the_surfaces_own_way(
    world: World, surface: Surface, tail: bytes, knobs: dict[str, Any]
) -> None:
    world.upstream.add(Reply.sse(ROLE + chat_text("good") + tail, **knobs))
    answer = surface.ask(world, "groq/x", stream=True, fallbacks=["openai/x"])
    told = events(answer)
    assert (answer.status, surface.text_of(answer)) == (200, "good")
    assert [bool(surface.broken(event)) for event in told] == [False] * (len(told) - 1) + [True]
    assert len(world.upstream.requests) == 1


@EVERY
@BOTH
def test_a_fallback_answers_for_a_target_that_failed(world: World, surface: Surface, stream: bool) -> None:
    def script(request: Any) -> Reply:
        if request.path.startswith("/groq"):
            return Reply.json({"error": {"message": "no"}}, 529)
        return Reply.sse(chat_stream("saved")) if stream else Reply.json(chat_body("saved"))

    world.upstream.script = script
    answer = surface.ask(world, "groq/x", stream=stream, fallbacks=["openai/x"])
    assert (answer.status, surface.text_of(answer)) == (200, "saved")
    assert answer.headers["x-sluice-provider"] == "openai"
    assert int(answer.headers["x-sluice-attempts"]) > 1
    assert all("fallbacks" not in request.json() for request in world.upstream.requests)


@pytest.mark.parametrize("wish", ["default", [{"model": "claude-y"}]], ids=["word", "objects"])
def test_anthropics_own_fallbacks_reach_anthropic_alone(world: World, wish: Any) -> None:
    (surface, *_) = SURFACES
    message = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "mine"}]}
    world.upstream.add(Reply.json({**message, "usage": {"input_tokens": 1, "output_tokens": 1}}))
    world.upstream.add(Reply.json(chat_body("other")))
    assert surface.text_of(surface.ask(world, "claude-x", fallbacks=wish)) == "mine"
    other = surface.ask(world, "groq/x", fallbacks=wish)
    at_home, elsewhere = (request.json() for request in world.upstream.requests)
    assert (at_home["fallbacks"], "fallbacks" in elsewhere) == (wish, False)
    assert [entry["param"] for entry in json.loads(other.headers["x-sluice-warnings"])] == ["fallbacks"]


@pytest.mark.parametrize(
    "model, fields",
    [
        (
            "anthropic.claude-sonnet-4-5-20250929-v1:0",
            {"anthropic_beta": ["one-2026-01-01", "two-2026-02-02"]},
        ),
        ("amazon.nova-lite-v1:0", None),
    ],
)
def test_betas_reach_claude_on_bedrock_in_its_body(world: World, model: str, fields: Any) -> None:
    (surface, *_) = SURFACES
    output = {"message": {"role": "assistant", "content": [{"text": "good"}]}}
    usage = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
    world.upstream.add(Reply.json({"output": output, "stopReason": "end_turn", "usage": usage}))
    headers = {"anthropic-beta": "one-2026-01-01, two-2026-02-02"}
    answer = surface.ask(world, f"bedrock/{model}", headers=headers)
    assert (answer.status, surface.text_of(answer)) == (200, "good")
    (request,) = world.upstream.requests
    assert request.json().get("additionalModelRequestFields") == fields
    assert "anthropic-beta" not in request.headers


ATTACKS = [
    (b"", 400),
    (b"{", 400),
    (b"[]", 400),
    (b"5", 400),
    (b'{"model": "groq/x", "messages": []', 400),
    (b'{"model": "groq/x", "model": "groq/y", "max_tokens": 5, "messages": []}', 400),
    (b'{"model": "groq/x", "max_tokens": NaN, "messages": []}', 400),
    (b'{"model": "groq/x", "max_tokens": 5, "messages": "\xff"}', 400),
    (b'{"model": "groq/x", "max_tokens": 5, "messages": [{"role": "user", "content": "\\ud800"}]}', 400),
    (b'{"model": "groq/x", "max_tokens": 5, "messages": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400),
    (b'{"model": "groq/x", "max_tokens": "5", "messages": [{"role": "user", "content": "x"}]}', 400),
    (b'{"model": "groq/x", "max_tokens": 5, "messages": [{"role": "user", "content": 5}]}', 400),
    (b'{"model": "groq/x", "max_tokens": 5, "messages": [{"role": "boss", "content": "x"}]}', 400),
    (b'{"model": "groq/\\u0000", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}', 400),
    (b'{"model": "groq/x", "max_tokens": 5, "fallbacks": 5, "messages": []}', 400),
    (b'{"model": "x", "max_tokens": 5, "messages": "' + b"x" * MAX_BODY + b'"}', 413),
]


@EVERY
@pytest.mark.parametrize(("body", "status"), ATTACKS, ids=range(len(ATTACKS)))
def test_a_bad_body_is_refused_in_the_surfaces_form(
    world: World, surface: Surface, body: bytes, status: int
) -> None:
    answer = world.send("POST", surface.place(), body)
    assert answer.status == status, answer.body
    assert surface.word(answer.json) in REFUSED
    assert world.upstream.requests == []


ODD: list[dict[str, Any]] = [
    {"messages": [5]},
    {"messages": [None, [], "x"]},
    {"messages": [{"role": "user", "content": 5}]},
    {"messages": [{"role": "user", "content": [5, None, [], {"type": 5}, {"type": "tool_result"}]}]},
    {"messages": [{"role": "assistant", "content": [{"type": "thinking", "signature": 5}]}]},
    {"messages": [{"role": "assistant", "content": [{"type": "redacted_thinking", "data": {}}]}]},
    {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": 5, "input": 5}]}]},
    {
        "messages": [
            {"role": "assistant", "tool_calls": 5},
            {"role": "assistant", "tool_calls": [5, {"id": 5}]},
        ]
    },
    {"tools": [5, {"type": 5}]},
    {"thinking": {"type": 5}, "temperature": 0.5},
    {"system": [5], "metadata": {"user_id": 5}, "context_management": {"edits": 5}},
    {"tool_choice": None, "fallbacks": None, "documents": [5, {}]},
    {"contents": {"parts": 5}, "systemInstruction": {"parts": [5]}},
    {"contents": [5, None, {"parts": [5, None, {}]}, {"role": "model", "parts": {"functionCall": 5}}]},
    {"contents": [{"role": "model", "parts": [{"functionCall": 5}, {"thoughtSignature": 5, "thought": 5}]}]},
    {"messages": [{"role": "assistant", "content": [{"reasoningContent": 5}, {"toolUse": 5}, None, 5]}]},
    {"messages": [{"content": [{"reasoningContent": {"reasoningText": 5, "redactedContent": 5}}]}]},
]


@EVERY
@BOTH
@pytest.mark.parametrize("members", ODD, ids=range(len(ODD)))
def test_odd_shapes_at_home_are_the_providers_to_judge(
    world: World, surface: Surface, stream: bool, members: dict[str, Any]
) -> None:
    world.upstream.script = lambda request: Reply.json({"message": "odd", "error": {"message": "odd"}}, 400)
    answer = surface.ask(world, surface.home, stream=stream, **members)
    assert (answer.status, surface.word(answer.json)) in [(400, word) for word in REFUSED]


@BOTH
def test_the_code_of_an_error_of_anthropic_reaches_its_clients(world: World, stream: bool) -> None:
    details = {"error_code": "file_expired", "secret": "x"}
    error = {"type": "invalid_request_error", "message": "gone", "details": details}
    world.upstream.script = lambda request: Reply.json({"type": "error", "error": error}, 400)
    surface = next(surface for surface in SURFACES if surface.name == "anthropic")
    answer = surface.ask(world, surface.home, stream=stream)
    assert answer.status == 400
    assert answer.json["error"] == {**error, "details": {"error_code": "file_expired"}}


FOUND = {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "found"}]}
FOREIGN: dict[str, tuple[str, dict[str, Any]]] = {
    "in a prompt": ("/anthropic/v1/messages", {"messages": [{"role": "user", "content": [FOUND]}]}),
    "in a result": (
        "/anthropic/v1/messages",
        {
            "messages": [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]},
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "a", "content": [FOUND]}],
                },
            ]
        },
    ),
    "of Bedrock": (
        "/bedrock/model/{model}/converse",
        {"messages": [{"role": "user", "content": [{"guardContent": {"text": {"text": "hi"}}}]}]},
    ),
}


@pytest.mark.parametrize("model", ["sandbox/echo", "sandbox/responses-x", "gemini/x", "cohere/x"])
@pytest.mark.parametrize("where", FOREIGN)
def test_a_part_of_a_prompt_that_the_target_cannot_read_is_refused_by_its_type(
    world: World, where: str, model: str
) -> None:
    path, members = FOREIGN[where]
    body = members if "{model}" in path else {"model": model, "max_tokens": 99, **members}
    answer = world.send("POST", path.format(model=quote(model, safe="")), body)
    assert answer.status == 400, answer.body
    assert (b"guardContent" if "bedrock" in path else b"search_result") in answer.body
    assert world.upstream.requests == []


def test_a_refused_member_is_named_as_it_is_at_googles_surface(world: World) -> None:
    body = {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "generationConfig": {"candidateCount": 2},
    }
    answer = world.send("POST", "/v1beta/models/sandbox%2Fresponses-x:generateContent", body)
    (violation,) = answer.json["error"]["details"][0]["fieldViolations"]
    assert (answer.status, violation["field"]) == (400, "generationConfig.candidateCount")


NULLS: dict[str, tuple[str, ...]] = {
    "anthropic": ("system", "thinking", "container", "mcp_servers", "thread", "context_management"),
    "cohere": ("documents", "citation_options", "safety_mode", "priority"),
    "gemini": ("cachedContent", "labels", "safetySettings", "toolConfig"),
    "bedrock": ("guardrailConfig", "promptVariables", "requestMetadata", "performanceConfig"),
}


@pytest.mark.parametrize("model", ["sandbox/echo", "sandbox/responses-x", "sandbox/messages-x"])
@pytest.mark.parametrize("name", NULLS)
def test_null_is_absent(world: World, name: str, model: str) -> None:
    surface = next(surface for surface in SURFACES if surface.name == name)
    nulls: dict[str, Any] = dict.fromkeys(NULLS[name])
    if name == "gemini":
        nulls["generationConfig"] = {"mediaResolution": None, "speechConfig": None, "responseSchema": None}
    answer = surface.ask(world, model, **nulls)
    assert (answer.status, answer.headers.get("x-sluice-warnings")) == (200, None)


@pytest.mark.parametrize(
    ("model", "reply", "told"),
    [
        ("groq/x", None, {"estimated": True}),
        ("gemini/gemini-2.5-flash", Reply.json({"totalTokens": 7}), {"input_tokens": 7}),
        ("claude-x", Reply.json({"input_tokens": 8}), {"input_tokens": 8}),
    ],
)
def test_tokens_are_counted_by_the_provider_or_estimated(
    world: World, model: str, reply: Reply | None, told: dict[str, Any]
) -> None:
    (surface, *_) = SURFACES
    if reply is not None:
        world.upstream.add(reply)
    body = {"model": model, "messages": surface.prompt["messages"]}
    answer = world.send("POST", f"{surface.path}/count_tokens", body)
    assert answer.status == 200, answer.body
    assert {name: answer.json.get(name) for name in told} == told
    assert ("estimated" in answer.json) is ("estimated" in told)
    assert len(world.upstream.requests) == (reply is not None)


@EVERY
def test_steering_members_and_headers_go_nowhere(world: World, surface: Surface) -> None:
    world.upstream.add(Reply.json(chat_body()))
    headers = {"anthropic-beta": "b", "anthropic-version": "v", "cookie": "c=1", "x-evil": "1"}
    answer = surface.ask(world, "groq/x", api_base="http://evil.example", api_key="sk-evil", headers=headers)
    assert answer.status == 200
    (request,) = world.upstream.requests
    assert request.headers["authorization"] == "Bearer groq-key"
    assert not {"anthropic-beta", "anthropic-version", "cookie", "x-evil"} & request.headers.keys()
    assert b"evil" not in request.body
    assert {e["param"] for e in json.loads(answer.headers["x-sluice-warnings"])} == {"api_base", "api_key"}


@pytest.mark.parametrize("surface", [*SURFACES[:2], SURFACES[-1]], ids=lambda surface: surface.name)
@pytest.mark.parametrize(
    "method, path, status", [("GET", "", 405), ("DELETE", "", 405), ("POST", "/nothing", 404)]
)
def test_other_paths_and_methods_are_refused_in_the_surfaces_form_after_the_key(
    world: World, surface: Surface, method: str, path: str, status: int
) -> None:
    answer = world.send(method, surface.place() + path)
    assert (answer.status, "error" in answer.json or sorted(answer.json) in (COHERE, BEDROCK)) == (
        status,
        True,
    )
    keyless = World(world.gateway, world.upstream).send(method, surface.place() + path)
    assert keyless.status == 401
    assert surface.word(keyless.json) in ("authentication_error", COHERE, BEDROCK)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": f"Bearer {BEN}"}, 200),
        ({"x-api-key": BEN}, 200),
        ({"x-bf-vk": BEN}, 401),
        ({"x-api-key": "wrong"}, 401),
        ({"authorization": "Bearer wrong", "x-api-key": BEN}, 401),
    ],
)
def test_truefoundrys_messages_take_a_bearer_or_x_api_key(
    world: World, headers: dict[str, str], status: int
) -> None:
    (surface, *_) = SURFACES
    world.upstream.add(Reply.json(chat_body("good")))
    body = {"model": "groq/x", **surface.prompt}
    answer = World(world.gateway, world.upstream).send("POST", "/api/llm/messages", body, headers)
    assert (answer.status, answer.json["type"]) == (status, "message" if status == 200 else "error")


def test_a_callers_limits_are_told_in_the_headers_of_each_api() -> None:
    config = '[keys.ann]\nkey = "sk-ann"\nlimits = [{ requests = 1, per = "day" }]\n'
    with running_world(config=config, key="sk-ann") as world:
        (surface, cohere, *_) = SURFACES
        first = surface.ask(world, "sandbox/x")
        refused, other = surface.ask(world, "sandbox/x"), cohere.ask(world, "sandbox/x")
    assert (first.status, refused.status, other.status) == (200, 429, 429)
    for answer in (first, refused):
        headers = {
            name.removeprefix("anthropic-ratelimit-requests-"): v for name, v in answer.headers.items()
        }
        assert (headers["limit"], headers["remaining"]) == ("1", "0")
        assert datetime.fromisoformat(headers["reset"]) > datetime.now(UTC)
        assert not any(name.startswith("x-ratelimit") for name in answer.headers)
    assert surface.word(refused.json) == "rate_limit_error"
    assert other.headers["x-ratelimit-remaining-requests"] == "0"


def test_batches_are_told_what_there_is_instead(world: World) -> None:
    answer = world.send("POST", "/anthropic/v1/messages/batches", {})
    assert (answer.status, answer.json["error"]["type"]) == (404, "not_found_error")
    assert "POST /anthropic/v1/messages/count_tokens" in answer.json["error"]["message"]


# --- thoughts of another maker, sealed ---------------------------------------------------------

THOUGHT = {"text": "hm", "thought": True}
CALL = {"functionCall": {"name": "look", "args": {}}, "thoughtSignature": "c2lnbmVkLWJ5LWdlbWluaQ=="}
TOOL = {"name": "look", "input_schema": {"type": "object", "properties": {}}}


def gemini(*parts: Any, stream: bool) -> Reply:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "finishReason": "STOP", "index": 0}
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}
    body = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-3"}
    return Reply.sse(data_frame(body)) if stream else Reply.json(body)


def content_of(answer: Any) -> list[dict[str, Any]]:
    """Return the content blocks of a Messages answer of either kind."""
    if not answer.headers["content-type"].startswith("text/event-stream"):
        blocks: list[dict[str, Any]] = answer.json["content"]
        return blocks
    blocks = []
    for event in events(answer):
        if event["type"] == "content_block_start":
            blocks.append({**event["content_block"]})
        delta = event.get("delta", {})
        if "thinking" in delta:
            blocks[-1]["thinking"] += delta["thinking"]
        if "signature" in delta:
            blocks[-1]["signature"] = delta["signature"]
    return blocks


@BOTH
def test_a_thought_of_gemini_is_sealed_at_anthropics_surface_and_comes_back_to_gemini_alone(
    world: World, stream: bool
) -> None:
    (surface, *_) = SURFACES
    world.upstream.add(gemini(THOUGHT, CALL, stream=stream))
    thinking = {"type": "enabled", "budget_tokens": 1024}
    options: dict[str, Any] = {"tools": [TOOL], "thinking": thinking, "max_tokens": 4096}
    first = surface.ask(world, "gemini/gemini-3-pro", stream=stream, **options)
    content = content_of(first)
    assert [block["type"] for block in content] == ["thinking", "tool_use"]
    assert b"c2lnbmVkLWJ5LWdlbWluaQ" not in first.body
    result = {"type": "tool_result", "tool_use_id": content[1]["id"], "content": "seen"}
    history = [*surface.prompt["messages"], {"role": "assistant", "content": content}]
    history.append({"role": "user", "content": [result]})

    def next_turn(model: str, reply: Reply, key: str | None = None) -> bytes:
        world.fresh().upstream.add(reply)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        answer = surface.ask(world, model, messages=history, headers=headers, **options)
        assert answer.status == 200, answer.body
        (request,) = world.upstream.requests
        return request.body

    answered = gemini({"text": "ok"}, stream=False)
    assert b"c2lnbmVkLWJ5LWdlbWluaQ==" in next_turn("gemini/gemini-3-pro", answered)
    assert b"c2lnbmVkLWJ5LWdlbWluaQ" not in next_turn("gemini/gemini-3-pro", answered, BEN)
    message = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "ok"}]}
    at_anthropic = next_turn("claude-sonnet-4-5", Reply.json({**message, "usage": {"input_tokens": 1}}))
    assert b"slr1." not in at_anthropic
    assert b"c2lnbmVkLWJ5LWdlbWluaQ" not in at_anthropic
    assert b"slr1." not in next_turn("groq/x", Reply.json(chat_body()))


def test_the_surfaces_of_this_table_are_not_those_of_openai() -> None:
    assert not {surface.path for surface in SURFACES} & set(PATHS.values())
