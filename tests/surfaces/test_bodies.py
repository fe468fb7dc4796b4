"""What was asked and answered in the call log, where the operator wants it: whole, streamed, failed, cut; sealed."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from app.dialects.base import Frame
from app.gateway.stream_capture import MOST, StreamCapture
from tests.behaviour.world import Answer, World, chat_body, running_world
from tests.traffic.replay import Reply

MASTER = "master-0123456789"
CANARY = "canary-of-this-test"
ENV = {"SLUICE_MASTER_KEY": MASTER, "SLUICE_SECRET_KEY": "s", "SLUICE_MAX_RETRIES": "0"}


@pytest.fixture(scope="module")
def running() -> Iterator[World]:
    with running_world({**ENV, "SLUICE_LOG_BODIES": "on"}, key=MASTER) as world:
        yield world


def row_of(world: World, answer: Answer) -> dict[str, Any]:
    """Return the row of an answered call, as one call is shown."""
    limit = time.monotonic() + 30
    while True:
        path = f"/admin/calls?request_id={answer.headers['x-request-id']}"
        data = world.send("GET", path).json["data"]
        if data:
            assert "bodies" not in data[0]
            row: dict[str, Any] = world.send("GET", f"/admin/calls/{data[0]['id']}").json
            return row
        assert time.monotonic() < limit


def prompt(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_a_whole_call_is_shown_with_what_was_asked_and_answered(running: World) -> None:
    answer = running.ask(model="sandbox/echo", messages=prompt(f"say {CANARY}"))
    bodies = row_of(running, answer)["bodies"]
    assert json.loads(bodies["request"]["text"])["messages"] == prompt(f"say {CANARY}")
    value = json.loads(bodies["answer"]["text"])
    assert value["choices"][0]["message"]["content"] == answer.text
    assert [bodies["request"]["cut"], bodies["answer"]["cut"]] == [False, False]


@pytest.mark.parametrize("surface", ["chat", "responses"])
def test_a_stream_is_shown_as_its_events(running: World, surface: str) -> None:
    answer = running.ask(surface, model="sandbox/echo", stream=True)
    text = row_of(running, answer)["bodies"]["answer"]["text"]
    shown = Answer(200, answer.headers, text.encode())
    assert shown.text == answer.text
    assert len(shown.events) == len(answer.events)


def test_a_failed_call_is_shown_with_its_error(running: World) -> None:
    running.fresh().upstream.add(Reply.json({"error": {"message": "out of order"}}, 500))
    answer = running.ask()
    assert answer.status >= 500
    bodies = row_of(running, answer)["bodies"]
    assert json.loads(bodies["answer"]["text"])["error"]["message"] == answer.error["message"]


def test_long_bodies_are_cut_and_sound_is_counted(running: World) -> None:
    running.fresh().upstream.add(Reply.json(chat_body("ä" * MOST)))
    answer = running.ask(messages=prompt("ö" * MOST))
    bodies = row_of(running, answer)["bodies"]
    for side in (bodies["request"], bodies["answer"]):
        assert side["cut"] is True
        assert MOST - 2 <= len(side["text"].encode()) <= MOST
    sound = running.send(
        "POST", "/v1/audio/speech", {"model": "sandbox/speech", "input": "hi", "voice": "alloy"}
    )
    assert sound.status == 200, sound.body
    told = row_of(running, sound)["bodies"]["answer"]
    assert (told["bytes"], told["media_type"]) == (len(sound.body), sound.headers["content-type"])


def test_a_background_response_is_shown(running: World) -> None:
    answer = running.send(
        "POST", "/v1/responses", {"model": "sandbox/echo", "input": f"say {CANARY}", "background": True}
    )
    limit = time.monotonic() + 30
    while True:
        path = f"/admin/calls?response_id={answer.json['id']}"
        rows = [row for row in running.send("GET", path).json["data"] if row["door"] is None]
        if rows:
            break
        assert time.monotonic() < limit
    bodies = running.send("GET", f"/admin/calls/{rows[0]['id']}").json["bodies"]
    assert CANARY in bodies["request"]["text"]
    assert "response.completed" in bodies["answer"]["text"]


def test_bodies_lie_sealed_in_the_database(running: World) -> None:
    answer = running.ask(model="sandbox/echo", messages=prompt(CANARY))
    assert CANARY in row_of(running, answer)["bodies"]["request"]["text"]
    with closing(sqlite3.connect(running.gateway.folder / "sluice.db")) as database:
        kept = database.execute("SELECT sealed FROM call_body").fetchall()
    assert kept
    assert not any(CANARY in sealed for (sealed,) in kept)


def test_nothing_is_kept_by_default() -> None:
    with running_world(ENV, key=MASTER) as world:
        answer = world.ask(model="sandbox/echo", stream=True)
        assert "bodies" not in row_of(world, answer)
        with closing(sqlite3.connect(world.gateway.folder / "sluice.db")) as database:
            assert database.execute("SELECT count(*) FROM call_body").fetchone() == (0,)


def test_a_tape_that_is_full_writes_no_more() -> None:
    capture = StreamCapture()
    for _ in range(100):
        capture.add([Frame(None, {"text": "x" * 10_000})])
    assert MOST < len(capture.data) < MOST + 11_000
