"""How streams are framed: chat, text completions, Responses, speech and transcription (docs/surfaces.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.behaviour.world import Answer, World, running_world
from tests.surfaces.test_mounts import FORM

FRAME_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
}
HARD = "say exactly: caf\u00e9 \u2028 \u2029 \u0085 \U0001f600 end"
SPEECH = {"model": "sandbox/tts", "voice": "alloy", "input": "one two three", "response_format": "wav"}


def lines(answer: Answer) -> list[str]:
    """Return the frames as text, without comments."""
    assert {name: answer.headers[name] for name in FRAME_HEADERS} == FRAME_HEADERS
    text = answer.body.decode("utf-8")
    assert not re.search("[\u2028\u2029\r]", text)  # some clients take them for ends of lines
    frames = text.split("\n\n")
    assert frames.pop() == ""
    return [frame for frame in frames if not frame.startswith(":")]


@pytest.fixture(scope="module")
def with_done() -> Iterator[World]:
    """A gateway that ends Responses streams with ``[DONE]``, too."""
    with running_world({"SLUICE_RESPONSES_DONE": "on"}) as world:
        yield world


@pytest.mark.parametrize(
    "path, body",
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": HARD}]}),
        ("/v1/completions", {"prompt": HARD}),
    ],
)
def test_chunks_are_bare_data_and_end_with_done(world: World, path: str, body: dict[str, object]) -> None:
    frames = lines(world.send("POST", path, {"model": "sandbox/x", "stream": True, **body}))
    assert frames[-1] == "data: [DONE]"
    assert all(re.fullmatch(r"data: \{.*\}", frame) for frame in frames[:-1])
    chunks = [json.loads(frame[6:]) for frame in frames[:-1]]
    assert all({"id", "object", "created", "model", "choices"} <= set(chunk) for chunk in chunks)
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    told = [
        choice.get("text") or choice.get("delta", {}).get("content") or ""
        for c in chunks
        for choice in c["choices"]
    ]
    assert "".join(told) == HARD.partition(": ")[2]


def test_events_are_named_and_end_without_done(world: World) -> None:
    frames = lines(world.ask("responses", model="sandbox/x", stream=True, input=HARD))
    for frame in frames:
        event, data = frame.split("\n")
        assert event == f"event: {json.loads(data[6:])['type']}"
    assert frames[-1].startswith("event: response.completed\n")


def test_a_setting_ends_events_with_done_too(with_done: World) -> None:
    frames = lines(with_done.ask("responses", model="sandbox/x", stream=True))
    assert frames[-1] == "data: [DONE]"
    assert frames[-2].startswith("event: response.completed\n")
    chat = lines(with_done.ask("chat", model="sandbox/x", stream=True))
    assert chat.count("data: [DONE]") == 1


@pytest.mark.parametrize("asked", [True, False, None])
def test_usage_rides_on_a_chunk_of_its_own_when_asked_for(world: World, asked: bool | None) -> None:
    options = {} if asked is None else {"stream_options": {"include_usage": asked}}
    events = world.ask("chat", model="sandbox/x", stream=True, **options).events[:-1]
    empty = [event for event in events if not event["choices"]]
    assert [bool(event.get("usage")) for event in empty] == ([True] if asked else [])
    assert not [event for event in events if event["choices"] and event.get("usage")]
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"


def test_speech_comes_as_bytes_or_as_events(world: World) -> None:
    whole = world.send("POST", "/v1/audio/speech", SPEECH)
    assert whole.headers["content-type"] == "audio/wav"
    assert whole.headers["transfer-encoding"] == "chunked"
    assert whole.body.startswith(b"RIFF")
    events = world.send("POST", "/v1/audio/speech", {**SPEECH, "stream_format": "sse"}).events
    kinds = [event["type"] for event in events if event != "[DONE]"]
    assert set(kinds[:-1]) == {"speech.audio.delta"}
    assert kinds[-1] == "speech.audio.done"


def test_transcription_streams_its_own_events(world: World) -> None:
    form = b'--b\r\ncontent-disposition: form-data; name="stream"\r\n\r\ntrue\r\n' + FORM
    headers = {"content-type": "multipart/form-data; boundary=b"}
    events = world.send("POST", "/v1/audio/transcriptions", form, headers).events
    kinds = [event["type"] for event in events if event != "[DONE]"]
    assert set(kinds[:-1]) == {"transcript.text.delta"}
    assert kinds[-1] == "transcript.text.done"


def test_an_error_before_the_first_byte_is_plain_json(world: World) -> None:
    for surface in ("chat", "responses"):
        failing = (
            {"messages": [{"role": "user", "content": "fail with 429"}]}
            if surface == "chat"
            else {"input": "fail with 429"}
        )
        answer = world.ask(surface, model="sandbox/x", stream=True, **failing)
        assert (answer.status, answer.headers["content-type"]) == (429, "application/json")
        assert answer.error["code"] == "rate_limit_exceeded"


def test_a_failure_midway_ends_each_stream_in_its_own_way(world: World) -> None:
    chat = world.ask(
        "chat", model="sandbox/x", stream=True, messages=[{"role": "user", "content": "fail midway"}]
    )
    assert chat.events[-1] != "[DONE]"
    assert {"message", "type", "param", "code"} <= set(chat.events[-1]["error"])
    events = world.ask("responses", model="sandbox/x", stream=True, input="fail midway").events
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    flat, nested = events[-2], events[-2]["error"]
    assert {name: flat[name] for name in ("code", "message", "param")} == {
        name: nested[name] for name in ("code", "message", "param")
    }
    assert events[-1]["response"]["status"] == "failed"
