"""Cancelled, left alone, still running: what becomes of a response that is not waited for."""

from __future__ import annotations

import http.client
import json
import threading
from typing import Any

import pytest
from sqlalchemy import select

from app.state.database import Database, parse_url
from app.state.tables import response
from tests.lifecycle.house import Client, House, events_of, eventually, text_of
from tests.traffic.frames import sse
from tests.traffic.grammar import check_responses_frames
from tests.traffic.load import exchange
from tests.traffic.replay import FRAME, Reply

SLOW = "take 20 seconds\nsay exactly: " + " ".join("abcdefghijklmnopqrst")
SURFACES = ("/v1", "/openai", "/openai/deployments/gpt", "/api/llm")


def begun(client: Client, **members: Any) -> tuple[http.client.HTTPConnection, str]:
    """Begin a streamed response; return its connection and id, after the first words."""
    body = {"model": "sandbox/echo", "input": SLOW, "stream": True, **members}
    connection = client.open("POST", "/v1/responses", body)
    words = first_words(connection.getresponse())
    return connection, words.decode().partition('"id":"')[2].partition('"')[0]


def first_words(answer: http.client.HTTPResponse) -> bytes:
    """Read a stream up to its first text."""
    seen = b""
    while b"output_text.delta" not in seen:
        piece = answer.read1(65536)
        assert piece, (answer.status, seen)
        seen += piece
    return seen


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("stream", [False, True])
def test_cancelling_ends_the_response_and_its_log(ann: Client, surface: str, stream: bool) -> None:
    if stream:
        connection, response_id = begun(ann, background=True)
        connection.close()
    else:
        response_id = ann.make(SLOW, background=True)["id"]
        eventually(lambda: ann.get(f"/v1/responses/{response_id}").json["status"] == "in_progress")
    answer = ann.send(
        "POST", f"{surface}/responses/{response_id}/cancel", b"", {"content-type": "application/json"}
    )
    assert (answer.status, answer.json["status"]) == (200, "cancelled")
    again = ann.post(f"{surface}/responses/{response_id}/cancel")
    assert (again.status, again.json) == (200, answer.json)
    body = ann.get(f"{surface}/responses/{response_id}").json
    assert (body["status"], body["error"], body["completed_at"]) == ("cancelled", None, None)
    log = ann.get(f"{surface}/responses/{response_id}?stream=true")
    assert check_responses_frames(sse(log.body), ours=True) == []
    last = events_of(log)[-1]
    assert (last["type"], last["response"]["status"]) == ("response.failed", "cancelled")
    assert not [event for event in events_of(log) if event["type"] == "error"]
    assert [event["type"] for event in events_of(log)][:3] == [
        "response.created",
        "response.queued",
        "response.in_progress",
    ]
    if stream:
        assert text_of(body).startswith("a")


def test_a_reader_sees_the_cancelling_as_the_end(ann: Client) -> None:
    connection = ann.open(
        "POST", "/v1/responses", {"model": "sandbox/echo", "input": SLOW, "stream": True, "background": True}
    )
    answer = connection.getresponse()
    seen = first_words(answer)
    response_id = seen.decode().partition('"id":"')[2].partition('"')[0]
    assert ann.post(f"/v1/responses/{response_id}/cancel").status == 200
    seen += answer.read()
    events = [json.loads(frame.data) for frame in sse(seen)]
    assert events == ann.log(response_id)
    assert (events[-1]["type"], events[-1]["response"]["status"]) == ("response.failed", "cancelled")


def test_cancelling_closes_the_upstream(house: House, ann: Client) -> None:
    recording = exchange("openai-responses_stream-text")
    house.upstream.add(Reply.of(recording, chunk=FRAME, hang=2000), path="*/responses")
    made = ann.make("x", model="openai/gpt-4.1", background=True)
    (request,) = house.upstream.wait_for(1)
    assert ann.post(f"/v1/responses/{made['id']}/cancel").status == 200
    assert request.closed.wait(3)


def test_cancelling_what_nobody_runs_yet(ann: Client) -> None:
    made = [ann.make(SLOW, background=True) for _ in range(3)]
    for one in made:
        assert ann.post(f"/v1/responses/{one['id']}/cancel").json["status"] == "cancelled"
    assert {ann.ended(one["id"])["status"] for one in made} == {"cancelled"}


