"""Batches that run here: their rules over HTTP, and what kills, leaving and limits do to them."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.world import chat_body
from tests.lifecycle.batches import (
    CHAT,
    chat_lines,
    ended,
    jsonl,
    line,
    ran,
    rows_of,
    started,
    texts_of,
    upload,
    uploaded,
)
from tests.lifecycle.house import (
    Client,
    House,
    change,
    children_of,
    eventually,
    kill,
    running_house,
    running_worker,
)
from tests.lifecycle.house import variables as house_variables
from tests.lifecycle.test_processes import second_gateway, shot
from tests.running import running_gateway
from tests.services import new_postgres
from tests.traffic.replay import Reply, Request

FALLBACK = {"model": "groq/broken", "fallbacks": ["sandbox/echo"]}


def asks(prompt: str, **members: Any) -> dict[str, Any]:
    return {"model": "sandbox/echo", "messages": [{"role": "user", "content": prompt}], **members}


def test_results_stand_in_the_order_of_the_input(ann: Client) -> None:
    prompts = [f"take {1 if number % 8 == 0 else 0.1} seconds\nsay exactly: {number}" for number in range(24)]
    batch = ran(ann, chat_lines(prompts), metadata={"of": "mine"})

    rows = rows_of(ann, batch["output_file_id"])
    assert texts_of(rows) == [str(number) for number in range(24)]
    assert [row["custom_id"] for row in rows] == [f"line-{number}" for number in range(24)]
    assert {row["response"]["status_code"] for row in rows} == {200}
    assert len({row["response"]["request_id"] for row in rows} | {row["id"] for row in rows}) == 48
    assert batch["request_counts"] == {"total": 24, "completed": 24, "failed": 0}
    assert (batch["status"], batch["error_file_id"], batch["metadata"]) == ("completed", None, {"of": "mine"})
    assert batch["created_at"] <= batch["in_progress_at"] <= batch["completed_at"] < batch["expires_at"]


def test_lines_that_fail_are_in_the_error_file_in_their_order(ann: Client) -> None:
    rows: list[Any] = [
        line("good", asks("say exactly: a")),
        line("late", asks("take 1 seconds\nfail with 400")),
        {"method": "POST", "url": CHAT, "body": asks("say exactly: nameless")},
        line("url", asks("x"), url="/v1/embeddings"),
        line("method", asks("x"), method="GET"),
        line("stream", asks("x", stream=True)),
        line("model", {**asks("x"), "model": "nobody-has-this"}),
        line("shape", {"model": "sandbox/echo", "messages": "no list"}),
        line("fallback", {**asks("say exactly: b"), **FALLBACK}),
        ["no", "object"],
        {"custom_id": 5, "method": "POST", "url": CHAT, "body": asks("x")},
        line("bodyless", {}),
    ]
    rows[-1]["body"] = "text"
    content = (
        b"\xef\xbb\xbf" + jsonl(rows) + b"\r\n  \n{\n" + jsonl([line("last", asks("say exactly: c"))])[:-1]
    )
    batch = ran(ann, content)

    assert texts_of(rows_of(ann, batch["output_file_id"])) == ["a", "b", "c"]
    failed = rows_of(ann, batch["error_file_id"])
    assert [row["custom_id"] for row in failed] == [
        *("late", None, "url", "method", "stream", "model", "shape"),
        *(None, None, "bodyless", None),
    ]
    answered = {row["custom_id"]: row["response"] for row in failed if row["response"]}
    assert {name: found["status_code"] for name, found in answered.items()} == {
        "late": 400,
        "model": 400,
        "shape": 400,
    }
    assert answered["model"]["body"]["error"]["code"] == "model_not_found"
    assert answered["shape"]["body"]["error"]["param"] == "messages"
    unable = [row for row in failed if row["response"] is None]
    assert all(row["error"]["code"] and row["error"]["message"] for row in unable)
    named = {row["custom_id"]: row["error"]["param"] for row in unable if row["custom_id"]}
    assert named == {"url": "url", "method": "method", "stream": "body.stream", "bodyless": "body"}
    assert batch["request_counts"] == {"total": 14, "completed": 3, "failed": 11}
    assert batch["status"] == "completed"


ENDPOINTS: list[tuple[str, dict[str, Any], Callable[[Any], Any]]] = [
    (CHAT, asks("say exactly: hi"), lambda body: body["choices"][0]["message"]["content"]),
    (
        "/v1/responses",
        {"model": "sandbox/echo", "input": "say exactly: hi"},
        lambda body: body["output"][0]["content"][0]["text"],
    ),
    (
        "/v1/embeddings",
        {"model": "sandbox/echo", "input": "hi"},
        lambda body: "hi" if body["data"][0]["embedding"] else "",
    ),
    (
        "/v1/completions",
        {"model": "sandbox/echo", "prompt": "say exactly: hi"},
        lambda body: body["choices"][0]["text"],
    ),
    ("/v1/messages", {**asks("say exactly: hi"), "max_tokens": 9}, lambda body: body["content"][0]["text"]),
]


@pytest.mark.parametrize(("endpoint", "body", "told"), ENDPOINTS, ids=[row[0] for row in ENDPOINTS])
def test_every_endpoint_is_answered_in_its_own_words(
    ann: Client, endpoint: str, body: dict[str, Any], told: Callable[[Any], Any]
) -> None:
    rows = [
        line("good", body, url=endpoint),
        line("bad", {"model": "sandbox/echo", "stream": "no flag"}, url=endpoint),
    ]
    batch = ran(ann, jsonl(rows), endpoint=endpoint)

    (good,) = rows_of(ann, batch["output_file_id"])
    assert told(good["response"]["body"]) == "hi"
    (bad,) = rows_of(ann, batch["error_file_id"])
    assert (bad["response"]["status_code"], bad["error"]) == (400, None)
    assert bad["response"]["body"]["error"]["message"]
    assert (bad["response"]["body"].get("type") == "error") is (endpoint == "/v1/messages")


def test_a_stored_response_of_a_line_can_be_continued(ann: Client) -> None:
    batch = ran(
        ann,
        jsonl([line("one", {"model": "sandbox/echo", "input": "say exactly: before"}, url="/v1/responses")]),
        endpoint="/v1/responses",
    )
    (row,) = rows_of(ann, batch["output_file_id"])
    again = ann.make("echo history", previous_response_id=row["response"]["body"]["id"])
    assert "before" in json.dumps(again["output"])


def test_cancel_lets_lines_in_flight_end_and_keeps_what_there_is(ann: Client) -> None:
    prompts = [f"take {0.2 if number < 3 else 3} seconds\nsay exactly: {number}" for number in range(60)]
    batch = started(ann, uploaded(ann, chat_lines(prompts)))
    eventually(lambda: ann.get(f"/v1/batches/{batch['id']}").json["request_counts"]["completed"] >= 3)

    answer = ann.post(f"/v1/batches/{batch['id']}/cancel")
    assert (answer.status, answer.json["status"]) == (200, "cancelling")
    again = ann.post(f"/v1/batches/{batch['id']}/cancel")
    assert (again.status, again.json["cancelling_at"]) == (200, answer.json["cancelling_at"])
    over = ended(ann, batch["id"])
    assert over["status"] == "cancelled"
    assert over["cancelling_at"] <= over["cancelled_at"]
    texts = texts_of(rows_of(ann, over["output_file_id"]))
    assert texts == [str(number) for number in range(len(texts))]
    assert 3 < len(texts) <= 3 + 8
    assert over["request_counts"] == {"total": 60, "completed": len(texts), "failed": 0}
    refused = ann.post(f"/v1/batches/{batch['id']}/cancel")
    assert (refused.status, refused.error["type"]) == (400, "invalid_request_error")


def test_a_file_that_a_batch_reads_is_not_deleted(ann: Client) -> None:
    file = uploaded(ann, chat_lines(["take 5 seconds\nsay exactly: x"]))
    batch = started(ann, file)
    assert ann.delete(f"/v1/files/{file}").status == 409
    ann.post(f"/v1/batches/{batch['id']}/cancel")
    over = ended(ann, batch["id"])
    assert ann.delete(f"/v1/files/{file}").json["deleted"] is True
    assert ann.get(f"/v1/files/{file}").status == 404
    if over["output_file_id"]:
        assert ann.delete(f"/v1/files/{over['output_file_id']}").status == 200


BAD_BATCHES: list[tuple[dict[str, Any], int, str]] = [
    ({"input_file_id": None}, 400, "input_file_id"),
    ({"input_file_id": 5}, 400, "input_file_id"),
    ({"input_file_id": "file-of-nobody"}, 404, "input_file_id"),
    ({"input_file_id": "\x00"}, 404, "input_file_id"),
    ({"endpoint": None}, 400, "endpoint"),
    ({"endpoint": "/v1/images/generations"}, 400, "endpoint"),
    ({"endpoint": ["/v1/embeddings"]}, 400, "endpoint"),
    ({"completion_window": None}, 400, "completion_window"),
    ({"completion_window": "0h"}, 400, "completion_window"),
    ({"completion_window": "24"}, 400, "completion_window"),
    ({"completion_window": "1w"}, 400, "completion_window"),
    ({"completion_window": "9999d"}, 400, "completion_window"),
    ({"completion_window": "٣h"}, 400, "completion_window"),
    ({"metadata": {"a": 1}}, 400, "metadata.a"),
    ({"metadata": "x"}, 400, "metadata"),
    ({"output_expires_after": {"anchor": "x", "seconds": 3600}}, 400, "output_expires_after.anchor"),
    ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, 400, "output_expires_after.seconds"),
]


@pytest.mark.parametrize(("members", "status", "param"), BAD_BATCHES)
def test_a_bad_batch_is_refused_and_says_where(
    ann: Client, members: dict[str, Any], status: int, param: str
) -> None:
    file = uploaded(ann, chat_lines(["x"]))
    body = {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h", **members}
    body = {name: value for name, value in body.items() if value is not None}
    answer = ann.post("/v1/batches", body)
    assert (answer.status, answer.error["param"]) == (status, param), answer.body


def test_a_file_without_lines_makes_no_batch(ann: Client) -> None:
    file = uploaded(ann, b"\n  \r\n\t")
    answer = ann.post("/v1/batches", {"input_file_id": file, "endpoint": CHAT, "completion_window": "1d"})
    assert (answer.status, answer.error["param"]) == (400, "input_file_id")


def test_blank_lines_count_for_nothing(ann: Client) -> None:
    blank = b"\n \r\n\t\n" * 300_000
    batch = ran(ann, blank + chat_lines(["say exactly: x"]) + blank + chat_lines(["say exactly: y"]) + blank)

    assert batch["request_counts"] == {"total": 2, "completed": 2, "failed": 0}


def test_a_file_of_too_many_lines_makes_no_batch(ann: Client) -> None:
    file = uploaded(ann, b"0\n" * 1_000_001)
    answer = ann.post("/v1/batches", {"input_file_id": file, "endpoint": CHAT, "completion_window": "1d"})

    assert (answer.status, answer.error["param"]) == (400, "input_file_id")
    assert "1000000 lines" in answer.error["message"]


def test_an_output_file_is_no_input(ann: Client) -> None:
    batch = ran(ann, chat_lines(["say exactly: x"]), endpoint="/chat/completions")
    assert ann.get(f"/v1/files/{batch['output_file_id']}").json["purpose"] == "batch_output"
    body = {"input_file_id": batch["output_file_id"], "endpoint": CHAT, "completion_window": "1h"}
    assert ann.post("/v1/batches", body).error["param"] == "input_file_id"


BAD_FILES: list[tuple[bytes | None, dict[str, str], dict[str, str], int, str | None]] = [
    (None, {}, {}, 400, "file"),
    (b"", {}, {}, 400, "file"),
    (b"x", {"purpose": ""}, {}, 400, "purpose"),
    (b"x", {"purpose": "p" * 65}, {}, 400, "purpose"),
    (b"x", {"purpose": "user_data", "provider": "sandbox"}, {}, 400, "purpose"),
    (b"x", {"purpose": "user_data", "model": "sandbox/echo"}, {}, 400, "purpose"),
    (b"x", {"provider": "nobody"}, {}, 400, "provider"),
    (b"x", {}, {"x-bf-provider": "nobody"}, 400, "provider"),
    (
        b"x",
        {"expires_after[anchor]": "now", "expires_after[seconds]": "3600"},
        {},
        400,
        "expires_after[anchor]",
    ),
    (b"x", {"expires_after[anchor]": "created_at"}, {}, 400, "expires_after[seconds]"),
    (
        b"x",
        {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3.5"},
        {},
        400,
        "expires_after[seconds]",
    ),
    (b"x", {}, {"content-type": "application/json"}, 415, None),
    (b"x", {}, {"content-type": "multipart/form-data"}, 400, None),
]


@pytest.mark.parametrize(("content", "fields", "headers", "status", "param"), BAD_FILES)
def test_a_bad_upload_is_refused_and_says_where(
    ann: Client,
    content: bytes | None,
    fields: dict[str, str],
    headers: dict[str, str],
    status: int,
    param: str | None,
) -> None:
    answer = upload(ann, content, headers=headers, **fields)
    if headers.get("content-type") == "multipart/form-data":  # no boundary: a form without fields
        assert answer.status == 400
        return
    assert (answer.status, answer.error["param"]) == (status, param), answer.body


@pytest.mark.parametrize(
    ("query", "param"),
    [("limit=0", "limit"), ("limit=10001", "limit"), ("order=up", "order"), ("after=x", "after")],
)
def test_a_bad_list_of_files_is_refused(ann: Client, query: str, param: str) -> None:
    answer = ann.get(f"/v1/files?{query}")
    assert (answer.status, answer.error["param"]) == (400, param)


def test_files_are_listed_by_age_page_by_page(ann: Client) -> None:
    made = [uploaded(ann, f"{number}\n".encode()) for number in range(3)]
    first = ann.get("/v1/files?limit=2").json
    assert [one["id"] for one in first["data"]] == [made[2], made[1]]
    assert (first["has_more"], first["last_id"]) == (True, made[1])
    after = ann.get(f"/v1/files?limit=1&after={made[1]}").json
    assert after["data"][0]["id"] == made[0]
    upwards = ann.get(f"/v1/files?order=asc&after={made[0]}&limit=2").json
    assert [one["id"] for one in upwards["data"]] == made[1:]
    assert ann.get("/v1/files?purpose=fine-tune").json["data"] == []


def test_a_large_file_comes_back_as_it_went(ann: Client) -> None:
    content = b"".join(f"{number:>9}\n".encode() for number in range(350_000))  # 3.5 MB, four pieces
    file = uploaded(ann, content)
    assert ann.get(f"/v1/files/{file}").json["bytes"] == len(content)
    answer = ann.get(f"/openai/v1/files/{file}/content")
    assert (answer.body == content, answer.headers["content-length"]) == (True, str(len(content)))
    assert answer.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize("surface", ["/v1", "/openai/v1", "/openai", "/openai/deployments/gpt", "/api/llm"])
def test_every_surface_serves_the_same_files_and_batches(ann: Client, surface: str) -> None:
    file = uploaded(ann, chat_lines(["say exactly: surface"]), surface=surface)
    batch = started(ann, file, surface=surface)
    over = ended(ann, batch["id"])
    shown = ann.get(f"{surface}/batches/{batch['id']}").json
    assert shown["status"] == "completed"
    assert ("provider" in shown, "extra_fields" in shown) == (surface == "/api/llm", surface != "/api/llm")
    assert any(one["id"] == batch["id"] for one in ann.get(f"{surface}/batches?limit=5").json["data"])
    assert texts_of(rows_of(ann, over["output_file_id"])) == ["surface"]


def counting(wait: float) -> tuple[Counter[str], Callable[[Request], Reply]]:
    """Return a provider's script that answers each prompt by itself, and counts how often it was asked."""
    seen: Counter[str] = Counter()

    def script(request: Request) -> Reply:
        prompt = request.json()["messages"][-1]["content"]
        seen[prompt] += 1
        return Reply.json(chat_body(f"done {prompt}"), wait=wait)

    return seen, script


