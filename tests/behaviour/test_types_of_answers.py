"""Media types that providers write oddly or leave out: the body says what it is."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from tests.behaviour.world import World, chat_body, running_world
from tests.replay.asking import BOUNDARY, form
from tests.traffic.replay import Reply

SOUND = b"ID3\x04" + b"\xff\xfb\x90" * 40
TYPES = ("AUDIO/MPEG", "application/octet-stream", "")
JSON_TYPES = ("Application/JSON; Charset=UTF-8", "text/plain", "")


@pytest.fixture(scope="module")
def _world() -> Iterator[World]:
    with running_world({"SLUICE_MAX_RETRIES": "0"}) as world:
        yield world


@pytest.fixture
def world(_world: World) -> World:
    return _world.fresh()


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


def test_a_transcript_may_begin_with_a_byte_order_mark(world: World) -> None:
    world.upstream.add(Reply(200, b'\xef\xbb\xbf{"text": "good"}', typed("application/json")))

    headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    answer = world.send("POST", "/v1/audio/transcriptions", form({"model": "openai/x"}), headers)

    assert answer.json["text"] == "good"
