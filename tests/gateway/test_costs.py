"""What a call cost, from the usage that a provider tells to the figure that the catalogue makes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app.canonical.response import Billing, Usage
from app.dialects.chat.usage import decode_usage
from app.dialects.messages.response import decode_usage as decode_messages_usage
from app.dialects.responses.response import usage_of
from app.gateway.pricebook import PriceBook
from tests.behaviour.world import World, chat_body, chat_chunk, data_frame, responses_body
from tests.replay.setting import replaying_world
from tests.traffic.replay import Reply

Json = dict[str, Any]
BOOK = PriceBook()
MILLION = Usage(input_tokens=1_000_000, output_tokens=1_000_000)


def total(model: str, usage: Usage, tier: str | None = None) -> float | None:
    provider, _, name = model.partition("/")
    price = BOOK.price(provider, name, usage, tier)
    return None if price is None else float(price.total)


@pytest.mark.parametrize("tier", [None, "default", "auto", "standard"])
def test_the_usual_tier_costs_the_base_price(tier: str | None) -> None:
    assert total("openai/gpt-5", MILLION, tier) == pytest.approx(11.25)


@pytest.mark.parametrize(
    ("model", "tier", "wanted"),
    [
        ("openai/gpt-5", "flex", 5.625),
        ("openai/gpt-5", "priority", 22.5),
        ("openai/gpt-4.1", "flex", None),
        ("openai/gpt-5", "ultrafast", None),
        ("anthropic/claude-sonnet-4-5", "priority", None),
        ("groq/openai/gpt-oss-120b", "on_demand", 0.75),
    ],
)
def test_another_tier_costs_its_own_price_or_none(model: str, tier: str, wanted: float | None) -> None:
    assert total(model, MILLION, tier) == (None if wanted is None else pytest.approx(wanted))


def test_writes_of_an_hour_cost_more_than_those_of_five_minutes() -> None:
    raw = {
        "input_tokens": 0,
        "cache_creation_input_tokens": 100_000,
        "cache_creation": {"ephemeral_5m_input_tokens": 60_000, "ephemeral_1h_input_tokens": 40_000},
        "output_tokens": 0,
    }
    usage = decode_messages_usage(raw)
    assert usage is not None
    assert total("anthropic/claude-sonnet-4-5", usage) == pytest.approx(0.06 * 3.75 + 0.04 * 6)
    assert total("groq/openai/gpt-oss-120b", usage) is None


def test_searches_of_the_web_are_charged() -> None:
    raw = {"input_tokens": 0, "output_tokens": 0, "server_tool_use": {"web_search_requests": 3}}
    usage = decode_messages_usage(raw)
    assert usage is not None
    assert total("anthropic/claude-sonnet-4-5", usage) == pytest.approx(0.03)
    assert total("anthropic/claude-3-haiku-20240307", usage) is None


SEARCH = {"type": "web_search_call", "action": {"type": "search", "query": "q"}}
OPEN = {"type": "web_search_call", "action": {"type": "open_page", "url": "https://e"}}


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({"output": [SEARCH, OPEN, SEARCH]}, 0.02),
        ({"output": [SEARCH, OPEN], "tool_usage": {"web_search": {"num_requests": 5}}}, 0.05),
        ({"output": [{"type": "file_search_call"}]}, 0.0025),
        ({"output": [{"type": "code_interpreter_call"}]}, None),
        ({"output": [{"type": "image_generation_call"}]}, None),
        ({"output": [{"type": "function_call"}]}, 0.0),
    ],
)
def test_hosted_tools_of_responses_are_charged_or_make_the_cost_unknown(
    more: Json, wanted: float | None
) -> None:
    usage = usage_of({"usage": {"input_tokens": 0, "output_tokens": 0}, **more})
    assert usage is not None
    assert total("openai/gpt-5", usage) == (None if wanted is None else pytest.approx(wanted))


@pytest.mark.parametrize(
    ("model", "wanted"),
    [("google/gemini-2.5-flash-image", 0.0387), ("google/gemini-2.5-flash", None), ("openai/gpt-5", None)],
)
def test_pictures_cost_their_own_rate_or_an_unknown_one(model: str, wanted: float | None) -> None:
    usage = Usage(output_tokens=1290, details={"output.image_tokens": 1290})
    assert total(model, usage) == (None if wanted is None else pytest.approx(wanted))


def test_speech_without_a_rate_of_its_own_is_not_charged_as_text() -> None:
    usage = Usage(input_tokens=10, output_tokens=10, details={"output.audio_tokens": 10})
    assert total("openai/gpt-4o-audio-preview", usage) is None
    assert total("openai/gpt-realtime", usage) is not None


def test_compactions_and_advisors_of_claude_are_charged_beside_the_counts() -> None:
    raw = {
        "input_tokens": 1000,
        "output_tokens": 100,
        "iterations": [
            {"type": "compaction", "input_tokens": 200_000 // 2, "output_tokens": 1000},
            {"type": "message", "input_tokens": 1000, "output_tokens": 100},
            {"type": "advisor_message", "model": "claude-opus-4-5", "input_tokens": 100, "output_tokens": 10},
        ],
    }
    usage = decode_messages_usage(raw)
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (1000, 100)
    own = (1000 * 3 + 100 * 15) + (100_000 * 3 + 1000 * 15)
    assert total("anthropic/claude-sonnet-4-5", usage) == pytest.approx((own + 100 * 5 + 10 * 25) / 1e6)


def test_a_faster_claude_costs_its_own_price_or_none() -> None:
    fast = Usage(input_tokens=1, billing=Billing(terms={"speed": "fast"}))
    assert total("anthropic/claude-sonnet-4-5", fast) is None
    raw = {"input_tokens": 1, "output_tokens": 0, "speed": "standard", "inference_geo": "not_available"}
    usage = decode_messages_usage(raw)
    assert usage is not None
    assert usage.billing.terms == {}


CHAT_USAGES: list[tuple[Json, Json]] = [
    ({"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 121, "reasoning_tokens": 103}, {"output_tokens": 112}),
    (
        {
            "prompt_tokens": 9,
            "completion_tokens": 9,
            "total_tokens": 121,
            "completion_tokens_details": {"reasoning_tokens": 103},
        },
        {"output_tokens": 112, "reasoning_tokens": 103},
    ),
    (
        {
            "prompt_tokens": 9,
            "completion_tokens": 112,
            "total_tokens": 121,
            "completion_tokens_details": {"reasoning_tokens": 103},
        },
        {"output_tokens": 112},
    ),
    ({"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 7}, {"cached_tokens": 7}),
    ({"prompt_tokens": 9, "completion_tokens": 1, "cached_tokens": 7}, {"cached_tokens": 7}),
    (
        {
            "prompt_tokens": 9,
            "completion_tokens": 1,
            "cached_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
        {"cached_tokens": 0},
    ),
    (
        {"prompt_tokens": 9, "completion_tokens": 1, "cached_tokens": 7, "prompt_tokens_details": None},
        {"cached_tokens": 7},
    ),
    (
        {
            "prompt_tokens": 1,
            "completion_tokens": 1,
            "cost": 0.5,
            "is_byok": True,
            "cost_details": {"upstream_inference_cost": 2},
        },
        {"cost": {"upstream_inference_cost": 2, "total_cost": 2.5}},
    ),
    (
        {
            "prompt_tokens": 1,
            "completion_tokens": 1,
            "cost": 0.5,
            "is_byok": False,
            "cost_details": {"upstream_inference_cost": 2},
        },
        {"cost": {"upstream_inference_cost": 2, "total_cost": 0.5}},
    ),
    ({"prompt_tokens": 1, "completion_tokens": 1, "cost": 0, "is_byok": True}, {"cost": None}),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "wanted"), CHAT_USAGES)
def test_a_chat_usage_is_read_the_openai_way(raw: Json, wanted: Json) -> None:
    usage = decode_usage(raw)
    assert {name: getattr(usage, name) for name in wanted} == wanted


# --- at the surface ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with replaying_world() as world:
        yield world


COUNTS = {"prompt_tokens": 1_000_000, "completion_tokens": 1_000_000, "total_tokens": 2_000_000}


@pytest.mark.parametrize(("served", "cost"), [("flex", 5.625), ("default", 11.25), ("priority", 22.5)])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_served_tier_decides_not_the_asked_one(
    world: World, served: str, cost: float, stream: bool
) -> None:
    world.fresh()
    body: Json = {"model": "openai/gpt-5", "messages": [{"role": "user", "content": "hi"}]}
    body |= {"service_tier": "priority", "stream": stream, "stream_options": {"include_usage": True}}
    if stream:
        chunks = chat_chunk({"content": "hi"}, "stop", service_tier=served)
        chunks += data_frame({"object": "chat.completion.chunk", "choices": [], "usage": COUNTS})
        world.upstream.add(Reply.sse(chunks + b"data: [DONE]\n\n"))
    else:
        del body["stream_options"]
        world.upstream.add(Reply.json(chat_body(usage=COUNTS, service_tier=served)))
    answer = world.send("POST", "/v1/chat/completions", body)
    usage = answer.events[-2]["usage"] if stream else answer.json["usage"]
    assert usage["cost"] == pytest.approx(cost)
    assert usage["cost_details"]["source"] == "catalogue"


def test_the_tier_of_a_response_decides_too(world: World) -> None:
    counts = {"input_tokens": 1_000_000, "output_tokens": 1_000_000, "total_tokens": 2_000_000}
    reply = responses_body(usage=counts, service_tier="flex")
    world.fresh().upstream.add(Reply.json(reply))
    answer = world.send("POST", "/v1/responses", {"model": "openai/gpt-5", "input": "hi"}).json
    assert answer["usage"]["cost"] == pytest.approx(5.625)
    stored = world.send("GET", f"/openai/v1/responses/{answer['id']}").json
    assert stored["usage"] == answer["usage"]


def test_a_providers_own_cost_details_stay(world: World) -> None:
    usage = {
        **COUNTS,
        "cost": 0.05,
        "is_byok": True,
        "cost_details": {"upstream_inference_cost": 1.0, "upstream_inference_prompt_cost": 0.4},
    }
    for _ in range(2):
        world.fresh().upstream.add(Reply.json(chat_body(usage=usage)), times=2)
        body = {"model": "openrouter/x", "messages": [{"role": "user", "content": "hi"}]}
        told = world.send("POST", "/v1/chat/completions", body).json["usage"]
        assert told["cost"] == pytest.approx(1.05)
        assert told["cost_details"]["upstream_inference_prompt_cost"] == 0.4
        assert told["cost_details"]["total_cost"] == pytest.approx(1.05)
        page = world.send("POST", "/openai/v1/chat/completions", body).json["usage"]
        assert page["cost"]["total_cost"] == pytest.approx(1.05)
        assert "cost_details" not in page