@contextmanager
def database(kind: str) -> Iterator[str | None]:
    with new_postgres() if kind == "postgres" else nullcontext(None) as url:
        yield url


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_kills_lose_nothing_and_repeat_at_most_what_was_in_flight(kind: str) -> None:
    """Every worker of the gateway is killed twice while lines are in flight."""
    with database(kind) as url, running_house(url) as house:
        seen, house.upstream.script = counting(0.3)
        ann = house.client()
        batch = started(ann, uploaded(ann, chat_lines(map(str, range(60)), "groq/x")))
        for done in (10, 25):
            eventually(lambda done=done: len(seen) > done, 40)
            for pid in children_of(house.gateways[0].process):
                kill(pid)
            count = len(seen)
            eventually(lambda count=count: len(seen) > count, 40)
        over = ended(ann, batch["id"], 60)
        rows = rows_of(ann, over["output_file_id"])
        assert texts_of(rows) == [f"done {number}" for number in range(60)]
        assert [row["custom_id"] for row in rows] == [f"line-{number}" for number in range(60)]
        assert (over["request_counts"], over["error_file_id"]) == (
            {"total": 60, "completed": 60, "failed": 0},
            None,
        )
        assert max(seen.values()) <= 2
        assert sum(seen.values()) - 60 <= 2 * 8


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_another_gateway_goes_on_where_one_was_killed(kind: str) -> None:
    with database(kind) as url, running_house(url) as house:
        seen, house.upstream.script = counting(0.3)
        with second_gateway(house.upstream, url or house.database_url, SLUICE_BACKGROUND="off") as other:
            survivor = Client(other.port, house.client().key)
            batch = started(survivor, uploaded(survivor, chat_lines(map(str, range(30)), "groq/x")))
            eventually(lambda: len(seen) > 10)
            shot(house.gateways[0])
            with second_gateway(house.upstream, url or house.database_url):
                over = ended(survivor, batch["id"], 60)
            assert texts_of(rows_of(survivor, over["output_file_id"])) == [f"done {n}" for n in range(30)]
            assert max(seen.values()) <= 2


