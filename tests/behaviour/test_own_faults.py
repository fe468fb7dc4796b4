"""Faults of our own: an error with an id for the client, the details for the log (reliability.md 4.9).

Also what cannot be said in words: sound that breaks off.
"""

from __future__ import annotations

import http.client
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.behaviour.world import SURFACES, World, good, running_world
from tests.traffic.replay import Reply

SECRET = "groq-key-cnry-3141"  # what ``faulty`` puts into its exceptions


@pytest.fixture(scope="module")
def _world() -> Iterator[World]:
    with running_world(
        {"GROQ_API_KEY": SECRET, "SLUICE_TIMEOUT_IDLE": "0.5"}, arguments=("tests.behaviour.faulty:app",)
    ) as world:
        yield world


@pytest.fixture
def world(_world: World) -> World:
    return _world.fresh()


def faults(world: World) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in world.gateway.log.split("\n") if line.startswith("{")]
    return [line for line in lines if line["event"] == "fault"]


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize("surface", SURFACES)
def test_an_early_fault_is_a_500_whose_cause_is_in_the_log_alone(
    surface: str, stream: bool, world: World
) -> None:
    answer = world.ask(
        surface, model="groq/early", stream=stream, headers={"x-request-id": f"early-{surface}-{stream}"}
    )

    assert (answer.status, answer.error) == (
        500,
        {
            "message": "The gateway met an internal error.",
            "type": "server_error",
            "param": None,
            "code": "internal_error",
        },
    )
    assert answer.headers["x-request-id"] == f"early-{surface}-{stream}"
    logged = [line for line in faults(world) if line["request_id"] == f"early-{surface}-{stream}"]
    assert len(logged) == 1
    assert "ZeroDivisionError" in logged[0]["trace"]
    assert SECRET not in world.gateway.log


@pytest.mark.parametrize("surface", SURFACES)
def test_a_late_fault_ends_the_stream_in_one_error(surface: str, world: World) -> None:
    world.upstream.add(replace(good(surface, "groq/late", stream=True), delay=0.05))

    answer = world.ask(surface, model="groq/late", stream=True)

    assert (answer.status, answer.text, answer.broken(surface)) == (200, "good", [])
    assert answer.stream_error is not None
    assert answer.stream_error["code"] == "internal_error"
    assert "must not be seen" not in answer.body.decode()


@pytest.mark.parametrize("model", ["groq/unstored", "openai/unstored"])
@pytest.mark.parametrize("delay", [0, 0.05], ids=["one read", "frames"])
def test_an_answer_that_cannot_be_stored_does_not_end_as_a_success(
    delay: float, model: str, world: World
) -> None:
    world.upstream.add(replace(good("responses", model, stream=True), delay=delay))

    answer = world.ask("responses", model=model, stream=True)

    assert (answer.status, answer.text, answer.broken("responses")) == (200, "good", [])
    assert [event["type"] for event in answer.events[-2:]] == ["error", "response.failed"]
    assert answer.events[-1]["response"]["error"]["code"] == "store_unavailable"


def test_a_late_fault_of_a_json_call_is_a_500(world: World) -> None:
    world.upstream.add(good("chat", "groq/late", stream=False))

    assert world.ask(model="groq/late").status == 500


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
def test_a_response_that_met_a_fault_is_not_left_in_progress(stream: bool, world: World) -> None:
    answer = world.ask("responses", model="groq/early", stream=stream)

    assert answer.status == 500
    listed = World(world.gateway, world.upstream).ask("responses", model="groq/x")
    assert listed.status in (200, 501, 502)
    with sqlite3.connect(world.gateway.folder / "sluice.db") as store:
        statuses = {row[0] for row in store.execute("SELECT status FROM response")}
    assert "in_progress" not in statuses


@pytest.mark.parametrize("cut", ["cut", "reset", "hang"])
def test_sound_that_breaks_off_breaks_off_for_the_client_too(cut: str, world: World) -> None:
    knobs: dict[str, Any] = {"hang": 4000} if cut == "hang" else {"cut": 4000, "reset": cut == "reset"}
    sound = Reply(
        200, b"s" * 8000, {"content-type": "audio/mpeg"}, framing="chunked", chunk=1000, delay=0.02, **knobs
    )
    world.upstream.add(sound)

    with pytest.raises(http.client.IncompleteRead) as broken:
        world.send("POST", "/v1/audio/speech", {"model": "openai/tts-1", "input": "hi", "voice": "alloy"})

    assert broken.value.partial == b"s" * len(broken.value.partial)
    assert len(broken.value.partial) > 0
    assert "Traceback" not in world.gateway.log.replace('"trace":"Traceback', "")


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (Reply.json({"error": {"message": "no", "type": "x"}}, 401), 502, "upstream_auth"),
        (Reply.json({"error": {"message": "no"}}, 400), 400, None),
        (Reply(200, b"", {"content-type": "audio/mpeg"}), 502, "upstream_invalid_response"),
        (Reply(200, b"<html>", {"content-type": "text/html"}), 502, "upstream_invalid_response"),
        (Reply.json({"error": {"message": "no", "code": 503}}), 503, "upstream_overloaded"),
    ],
    ids=["401", "400", "empty", "html", "error in a 200"],
)
def test_sound_that_does_not_begin_has_its_real_status(
    reply: Reply, status: int, code: str | None, world: World
) -> None:
    world.upstream.add(reply, times=9)

    answer = world.send(
        "POST", "/v1/audio/speech", {"model": "openai/tts-1", "input": "hi", "voice": "alloy"}
    )

    assert (answer.status, answer.error["code"]) == (status, code)


def test_no_line_of_the_log_is_a_bare_trace(world: World) -> None:
    for line in world.gateway.log.split("\n"):
        assert not line.startswith(("Traceback", "  File "))
