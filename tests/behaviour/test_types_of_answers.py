"""Media types that providers write oddly or leave out: the body says what it is."""

from __future__ import annotations

import base64

import pytest

from tests.behaviour.surfaces import EVERY, Surface
from tests.behaviour.test_usage_of_one_side import TEXT, converse
from tests.behaviour.world import EVERY_WIRE, Answer, World, chat_body
from tests.replay.asking import BOUNDARY, form
from tests.traffic.replay import Reply

SOUND = b"ID3\x04" + b"\xff\xfb\x90" * 40
TYPES = ("AUDIO/MPEG", "application/octet-stream", "")
JSON_TYPES = ("Application/JSON; Charset=UTF-8", "text/plain", "")

SETTING = EVERY_WIRE


def typed(content_type: str) -> dict[str, str]:
    return {"content-type": content_type} if content_type else {}


@pytest.mark.parametrize("content_type", TYPES)
def test_a_bare_file_of_audio_becomes_events(content_type: str, world: World) -> None:
    world.upstream.add(Reply(200, SOUND, typed(content_type)))

    body = {"model": "openai/x", "input": "hi", "voice": "alloy", "stream_format": "sse"}
    answer = world.send("POST", "/v1/audio/speech", body)

    assert answer.status == 200, answer.body
    kinds = [event["type"] for event in answer.events]
    assert kinds[-1] == "speech.audio.done"
    audio = b"".join(base64.b64decode(event["audio"]) for event in answer.events[:-1])
    assert audio == SOUND


@pytest.mark.parametrize("content_type", JSON_TYPES)
def test_a_whole_answer_to_a_stream_is_read(content_type: str, world: World) -> None:
    reply = Reply.json(chat_body("good"))
    world.upstream.add(Reply(200, reply.body, typed(content_type)))

    answer = world.ask("chat", stream=True)

    assert (answer.status, answer.text) == (200, "good")


@pytest.mark.parametrize("surface", EVERY, ids=lambda surface: surface.name)
@pytest.mark.parametrize("content_type", JSON_TYPES)
@pytest.mark.parametrize("stream", [False, True], ids=["json", "messages"])
def test_bedrocks_answer_to_a_stream_is_read(
    stream: bool, content_type: str, surface: Surface, world: World
) -> None:
    world.upstream.add(Reply(200, converse("input", stream).body, typed(content_type)))

    answer = surface.ask(world, "bedrock/x", stream=True)

    assert (answer.status, surface.text_of(answer)) == (200, TEXT)


def test_a_transcript_may_begin_with_a_byte_order_mark(world: World) -> None:
    reply = Reply(200, b'\xef\xbb\xbf{"text": "good"}', typed("application/json"))

    assert transcribed(world, reply).json["text"] == "good"


def transcribed(world: World, reply: Reply) -> Answer:
    world.upstream.add(reply)
    headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    return world.send("POST", "/v1/audio/transcriptions", form({"model": "openai/x"}), headers)


@pytest.mark.parametrize("body", ["", "null", "[]", '[{"text": "good"}]', "5", "true"])
def test_json_without_a_transcript_is_none(body: str, world: World) -> None:
    answer = transcribed(world, Reply(200, body.encode(), typed("Application/JSON")))

    assert (answer.status, answer.json["error"]["code"]) == (502, "upstream_invalid_response")


@pytest.mark.parametrize("content_type", ["text/html", "text/plain", "application/json", ""])
def test_a_web_page_is_no_transcript(content_type: str, world: World) -> None:
    answer = transcribed(world, Reply(200, b"\n<!DOCTYPE HTML><p>Sign in</p>", typed(content_type)))

    assert (answer.status, answer.json["error"]["code"]) == (502, "upstream_invalid_response")
    assert "HTML page" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("body", "content_type"), [("good", "text/html"), ('"good"', "application/json"), ("good", "")]
)
def test_a_transcript_may_be_a_text(body: str, content_type: str, world: World) -> None:
    assert transcribed(world, Reply(200, body.encode(), typed(content_type))).json["text"] == "good"