def test_a_line_that_was_in_flight_at_two_crashes_fails_and_the_others_go_on() -> None:
    with running_house() as house:
        seen, house.upstream.script = counting(0.1)
        stuck: Callable[[Request], Reply] = house.upstream.script
        house.upstream.script = lambda request: (
            Reply.json({}, wait=60.0) if counted(seen, request) == "stuck" else stuck(request)
        )
        ann = house.client()
        prompts = ["stuck", *map(str, range(20))]
        batch = started(ann, uploaded(ann, chat_lines(prompts, "groq/x")))
        for times in (1, 2):
            eventually(lambda times=times: seen["stuck"] == times, 40)
            time.sleep(0.5)
            for pid in children_of(house.gateways[0].process):
                kill(pid)
        over = ended(ann, batch["id"], 60)
        (failed,) = rows_of(ann, over["error_file_id"])
        assert (failed["custom_id"], failed["error"]["code"]) == ("line-0", "server_lost")
        assert texts_of(rows_of(ann, over["output_file_id"])) == [f"done {n}" for n in range(20)]
        assert seen["stuck"] == 2


def counted(seen: Counter[str], request: Request) -> str:
    """Return the prompt of a request; count the one that is answered elsewhere."""
    prompt = str(request.json()["messages"][-1]["content"])
    seen["stuck"] += prompt == "stuck"
    return prompt


