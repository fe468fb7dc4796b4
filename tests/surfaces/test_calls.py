"""The call log by the admin API: a row for each call, its sums, its exports, and nothing lost at the end."""

from __future__ import annotations

import csv
import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.world import ROLE, Answer, World, chat_chunk, chat_end, running_world
from tests.lifecycle.house import eventually
from tests.traffic.replay import Reply

MASTER = "master-0123456789"
ENV = {"SLUICE_MASTER_KEY": MASTER, "SLUICE_KEYS": "ann:sk-ann:red,bob:sk-bob:blue", "SLUICE_SECRET_KEY": "s"}


SETTING = {"env": {**ENV, "WEB_CONCURRENCY": "2"}, "key": MASTER}


def admin(world: World, path: str) -> Answer:
    return world.send("GET", f"/admin{path}")


def rows(world: World, query: str, count: int) -> list[dict[str, Any]]:
    """Return the rows of a list once there are so many."""
    limit = time.monotonic() + 30
    while True:
        found: list[dict[str, Any]] = admin(world, f"/calls?{query}").json["data"]
        if len(found) >= count:
            return found
        assert time.monotonic() < limit, found


def call(world: World, key: str, **members: Any) -> Answer:
    return world.ask(headers={"authorization": f"Bearer {key}"}, **{"model": "sandbox/echo", **members})


def test_a_call_has_a_row_that_lists_and_exports_agree_on(running: World) -> None:
    headers = {"authorization": "Bearer sk-ann", "x-tfy-metadata": '{"app": "one"}'}
    answer = running.ask(model="sandbox/echo", headers=headers, user="u-1", metadata={"team": "x"})
    (row,) = rows(running, "tenant=red&request_id=" + answer.headers["x-request-id"], 1)
    assert row["id"].startswith("call_")
    assert {
        name: row[name] for name in row if name not in ("id", "created_at", "latency", "user", "attempts")
    } == {
        "object": "call",
        "request_id": answer.headers["x-request-id"],
        "tenant": "red",
        "key": "ann",
        "key_id": None,
        "door": "unified",
        "request_type": "chat_completion",
        "model_requested": "sandbox/echo",
        "model": "echo",
        "provider": "sandbox",
        "provider_key": None,
        "status": 200,
        "error_code": None,
        "finish_reason": "stop",
        "usage": {"input_tokens": 1, "output_tokens": 3, "cached_tokens": 0, "reasoning_tokens": 0},
        "cost": None,
        "cost_details": None,
        "first_content": None,
        "queued": None,
        "cache": "off",
        "warnings": 0,
        "metadata": {"team": "x", "app": "one"},
        "response_id": row["response_id"],
    }
    assert len(row["attempts"]) == 1
    assert "u-1" not in json.dumps(row)
    assert admin(running, f"/calls/{row['id']}").json == row
    lines = admin(running, "/calls.jsonl?tenant=red&request_id=" + row["request_id"]).body.splitlines()
    assert [json.loads(line) for line in lines] == [row, {"object": "end", "rows": 1}]
    table = admin(running, "/calls.csv?tenant=red&request_id=" + row["request_id"]).body.decode().splitlines()
    assert (table[0].split(",")[:3], table[1][: len(row["id"])], table[2:]) == (
        ["id", "created_at", "request_id"],
        row["id"],
        ["# rows,1"],
    )


def test_the_row_of_a_stream_says_what_its_answer_lost(running: World) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    running.upstream.add(Reply.sse(ROLE + chat_chunk({"images": [picture]}) + chat_end()))
    body = {
        "model": "groq/x",
        "max_tokens": 9,
        "stream": True,
        "messages": [{"role": "user", "content": "hi"}],
    }
    headers = {"authorization": "Bearer sk-ann"}
    answer = running.send("POST", "/anthropic/v1/messages", body, headers)
    assert answer.status == 200, answer.body
    (row,) = rows(running, "request_id=" + answer.headers["x-request-id"], 1)
    words = "The provider sent a picture, for which this API has no place; this was left out."
    assert (row["warnings"], row["warned"]) == (1, [{"param": None, "message": words}])


def test_a_call_that_was_warned_of_keeps_the_words_of_its_warnings_up_to_a_bound(running: World) -> None:
    names = [f"odd_{number}_{'x' * 400 if number == 0 else ''}" for number in range(30)]
    answer = running.ask(
        "responses",
        model="sandbox/echo",
        headers={"authorization": "Bearer sk-ann"},
        **dict.fromkeys(names, 1),
    )
    told = answer.json["extra_fields"]["warnings"]
    (row,) = rows(running, "request_id=" + answer.headers["x-request-id"], 1)
    assert row["warnings"] == len(told) == len(names)
    assert len(row["warned"]) == 20
    assert [one["param"] for one in row["warned"]] == [one["param"] for one in told[:20]]
    assert [one["message"] for one in row["warned"]][1:] == [one["message"] for one in told[1:20]]
    assert all(len(one["param"]) <= 200 and len(one["message"]) <= 300 for one in row["warned"])
    assert admin(running, f"/calls/{row['id']}").json == row
    exported = admin(running, "/calls.csv?request_id=" + row["request_id"]).body.decode().splitlines()
    (line,) = csv.DictReader(exported[:2])
    assert json.loads(line["warned"]) == row["warned"]