@pytest.mark.parametrize("model", ["sandbox/echo", "sandbox/responses-echo", "sandbox/messages-echo"])
def test_a_stream_that_its_client_left_is_kept_as_cancelled(ann: Client, model: str) -> None:
    connection, response_id = begun(ann, model=model)
    connection.close()
    shown = eventually(lambda: _got(ann, response_id), 3.0)
    assert (shown["status"], shown["error"], shown["completed_at"]) == ("cancelled", None, None)
    assert text_of(shown).startswith("a")
    assert len(text_of(shown)) < 39


def _got(client: Client, response_id: str) -> dict[str, Any] | None:
    answer = client.get(f"/v1/responses/{response_id}")
    return answer.json if answer.status == 200 else None


def test_a_recorded_stream_that_its_client_left_is_kept_with_its_text(house: House, ann: Client) -> None:
    body = exchange("openai-responses_stream-text").content()
    at = body.index(b"response.output_text.delta", body.index(b"response.output_text.delta") + 200)
    house.upstream.add(Reply.sse(body[:at], hang=at), path="*/responses")
    connection, response_id = begun(ann, model="openai/gpt-4.1", input="x")
    connection.close()
    shown = eventually(lambda: _got(ann, response_id), 3.0)
    assert shown["status"] == "cancelled"
    assert text_of(shown)
    assert house.upstream.requests[0].closed.wait(3)


def test_a_whole_answer_that_its_client_left_is_kept_as_cancelled(house: House, ann: Client) -> None:
    house.upstream.add(Reply.json({}, wait=30), path="*/responses")
    body = {"model": "openai/gpt-4.1", "input": "x", "metadata": {"mark": "left-alone"}}
    connection = ann.open("POST", "/v1/responses", body)
    (request,) = house.upstream.wait_for(1)
    connection.close()
    assert request.closed.wait(3)
    assert eventually(lambda: _statuses(house, "left-alone"), 3) == ["cancelled"]


def _statuses(house: House, mark: str) -> list[str]:
    """The statuses of the ended responses whose metadata hold ``mark``, read from the tables."""
    db = Database(parse_url(house.database_url))
    try:
        found = db.read(
            lambda connection: connection.execute(select(response.c.status, response.c.object)).all()
        )
    finally:
        db.close()
    return [row.status for row in found if mark.encode() in row.object and row.status != "in_progress"]


@pytest.mark.parametrize("stream", [False, True])
def test_background_goes_on_when_its_client_leaves(ann: Client, stream: bool) -> None:
    members = {"background": True, "input": "take 1 seconds\nsay exactly: a b c d"}
    if stream:
        connection, response_id = begun(ann, **members)
        connection.close()
    else:
        response_id = ann.make(**members)["id"]
    ended = ann.ended(response_id)
    assert (ended["status"], text_of(ended)) == ("completed", "a b c d")
    assert [e["type"] for e in ann.log(response_id)][-1] == "response.completed"


def test_a_running_synchronous_response_is_not_there_yet(ann: Client) -> None:
    connection, response_id = begun(ann, input="take 2 seconds\nsay exactly: a b c d e f g h")
    for method, tail in [("GET", ""), ("GET", "/input_items"), ("DELETE", "")]:
        assert ann.send(method, f"/v1/responses/{response_id}{tail}").status == 404
    assert (
        ann.post(f"/v1/responses/{response_id}/cancel").error["message"]
        == "Cannot cancel a synchronous response."
    )
    assert ann.create(previous_response_id=response_id).error["code"] == "previous_response_not_found"
    connection.close()
    assert eventually(lambda: _got(ann, response_id))["status"] == "cancelled"


def test_get_on_a_log_that_opens_late_waits_for_it(ann: Client) -> None:
    made = ann.make("take 1 seconds\nsay exactly: a b c d", background=True)
    log = ann.log(made["id"])
    assert log[-1]["type"] == "response.completed"
    assert [event["sequence_number"] for event in log] == list(range(len(log)))


def test_many_readers_see_one_log(ann: Client, ann_too: Client) -> None:
    connection, response_id = begun(
        ann, background=True, input="take 2 seconds\nsay exactly: a b c d e f g h"
    )
    logs: list[list[dict[str, Any]]] = []
    readers = [
        threading.Thread(
            target=lambda surface=surface: logs.append(ann_too.log(response_id, surface=surface))
        )
        for surface in SURFACES
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    connection.close()
    assert all(log == logs[0] for log in logs)
    assert len(logs) == len(SURFACES)
    assert text_of(logs[0][-1]["response"]) == "a b c d e f g h"