def test_a_leaving_worker_hands_a_batch_over(tmp_path: Path) -> None:
    with running_house(workers=1, env={"SLUICE_BACKGROUND": "off", "SLUICE_WORKER_GRACE": "10"}) as house:
        seen, house.upstream.script = counting(0.5)
        ann = house.client()
        batch = started(ann, uploaded(ann, chat_lines(map(str, range(30)), "groq/x")))
        eventually(lambda: len(seen) > 8)
        house.workers[0].send_signal(signal.SIGTERM)
        assert house.workers[0].wait(15) == 0
        env = house_variables(house.upstream, house.database_url)
        with running_worker(env, tmp_path / "second"):
            over = ended(ann, batch["id"])
        assert texts_of(rows_of(ann, over["output_file_id"])) == [f"done {n}" for n in range(30)]
        assert set(seen.values()) == {1}


LIMITED = """
[[tenants.red.limits]]
requests = 4
per = "second"
"""


def test_lines_wait_at_the_tenants_limit_and_none_fails() -> None:
    with running_house(config=LIMITED) as house:
        ann, bob = house.client("ann"), house.client("bob")
        begun = time.monotonic()
        slow = started(ann, uploaded(ann, chat_lines([f"say exactly: {n}" for n in range(20)])))
        quick = ran(bob, chat_lines([f"say exactly: {n}" for n in range(20)]))
        assert quick["request_counts"]["completed"] == 20
        assert ann.get(f"/v1/batches/{slow['id']}").json["status"] == "in_progress"
        over = ended(ann, slow["id"])
        assert over["request_counts"] == {"total": 20, "completed": 20, "failed": 0}
        assert time.monotonic() - begun > 3


