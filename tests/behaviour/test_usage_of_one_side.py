"""A usage of which the provider counts one side only: the other is estimated and marked, at every wire that has two sides."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.wire.eventstream import encode_event
from tests.behaviour.surfaces import EVERY, events
from tests.behaviour.test_usage_of_passed_streams import HOMES, at
from tests.behaviour.world import (
    EVERY_WIRE,
    ROLE,
    World,
    chat_body,
    chat_end,
    chat_text,
    data_frame,
    event_frame,
    responses_body,
    responses_stream,
)
from tests.replay.asking import BOUNDARY, form
from tests.traffic.load import EVENT_STREAM
from tests.traffic.replay import Reply

TEXT = "four words are good"
COUNTED = 700
SIDES = ("input", "output")
BOTH = ("input_tokens", "output_tokens")
ONE = {"index": 0, "content": {"role": "model", "parts": [{"text": TEXT}]}, "finishReason": "STOP"}

SETTING = EVERY_WIRE


def chat(side: str, stream: bool) -> Reply:
    usage = {{"input": "prompt_tokens", "output": "completion_tokens"}[side]: COUNTED}
    if stream:
        return Reply.sse(ROLE + chat_text(TEXT) + chat_end(usage))
    return Reply.json(chat_body(TEXT, usage=usage))


def responses(side: str, stream: bool) -> Reply:
    usage = {f"{side}_tokens": COUNTED}
    if stream:
        return Reply.sse(responses_stream(TEXT, usage=usage))
    return Reply.json(responses_body(TEXT, usage=usage))


def messages(side: str, stream: bool) -> Reply:
    usage = {f"{side}_tokens": COUNTED}
    content: list[Any] = [{"type": "text", "text": TEXT}]
    message = {"id": "m", "type": "message", "role": "assistant", "model": "c"}
    if not stream:
        return Reply.json({**message, "content": content, "stop_reason": "end_turn", "usage": usage})
    before, after = ({"usage": usage}, {}) if side == "input" else ({}, {"usage": usage})
    frames: tuple[dict[str, Any], ...] = (
        {"type": "message_start", "message": {**message, "content": [], **before}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": TEXT}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, **after},
        {"type": "message_stop"},
    )
    return Reply.sse(b"".join(map(event_frame, frames)))


def gemini(side: str, stream: bool) -> Reply:
    usage = {{"input": "promptTokenCount", "output": "candidatesTokenCount"}[side]: COUNTED}
    body = {"candidates": [ONE], "usageMetadata": usage}
    return Reply.sse(data_frame(body)) if stream else Reply.json(body)


def converse(side: str, stream: bool) -> Reply:
    usage = {f"{side}Tokens": COUNTED}
    if not stream:
        output = {"message": {"role": "assistant", "content": [{"text": TEXT}]}}
        return Reply.json({"output": output, "stopReason": "end_turn", "usage": usage})
    parts: tuple[tuple[str, dict[str, Any]], ...] = (
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": TEXT}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {"usage": usage}),
    )
    body = b"".join(encode_event(name, json.dumps(data).encode()) for name, data in parts)
    return Reply(200, body, {"content-type": EVENT_STREAM})


def cohere(side: str, stream: bool) -> Reply:
    usage = {"tokens": {f"{side}_tokens": COUNTED}}
    if not stream:
        message = {"role": "assistant", "content": [{"type": "text", "text": TEXT}]}
        return Reply.json({"id": "m", "message": message, "finish_reason": "COMPLETE", "usage": usage})
    part = {"type": "text", "text": ""}
    frames: tuple[dict[str, Any], ...] = (
        {"type": "message-start", "id": "m", "delta": {"message": {"role": "assistant"}}},
        {"type": "content-start", "index": 0, "delta": {"message": {"content": part}}},
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": TEXT}}}},
        {"type": "content-end", "index": 0},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": usage}},
    )
    return Reply.sse(b"".join(map(data_frame, frames)))


WIRES = {
    "groq/x": chat,
    "responder/x": responses,
    "anthropic/claude-x": messages,
    "gemini/x": gemini,
    "bedrock/x": converse,
    "cohere/x": cohere,
}


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("model", WIRES)
def test_the_side_without_a_count_is_estimated_and_marked(
    model: str, side: str, stream: bool, world: World
) -> None:
    world.upstream.add(WIRES[model](side, stream))

    answer = world.ask("responses", model=model, stream=stream)

    usage = (answer.events[-1]["response"] if stream else answer.json)["usage"]
    other = SIDES[1 - SIDES.index(side)]
    assert (answer.text, usage[f"{side}_tokens"], usage["estimated"]) == (TEXT, COUNTED, True)
    assert 0 < usage[f"{other}_tokens"] < 100
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", HOMES)
def test_an_answer_that_passes_has_both_sides(name: str, side: str, stream: bool, world: World) -> None:
    _, model, way, names = HOMES[name]
    surface = next(surface for surface in EVERY if surface.name == name)
    world.upstream.add(WIRES[model](side, stream))

    answer = surface.ask(world, model, stream=stream)

    shown: dict[str, Any] = {}
    for body in events(answer) if stream else [answer.json]:
        for place in (("message", "usage"), way, way[-1:], ("usage",), ("usage", "tokens")):
            shown |= {count: n for count, n in (at(body, place) or {}).items() if isinstance(n, int)}
    counts = [n for count, n in shown.items() if count in (*names, *BOTH)]
    assert (max(counts), len(counts)) == (COUNTED, 2), shown
    assert min(counts) > 0


@pytest.mark.parametrize("counted", ["prompt_tokens", "completion_tokens"])
def test_a_total_tells_the_other_side(counted: str, world: World) -> None:
    world.upstream.add(Reply.json(chat_body(TEXT, usage={counted: 40, "total_tokens": 100})))

    usage = world.ask("chat").json["usage"]

    assert sorted((usage["prompt_tokens"], usage["completion_tokens"])) == [40, 60]
    assert usage[counted] == 40
    assert "estimated" not in usage


def test_a_total_alone_is_divided(world: World) -> None:
    world.upstream.add(Reply.json(chat_body(TEXT, usage={"total_tokens": 1000})))

    usage = world.ask("chat").json["usage"]

    assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"] == 1000
    assert 0 < usage["prompt_tokens"] < 100
    assert usage["estimated"] is True


def test_an_embedding_has_no_output_to_estimate(world: World) -> None:
    vector = {"object": "embedding", "index": 0, "embedding": [0.5]}
    for usage in ({"prompt_tokens": 9}, {"total_tokens": 9}):
        world.upstream.add(Reply.json({"object": "list", "data": [vector], "model": "x", "usage": usage}))

        answer = world.send("POST", "/v1/embeddings", {"model": "openai/x", "input": "a word"})

        assert answer.json["usage"]["prompt_tokens"] == answer.json["usage"]["total_tokens"] == 9
        assert "estimated" not in answer.json["usage"]


def test_a_prompt_without_an_answer_is_not_estimated(world: World) -> None:
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 9}}
    world.upstream.add(Reply.json(blocked))

    usage = world.ask("chat", model="gemini/x").json["usage"]

    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (9, 0)
    assert "estimated" not in usage


def test_a_cut_message_counts_what_was_sent(world: World) -> None:
    begun = {"id": "m", "type": "message", "role": "assistant", "model": "c", "content": []}
    frames: tuple[dict[str, Any], ...] = (
        {"type": "message_start", "message": {**begun, "usage": {"input_tokens": 9, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": TEXT * 10}},
        {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}},
    )
    world.upstream.add(Reply.sse(b"".join(map(event_frame, frames))))

    answer = world.ask("responses", model="anthropic/x", stream=True)

    usage = answer.events[-1]["response"]["usage"]
    assert usage["input_tokens"] == 9
    assert usage["output_tokens"] > 40


def test_an_echo_is_no_output(world: World) -> None:
    choice = {"index": 0, "text": "a long enough prompt", "finish_reason": "length"}
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    body = {"id": "c", "object": "text_completion", "model": "x", "choices": [choice], "usage": usage}
    world.upstream.add(Reply.json(body))

    prompt = {"prompt": "a long enough prompt", "echo": True, "max_tokens": 0}
    answer = world.send("POST", "/v1/completions", {"model": "openai/x", **prompt})

    assert answer.json["usage"]["completion_tokens"] == 0
    assert "estimated" not in answer.json["usage"]


@pytest.mark.parametrize("side", SIDES)
def test_pictures_have_both_sides(side: str, world: World) -> None:
    usage = {f"{side}_tokens": COUNTED}
    world.upstream.add(Reply.json({"created": 1, "data": [{"b64_json": "aGk="}], "usage": usage}))

    answer = world.send("POST", "/v1/images/generations", {"model": "openai/x", "prompt": "a grey cat"})

    found = answer.json["usage"]
    assert (found[f"{side}_tokens"], found["estimated"]) == (COUNTED, True)
    assert side == "input" or found["input_tokens"] > 0


LONG = "Sluice keeps water where it belongs. " * 40
AUDIO = {
    # the usage that the provider sends: the tokens of text beside those of audio, which are 700
    "the other side": ({"{other}_tokens": COUNTED}, (COUNTED, None)),
    "a total": ({"total_tokens": COUNTED + 370}, (COUNTED, 370)),
    "the sum of one side": ({"{other}_tokens": COUNTED, "total_tokens": COUNTED}, (COUNTED, None)),
}


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("name", AUDIO)
def test_the_text_of_a_transcript_is_estimated_where_it_is_not_counted(
    name: str, stream: bool, world: World
) -> None:
    sent, expected = AUDIO[name]
    usage = {member.format(other="input"): tokens for member, tokens in sent.items()}
    done = {"type": "transcript.text.done", "text": LONG, "usage": usage}
    world.upstream.add(Reply.sse(data_frame(done)) if stream else Reply.json({"text": LONG, "usage": usage}))
    fields = {"model": "openai/gpt-4o-transcribe", **({"stream": "true"} if stream else {})}
    headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    answer = world.send("POST", "/v1/audio/transcriptions", form(fields), headers)
    assert_text_is_estimated((answer.events[0] if stream else answer.json)["usage"], "input", expected)


@pytest.mark.parametrize("name", AUDIO)
def test_the_text_of_speech_is_estimated_where_it_is_not_counted(name: str, world: World) -> None:
    sent, expected = AUDIO[name]
    usage = {member.format(other="output"): tokens for member, tokens in sent.items()}
    frames = ({"type": "speech.audio.delta", "audio": "AAAA"}, {"type": "speech.audio.done", "usage": usage})
    world.upstream.add(Reply.sse(b"".join(map(data_frame, frames))))
    body = {"model": "openai/gpt-4o-mini-tts", "input": LONG, "voice": "alloy", "stream_format": "sse"}
    answer = world.send("POST", "/v1/audio/speech", body)
    assert_text_is_estimated(answer.events[1]["usage"], "output", expected)


def assert_text_is_estimated(usage: dict[str, Any], audio: str, expected: tuple[int, int | None]) -> None:
    text = usage[f"{SIDES[1 - SIDES.index(audio)]}_tokens"]
    assert (usage[f"{audio}_tokens"], text) == (expected[0], expected[1] or text)
    assert text == 370  # a token is four characters
    assert usage["total_tokens"] == COUNTED + 370
    assert usage["estimated"] is True
