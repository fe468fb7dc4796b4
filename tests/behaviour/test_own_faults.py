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

from tests.behaviour.world import OPERATIONS, World, good, running_world
from tests.traffic.replay import Reply

SECRET = "groq-key-cnry-3141"  # what ``faulty`` puts into its exceptions


@pytest.fixture(scope="module")
def _world() -> Iterator[World]:
    with running_world(
        {"GROQ_API_KEY": SECRET, "SLUICE_TIMEOUT_IDLE": "0.5", "SLUICE_METRICS": "on"},
        arguments=("tests.behaviour.faulty:app",),
    ) as world:
        yield world


@pytest.fixture
def world(_world: World) -> World:
    return _world.fresh()


def faults(world: World) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in world.gateway.log.split("\n") if line.startswith("{")]
    return [line for line in lines if line["event"] == "fault"]


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_early_fault_is_a_500_whose_cause_is_in_the_log_alone(
    operation: str, stream: bool, world: World
) -> None:
    answer = world.ask(
        operation, model="groq/early", stream=stream, headers={"x-request-id": f"early-{operation}-{stream}"}
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
    assert answer.headers["x-request-id"] == f"early-{operation}-{stream}"
    logged = [line for line in faults(world) if line["request_id"] == f"early-{operation}-{stream}"]
    assert len(logged) == 1
    assert "ZeroDivisionError" in logged[0]["trace"]
    assert SECRET not in world.gateway.log


@pytest.mark.parametrize("model", ["groq/late", "groq/unwritable"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_late_fault_ends_the_stream_in_one_error(operation: str, model: str, world: World) -> None:
    world.upstream.add(replace(good(operation, model, stream=True), delay=0.05))

    answer = world.ask(operation, model=model, stream=True)

    assert (answer.status, answer.text, answer.broken(operation)) == (200, "good", [])
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


@pytest.mark.parametrize("model", ["groq/unstored", "openai/unstored"])
def test_a_json_answer_that_cannot_be_stored_is_503_in_log_and_metrics_too(model: str, world: World) -> None:
    world.upstream.add(good("responses", model, stream=False))
    before, request_id = counted(world, "503", model), f"unstored-{model.partition('/')[0]}"

    answer = world.ask("responses", model=model, headers={"x-request-id": request_id})

    assert (answer.status, answer.error["code"]) == (503, "store_unavailable")
    assert [line["status"] for line in ends(world, request_id)] == [503]
    assert counted(world, "503", model) == before + 1


REFUSED: dict[str, tuple[str, dict[str, Any], int]] = {
    "no prompt": ("/v1/responses", {"model": "groq/x"}, 400),
    "no model": ("/v1/responses", {"model": "no-such-model", "input": "x"}, 400),
    "an unknown previous response": (
        "/v1/responses",
        {"model": "groq/x", "input": "x", "previous_response_id": "resp_" + "0" * 48},
        400,
    ),
    "a count without a model": ("/v1/responses/input_tokens", {"input": "x"}, 200),
    "a background response": (
        "/v1/responses",
        {"model": "sandbox/echo", "input": "x", "background": True},
        200,
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_each_call_that_began_has_one_line_with_the_status_that_its_client_got(
    case: str, world: World
) -> None:
    path, body, status = REFUSED[case]
    request_id = f"end-of-{case.replace(' ', '-')}"

    answer = world.send("POST", path, body, {"x-request-id": request_id})

    assert answer.status == status
    assert [line["status"] for line in ends(world, request_id)] == [status]


def test_a_compaction_without_a_summary_is_no_success_in_the_log(world: World) -> None:
    world.upstream.add(good("responses", "groq/x", stream=False, text=" "))

    answer = world.send(
        "POST", "/v1/responses/compact", {"model": "groq/x", "input": "x"}, {"x-request-id": "no-summary"}
    )

    assert answer.status == 502
    assert [line["status"] for line in ends(world, "no-summary")] == [502]


def ends(world: World, request_id: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in world.gateway.log.split("\n") if line.startswith("{")]
    return [line for line in lines if line["event"] == "call" and line["request_id"] == request_id]


def counted(world: World, status: str, model: str) -> float:
    page = world.send("GET", "/metrics").body.decode()
    provider = model.partition("/")[0]
    expected = {'operation="responses"', f'provider="{provider}"', f'status="{status}"'}
    rows = (line for line in page.splitlines() if line.startswith("sluice_requests_total{"))
    return sum(float(row.rpartition(" ")[2]) for row in rows if all(label in row for label in expected))


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
        statuses = {row[0] for row in store.execute("SELECT status FROM response WHERE NOT background")}
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