NARROW = """
[[tenants.red.limits]]
requests = 3
per = "day"
"""


def test_what_waits_when_the_window_ends_expires() -> None:
    with running_house(env={"SLUICE_BACKGROUND": "off"}, config=NARROW) as house:
        ann = house.client()
        batch = started(ann, uploaded(ann, chat_lines([f"say exactly: {n}" for n in range(700)])))
        now = time.time()
        change(
            house.database_url, "UPDATE batch SET ends_at = :end WHERE id = :id", end=now + 15, id=batch["id"]
        )
        env = house_variables(house.upstream, house.database_url)
        with running_gateway(env, config=NARROW):
            over = ended(ann, batch["id"])
        assert (over["status"], over["expired_at"] >= over["expires_at"]) == ("expired", True)
        assert texts_of(rows_of(ann, over["output_file_id"])) == ["0", "1", "2"]
        late = rows_of(ann, over["error_file_id"])
        assert [row["custom_id"] for row in late] == [f"line-{n}" for n in range(3, 700)]
        assert {row["error"]["code"] for row in late} == {"batch_expired"}
        assert over["request_counts"] == {"total": 700, "completed": 3, "failed": 697}


def test_tenants_take_turns_line_by_line() -> None:
    """All places are taken by a long batch; another tenant's short one is done long before it."""
    with running_house(env={"SLUICE_BATCH_LINES": "2"}) as house:
        ann, bob = house.client("ann"), house.client("bob")
        long = started(ann, uploaded(ann, chat_lines(["take 0.3 seconds\nsay exactly: x"] * 60)))
        eventually(lambda: ann.get(f"/v1/batches/{long['id']}").json["request_counts"]["completed"] > 1)
        short = ran(bob, chat_lines(["say exactly: x"] * 4))
        assert short["status"] == "completed"
        rest = ann.get(f"/v1/batches/{long['id']}").json
        assert (rest["status"], rest["request_counts"]["completed"] < 40) == ("in_progress", True)
        ann.post(f"/v1/batches/{long['id']}/cancel")


