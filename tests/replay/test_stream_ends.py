"""Streams as hosts really send them: empty finish words, late filter results, halves of characters,
wrong labels, missing blank lines, and ends that are no success."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.behaviour.world import ROLE as CHAT_ROLE
from tests.behaviour.world import Answer, World, chat_body, chat_chunk, data_frame
from tests.replay.setting import replaying_world
from tests.traffic.replay import Reply

Json = dict[str, Any]
CHAT, RESPONSES, TEXT = "/v1/chat/completions", "/v1/responses", "/v1/completions"
ASK = {"messages": [{"role": "user", "content": "hi"}]}
DONE = b"data: [DONE]\n\n"

CONFIG = """
[providers.mine]
dialect = "chat"
base_url = "{upstream}/mine/v1"
options = { passes = true }
"""


@pytest.fixture(scope="module")
def _world() -> Iterator[World]:
    with replaying_world(CONFIG) as world:
        yield world


@pytest.fixture
def world(_world: World) -> World:
    return _world.fresh()


def chat(world: World, body: bytes, model: str = "openai/gpt-4.1", **knobs: Any) -> Answer:
    world.upstream.add(Reply.sse(body, **knobs))
    return world.send("POST", CHAT, {"model": model, **ASK, "stream": True})


def choices(answer: Answer) -> list[Json]:
    return [choice for event in answer.events if event != "[DONE]" for choice in event.get("choices", ())]


@pytest.mark.parametrize("model", ["openai/gpt-4.1", "mine/x", "sgl/x"])
def test_an_empty_finish_word_is_none(world: World, model: str) -> None:
    body = chat_chunk({"content": "go"}, "") + chat_chunk({"content": "od"}, "") + chat_chunk({}, "length")
    answer = chat(world, body + DONE, model)
    assert answer.text == "good"
    assert [c["finish_reason"] for c in choices(answer) if c.get("finish_reason")] == ["length"]


def test_filter_results_behind_the_finish_stay(world: World) -> None:
    late = {"index": 0, "finish_reason": None, "content_filter_results": {"hate": {"filtered": False}}}
    frames = chat_chunk({"content": "good"}) + chat_chunk({}, "stop")
    frames += data_frame(
        {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [late]}
    )
    answer = chat(world, frames + DONE, "azure/gpt")
    assert [c for c in choices(answer) if "content_filter_results" in c] == [{**late, "delta": {}}]
    assert [c["finish_reason"] for c in choices(answer) if c.get("finish_reason")] == ["stop"]


@pytest.mark.parametrize("model", ["openai/gpt-4.1", "groq/x"])
def test_a_character_in_two_deltas_is_one(world: World, model: str) -> None:
    whole = chat_chunk({"content": "a\U0001f600b"}).decode()
    halves = [json.dumps("a\U0001f600b")[1:-1][:7], json.dumps("a\U0001f600b")[1:-1][7:]]
    frames = b"".join(whole.replace(json.dumps("a\U0001f600b")[1:-1], half).encode() for half in halves)
    assert frames.count(b"\\ud83d") == frames.count(b"\\ude00") == 1
    assert chat(world, frames + chat_chunk({}, "stop") + DONE, model).text == "a\U0001f600b"


@pytest.mark.parametrize("model", ["openai/gpt-4.1", "groq/x", "mine/x"])
@pytest.mark.parametrize("finish", [chat_chunk({}, "stop"), chat_chunk({"content": ""}, "stop")])
def test_a_half_of_a_character_at_the_end_is_not_lost(world: World, model: str, finish: bytes) -> None:
    half = chat_chunk({"content": "go\ud83d"})
    assert b"\\ud83d" in half
    answer = chat(world, CHAT_ROLE + half + finish + DONE, model)
    assert (answer.text, answer.broken("chat")) == ("go\ufffd", [])
    world.upstream.add(Reply.sse(half + finish + DONE))
    told = world.send("POST", RESPONSES, {"model": "groq/x", "input": "hi", "stream": True})
    assert told.events[-1]["response"]["output"][0]["content"][0]["text"] == "go\ufffd"


@pytest.mark.parametrize("model", ["openai/gpt-4.1", "groq/x"])
@pytest.mark.parametrize("ending", [DONE.rstrip(), b""], ids=["done", "chunk"])
def test_the_last_event_may_lack_its_blank_line(world: World, model: str, ending: bytes) -> None:
    body = CHAT_ROLE + chat_chunk({"content": "good"}) + chat_chunk({}, "stop")
    answer = chat(world, body + ending if ending else body.rstrip(), model)
    assert (answer.status, answer.text, answer.broken("chat")) == (200, "good", [])


@pytest.mark.parametrize("model", ["openai/gpt-4.1", "groq/x"])
def test_a_stream_that_calls_itself_json_is_read(world: World, model: str) -> None:
    body = CHAT_ROLE + chat_chunk({"content": "good"}) + chat_chunk({}, "stop") + DONE
    answer = chat(world, body, model, headers={"content-type": "application/json"})
    assert (answer.status, answer.text, answer.broken("chat")) == (200, "good", [])


def test_a_text_completion_that_calls_itself_json_is_read(world: World) -> None:
    rows = [
        {"choices": [{"index": 0, "text": t, "finish_reason": f}]} for t, f in (("go", None), ("od", "stop"))
    ]
    head = {"id": "c", "object": "text_completion", "created": 1, "model": "m"}
    frames = b"".join(data_frame(head | row) for row in rows) + DONE
    world.upstream.add(Reply.sse(frames, headers={"content-type": "application/json"}))
    answer = world.send("POST", TEXT, {"model": "sgl/x", "prompt": "hi", "stream": True})
    assert "".join(c["text"] for c in choices(answer)) == "good"


def test_a_whole_answer_to_a_stream_is_still_read(world: World) -> None:
    world.upstream.add(
        Reply(200, b"\n  " + json.dumps(chat_body("good")).encode(), {"content-type": "application/json"})
    )
    answer = world.send("POST", CHAT, {"model": "groq/x", **ASK, "stream": True})
    assert (answer.text, answer.broken("chat")) == ("good", [])


def test_a_responses_stream_of_bare_deltas_is_whole_for_its_readers(world: World) -> None:
    kind = "response.output_text.delta"
    told = [{"type": kind, "delta": delta} for delta in ("go", None, "od")]
    events = [*told, {"type": "response.completed", "response": {"status": "completed"}}]
    world.upstream.add(Reply.sse(b"".join(map(data_frame, events))))
    answer = world.send("POST", RESPONSES, {"model": "openai/gpt-4.1", "input": "hi", "stream": True})
    assert answer.broken("responses") == []
    final = answer.events[-1]["response"]
    assert [part["text"] for item in final["output"] for part in item["content"]] == ["good"]
    stored = world.send("GET", f"{RESPONSES}/{final['id']}").json
    assert stored["output"] == final["output"]


# --- ends that are no success --------------------------------------------------------------------

WORDS = ("abort", "timeout", "cancelled", "insufficient_system_resource")


@pytest.mark.parametrize("word", WORDS)
def test_an_answer_that_was_broken_off_is_no_success(world: World, word: str) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "go"}, "finish_reason": word}
    world.upstream.add(Reply.json(chat_body(choices=[choice])), times=9)
    answer = world.send("POST", CHAT, {"model": "sgl/x", **ASK})
    assert (answer.status, word in answer.error["message"]) == (502, True)
    assert world.send("POST", RESPONSES, {"model": "sgl/x", "input": "hi"}).json["status"] == "failed"
    rescued = world.send("POST", CHAT, {"model": "sgl/x", **ASK, "fallbacks": ["sandbox/second"]})
    assert (rescued.status, rescued.headers["x-sluice-model"]) == (200, "second")


@pytest.mark.parametrize("word", WORDS)
def test_a_stream_that_was_broken_off_ends_in_an_error(world: World, word: str) -> None:
    body = chat_chunk({"content": "go"}) + chat_chunk({}, word) + DONE
    answer = chat(world, body, "sgl/x")
    assert answer.text == "go"
    assert word in (answer.stream_error or {}).get("message", "")
    assert [c for c in choices(answer) if c.get("finish_reason")] == []
    world.upstream.add(Reply.sse(body))
    events = world.send("POST", RESPONSES, {"model": "sgl/x", "input": "hi", "stream": True}).events
    assert events[-1]["type"] == "response.failed"


@pytest.mark.parametrize("model", ["openai/gpt-4.1", "mine/x"])
@pytest.mark.parametrize("word", WORDS)
def test_a_passed_answer_that_was_broken_off_is_no_success(world: World, word: str, model: str) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "go"}, "finish_reason": word}
    world.upstream.add(Reply.json(chat_body(choices=[choice])), times=9)
    answer = world.send("POST", CHAT, {"model": model, **ASK})
    assert (answer.status, word in answer.error["message"]) == (502, True)
    rescued = world.send("POST", CHAT, {"model": model, **ASK, "fallbacks": ["sandbox/second"]})
    assert (rescued.status, rescued.headers["x-sluice-model"]) == (200, "second")


@pytest.mark.parametrize("model", ["openai/gpt-4.1", "mine/x"])
@pytest.mark.parametrize("last", [{}, {"content": "od"}])
def test_a_passed_stream_that_was_broken_off_ends_in_an_error(world: World, model: str, last: Json) -> None:
    for word in WORDS:
        answer = chat(world, CHAT_ROLE + chat_chunk({"content": "go"}) + chat_chunk(last, word) + DONE, model)
        assert answer.text == "go" + last.get("content", "")
        assert word in (answer.stream_error or {}).get("message", "")
        assert [c for c in choices(answer) if c.get("finish_reason")] == []
        assert answer.broken("chat") == []


def test_geminis_continuation_is_an_answer_cut_at_its_length(world: World) -> None:
    part = {"content": {"role": "model", "parts": [{"text": "go"}]}, "finishReason": "CONTINUATION"}
    world.upstream.add(Reply.json({"candidates": [part]}), times=2)
    answer = world.send("POST", CHAT, {"model": "gemini/gemini-2.5-flash", **ASK}).json
    assert answer["choices"][0]["finish_reason"] == "length"
    body = world.send("POST", RESPONSES, {"model": "gemini/gemini-2.5-flash", "input": "hi"}).json
    assert (body["status"], body["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})


def test_a_message_end_of_cohere_with_an_error_is_no_success(world: World) -> None:
    events = [
        {"type": "message-start", "id": "m", "delta": {"message": {"role": "assistant", "content": []}}},
        {
            "type": "content-start",
            "index": 0,
            "delta": {"message": {"content": {"type": "text", "text": ""}}},
        },
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "go"}}}},
        {"type": "content-end", "index": 0},
        {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "it broke"}},
    ]
    body = b"".join(b"event: " + e["type"].encode() + b"\n" + data_frame(e) for e in events)
    answer = chat(world, body, "cohere/command-a-03-2025")
    assert answer.text == "go"
    assert answer.stream_error


# --- the two names of the limit ------------------------------------------------------------------

LIMITS: list[tuple[str, Json, Json]] = [
    ("openai/gpt-4.1", {"max_tokens": 5}, {"max_tokens": 5}),
    ("openai/gpt-4.1", {"max_tokens": 5, "max_completion_tokens": 7}, {"max_completion_tokens": 7}),
    ("openai/gpt-5-mini", {"max_tokens": 5}, {"max_completion_tokens": 5}),
    ("openai/o3", {"max_tokens": 5, "max_completion_tokens": None}, {"max_completion_tokens": 5}),
    ("openai/o4-mini", {"max_tokens": 5, "max_completion_tokens": 7}, {"max_completion_tokens": 7}),
    ("azure/my-gpt-5.6-sol", {"max_tokens": 5}, {"max_completion_tokens": 5}),
    ("azure/gpt-35-turbo", {"max_tokens": 5}, {"max_tokens": 5}),
    ("openrouter/openai/gpt-4o", {"max_tokens": 5, "max_completion_tokens": 7}, {"max_completion_tokens": 7}),
    ("mine/x", {"max_tokens": 5, "max_completion_tokens": 7}, {"max_completion_tokens": 7}),
    ("groq/x", {"max_tokens": 5, "max_completion_tokens": 7}, {"max_completion_tokens": 7}),
    ("sgl/x", {"max_tokens": 5, "max_completion_tokens": 7}, {"max_tokens": 7}),
]


@pytest.mark.parametrize(("model", "given", "wanted"), LIMITS)
def test_one_limit_goes_out_by_the_name_that_the_model_takes(
    world: World, model: str, given: Json, wanted: Json
) -> None:
    world.upstream.add(Reply.json(chat_body()))
    assert world.send("POST", CHAT, {"model": model, **ASK, **given}).status == 200
    body = world.upstream.requests[-1].json()
    assert {name: body[name] for name in body if name.startswith("max_")} == wanted