def test_usage_sums_what_the_rows_say(running: World) -> None:
    for number in range(5):
        assert call(running, "sk-bob", metadata={"part": str(number % 2)}).status == 200
    refused = call(running, "sk-bob", model="nobody/x")
    assert refused.status == 400
    listed = rows(running, "tenant=blue", 6)
    assert {row["status"] for row in listed} == {200, 400}
    assert [row["error_code"] for row in listed if row["status"] == 400] == [refused.error["code"]]
    whole = {row["tenant"]: row for row in admin(running, "/usage?group_by=tenant").json["data"]}["blue"]
    latency = whole.pop("latency")
    assert whole.pop("first_content") == {"p50": None, "p95": None, "p99": None}  # none was a stream
    assert whole == {
        "tenant": "blue",
        "calls": 6,
        "errors": 1,
        "input_tokens": sum((row["usage"] or {}).get("input_tokens", 0) for row in listed),
        "output_tokens": sum((row["usage"] or {}).get("output_tokens", 0) for row in listed),
        "cost": 0.0,
        "unpriced": 5,
        "cache_hits": 0,
    }
    longest = max(row["latency"] for row in listed)
    assert abs(latency["p99"] - longest) <= max(1, longest * 0.05)
    parts = admin(running, "/usage?group_by=tenant,metadata.part,error_code,day").json["data"]
    assert {(row["metadata.part"], row["calls"]) for row in parts if row["tenant"] == "blue"} == {
        ("0", 3),
        ("1", 2),
        (None, 1),
    }
    assert admin(running, "/usage?from=2000-01-01T00:00:00Z&to=2001-01-01T00:00:00Z").json["data"] == []


def test_usage_tells_the_time_to_first_content_and_is_narrowed_by_a_name(running: World) -> None:
    headers = {"authorization": "Bearer sk-bob"}
    answer = running.ask("responses", model="sandbox/echo", stream=True, headers=headers)
    (row,) = rows(running, "tenant=blue&request_type=responses_stream", 1)
    assert row["request_id"] == answer.headers["x-request-id"]
    (sums,) = admin(running, "/usage?tenant=blue&request_type=responses_stream").json["data"]
    assert sums["calls"] == 1
    for share in ("p50", "p95", "p99"):
        assert abs(sums["first_content"][share] - row["first_content"]) <= max(1, row["first_content"] * 0.05)
    everyone = admin(running, "/usage?group_by=tenant").json["data"]
    (blue,) = admin(running, "/usage?group_by=tenant&tenant=blue").json["data"]
    assert blue in everyone
    assert admin(running, "/usage?tenant=nobody").json["data"] == []


@pytest.mark.parametrize(
    ("path", "param"),
    [("/calls?status=x", "status"), ("/calls?from=now", "from"), ("/usage?group_by=colour", "group_by")],
)
def test_a_bad_query_is_named(running: World, path: str, param: str) -> None:
    answer = admin(running, path)
    assert (answer.status, answer.error["param"]) == (400, param)


def test_lists_go_on_after_a_row(running: World) -> None:
    call(running, "sk-ann", model="sandbox/lists")
    call(running, "sk-ann", model="sandbox/lists")
    everything = [row["id"] for row in rows(running, "model=lists&limit=100", 2)]
    first = admin(running, "/calls?model=lists&limit=1").json
    second = admin(running, f"/calls?model=lists&limit=1&after={first['last_id']}").json
    assert [first["last_id"], second["last_id"]] == everything


@pytest.mark.parametrize(("what", "kept"), [("on", [200, 400]), ("errors", [400]), ("off", [])])
def test_a_leaving_server_writes_what_waits_as_far_as_it_is_asked_to(
    what: str, kept: list[int], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/kept.db"
    with running_world({"DATABASE_URL": url, "SLUICE_CALL_LOG": what}) as world:
        assert world.ask(model="sandbox/echo").status == 200
        assert world.ask(model="nobody/x").status == 400
        # After that its store is open, and has its tables.
        assert world.send("GET", "/v1/responses/resp_none").status == 404
        assert world.gateway.stop() == 0
        with sqlite3.connect(tmp_path / "kept.db") as connection:
            found = connection.execute("SELECT status FROM call_log ORDER BY status").fetchall()
    assert [status for (status,) in found] == kept


def test_a_row_that_cannot_be_written_is_counted_and_those_after_it_are_written(tmp_path: Path) -> None:
    with running_world({"DATABASE_URL": f"sqlite:///{tmp_path}/kept.db"}) as world:
        stored = world.send("POST", "/v1/responses", {"model": "sandbox/echo", "input": "hi"})
        assert stored.status == 200
        with sqlite3.connect(tmp_path / "kept.db", timeout=20) as connection:
            count = "SELECT count(*) FROM call_log"
            eventually(lambda: connection.execute(count).fetchone()[0] == 1)
            connection.execute(
                "CREATE TRIGGER refuse BEFORE INSERT ON call_log WHEN NEW.status = 400 "
                "BEGIN SELECT RAISE(ABORT, 'no such row'); END"
            )
            connection.commit()
            assert world.ask(model="nobody/x").status == 400
            eventually(lambda: "1 rows of the call log were dropped" in world.gateway.log)
            assert world.ask(model="sandbox/echo").status == 200
            eventually(lambda: connection.execute(count).fetchone()[0] == 2)