def test_at_most_so_many_lines_are_in_flight() -> None:
    with running_house(env={"SLUICE_BATCH_LINES": "3"}) as house:
        most, now = [0], [0]

        def script(request: Request) -> Reply:
            now[0] += 1
            most[0] = max(most[0], now[0])

            def body() -> Iterator[bytes]:
                time.sleep(0.1)
                now[0] -= 1
                yield json.dumps(chat_body("x")).encode()

            return Reply(200, body(), {"content-type": "application/json"}, framing="close")

        house.upstream.script = script
        ann, bob = house.client("ann"), house.client("bob")
        batches = [(one, started(one, uploaded(one, chat_lines(["x"] * 12, "groq/x")))) for one in (ann, bob)]
        assert [ended(one, batch["id"])["status"] for one, batch in batches] == ["completed"] * 2
        assert most == [3]


def test_a_batch_that_is_stored_sealed_runs_and_shows_nothing_on_the_disk() -> None:
    with running_house(env={"SLUICE_ENCRYPT": "1", "SLUICE_CALL_LOG": "off"}) as house:
        ann = house.client()
        batch = ran(ann, chat_lines(["say exactly: a-word-to-look-for"]), metadata={"m": "another-word"})
        assert texts_of(rows_of(ann, batch["output_file_id"])) == ["a-word-to-look-for"]
        path = Path(house.database_url.removeprefix("sqlite:///"))
        stored = b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
        assert (b"a-word-to-look-for" in stored, b"another-word" in stored) == (False, False)
        assert batch["id"].encode() in stored


def test_each_line_has_its_row_in_the_call_log() -> None:
    with running_house(env={"SLUICE_MASTER_KEY": "sk-the-master-of-all"}) as house:
        ann, admin = house.client(), Client(house.gateways[0].port, "sk-the-master-of-all")
        ran(ann, chat_lines(["say exactly: x", "fail with 400", "say exactly: y"]))

        def rows() -> list[dict[str, Any]] | None:
            data = admin.get("/admin/calls?limit=50").json["data"]
            return data if len(data) >= 5 else None

        types = Counter((row["request_type"], row["status"]) for row in eventually(rows))
        assert types == {
            ("file_upload", 200): 1,
            ("batch_create", 200): 1,
            ("chat_completion", 200): 2,
            ("chat_completion", 400): 1,
        }


def test_a_file_past_100_mib_is_413(house: House, ann: Client) -> None:
    body_length = 100 * 1024 * 1024 + 2 * 1024 * 1024
    headers: Mapping[str, str] = {
        "content-type": "multipart/form-data; boundary=x",
        "content-length": str(body_length),
    }
    answer = ann.send("POST", "/v1/files", b"--x\r\n", headers)
    assert (answer.status, answer.error["code"]) == (413, "request_too_large")
