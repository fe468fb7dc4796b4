"""Limits at the HTTP edge of one process: what is refused, what is told, what is charged."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from tests.behaviour.world import CHAT_DONE, ROLE, chat_body, chat_stream, chat_text, received
from tests.governance.city import CHAT, PROMPT, City, good, keys, running_city
from tests.lifecycle.house import Client, eventually
from tests.traffic.replay import Reply, Request

HOUR = 'per = "hour"'
CONFIG = (
    keys(
        free="",
        stores=f"{{ requests = 1, {HOUR} }}",
        two=f"{{ requests = 2, {HOUR} }}",
        tokens=f"{{ tokens = 20, {HOUR} }}",
        some=f'{{ requests = 1, {HOUR}, models = "groq/big*" }}',
        alias=f'{{ requests = 1, {HOUR}, models = "fast" }}',
        one="{ concurrent = 1 }",
        waits="{ concurrent = 1 }",
        asks=f"{{ requests = 7, {HOUR} }}, {{ concurrent = 2 }}",
        queue=f"{{ concurrent = 1 }}, {{ requests = 2, {HOUR} }}, {{ tokens = 60, {HOUR} }}",
        chain=f"{{ requests = 5, {HOUR} }}",
        mixed=f"{{ requests = 9, {HOUR} }}, {{ requests = 4, per = 'day' }}, {{ tokens = 900, {HOUR} }}",
    )
    + f"""
[keys.blue]
key = "sk-blue"
tenant = "blue"
[tenants.blue]
limits = [{{ requests = 1, {HOUR} }}]
[models."fast"]
target = "groq/x"
[providers.groq]
[[providers.groq.keys]]
name = "small"
value = "small-key"
models = ["pooled", "tight"]
weight = 1000000
limits = [{{ requests = 1, per = "hour" }}]
[[providers.groq.keys]]
name = "large"
value = "large-key"
models = ["pooled"]
[[providers.groq.keys]]
name = "rest"
value = "rest-key"
models = ["x", "y", "big", "big-2"]
"""
)


@pytest.fixture(scope="module")
def running() -> Iterator[City]:
    with running_city(CONFIG, env={"SLUICE_MASTER_KEY": "sk-master"}) as city:
        yield city


def limit_headers(answer: Any, kind: str) -> tuple[str | None, ...]:
    return tuple(answer.headers.get(f"x-ratelimit-{what}-{kind}") for what in ("limit", "remaining", "reset"))


def test_a_key_beyond_its_limit_is_refused_and_nothing_goes_upstream(city: City) -> None:
    answers = [city.ask("two") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert [limit_headers(answer, "requests")[:2] for answer in answers] == [
        ("2", "1"),
        ("2", "0"),
        ("2", "0"),
    ]
    refused = answers[-1]
    assert refused.error["code"] == "rate_limit_exceeded"
    assert refused.error["message"].startswith("Rate limit reached for this key: 2 requests per hour.")
    assert 3540 <= int(refused.headers["retry-after"]) <= 3660
    assert refused.headers["x-sluice-attempts"] == "0"
    assert city.served == 2


def test_a_key_without_limits_hears_of_none(city: City) -> None:
    answer = city.ask("free")
    assert answer.status == 200
    assert [name for name in answer.headers if name.startswith("x-ratelimit")] == []


def test_the_tightest_limit_of_each_kind_is_told(city: City) -> None:
    answer = city.ask("mixed")
    assert limit_headers(answer, "requests")[:2] == ("4", "3")
    assert limit_headers(answer, "tokens")[:2] == ("900", "899")


def test_tokens_are_charged_by_real_usage_also_beyond_the_limit(city: City) -> None:
    seen = [city.ask("tokens") for _ in range(5)]
    assert [answer.status for answer in seen] == [200, 200, 200, 200, 429]
    assert [limit_headers(answer, "tokens")[1] for answer in seen[:4]] == ["19", "14", "9", "4"]
    assert seen[-1].error["type"] == "tokens"


@pytest.fixture(scope="module")
def thirsty() -> Iterator[City]:
    limits = dict.fromkeys(("failed", "large", "stream", "left"), f"{{ tokens = 20, {HOUR} }}")
    with running_city(keys(**limits)) as city:
        yield city


def remaining(city: City, key: str) -> int:
    """Return the tokens left to a key, by an answer that itself takes one of them so far."""
    city.upstream.script = good
    return int(limit_headers(city.ask(key), "tokens")[1] or "") + 1


def test_a_failed_attempt_that_was_not_charged_costs_no_tokens(thirsty: City) -> None:
    thirsty.upstream.script = lambda request: Reply.json({"error": {"message": "no"}}, 500)
    assert thirsty.ask("failed", messages=[{"role": "user", "content": "x" * 60}]).status == 500
    assert remaining(thirsty, "failed") == 20


def test_an_input_above_the_whole_limit_is_told_so(thirsty: City) -> None:
    thirsty.upstream.forget()
    answer = thirsty.ask("large", messages=[{"role": "user", "content": "x" * 400}])
    assert (answer.status, answer.headers["retry-after"]) == (429, "3600")
    assert "above the whole limit of this key: 20 tokens per hour" in answer.error["message"]
    assert thirsty.served == 0


def test_a_stream_is_charged_at_its_end(thirsty: City) -> None:
    thirsty.upstream.script = lambda request: Reply.sse(chat_stream("good"))
    answer = thirsty.ask("stream", stream=True)
    assert (answer.text, limit_headers(answer, "tokens")[:2]) == ("good", ("20", "19"))
    assert remaining(thirsty, "stream") == 15


def test_who_leaves_a_stream_is_charged_by_an_estimate(thirsty: City) -> None:
    body = ROLE + chat_text("w" * 24)
    thirsty.upstream.script = lambda request: Reply.sse(body + CHAT_DONE, hang=len(body))
    connection = thirsty.client("left").open("POST", CHAT, {**PROMPT, "stream": True})
    assert connection.sock is not None
    received(connection.sock, b"wwww")
    connection.close()
    eventually(lambda: '"client_gone"' in thirsty.gateways[0].log)
    assert remaining(thirsty, "left") < 15


def test_a_place_among_calls_at_once_is_held_until_the_last_byte(city: City) -> None:
    body = ROLE + chat_text("first")
    city.upstream.script = lambda request: Reply.sse(body + CHAT_DONE, hang=len(body))
    connection = city.client("one").open("POST", CHAT, {**PROMPT, "stream": True})
    assert connection.sock is not None
    received(connection.sock, b"first")
    refused = city.ask("one")
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    assert "1 concurrent call." in refused.error["message"]
    assert [name for name in refused.headers if name.startswith("x-ratelimit")] == []
    connection.close()
    city.upstream.script = good
    eventually(lambda: city.ask("one").status == 200)


def test_a_tenants_limit_counts_for_all_of_its_keys(city: City) -> None:
    assert [city.ask("blue").status, city.ask("blue").status] == [200, 429]
    assert "the tenant 'blue'" in city.ask("blue").error["message"]


def test_a_limit_of_some_models_counts_for_these_alone(city: City) -> None:
    assert [city.ask("some", model=f"groq/{name}").status for name in ("x", "big", "x", "big-2")] == [
        *(200, 200, 200, 429),
    ]


def test_a_limit_of_a_name_of_the_operators_counts_where_it_is_asked_for(city: City) -> None:
    assert [city.ask("alias", model=name).status for name in ("groq/x", "fast", "groq/x", "fast")] == [
        *(200, 200, 200, 429),
    ]


def test_a_fallback_does_not_count_again(city: City) -> None:
    def script(request: Request) -> Reply:
        failing = request.json()["model"] == "y"
        return Reply.json({"error": {"message": "no"}}, 500) if failing else Reply.json(chat_body())

    city.upstream.script = script
    answers = [city.ask("chain", model="groq/y", fallbacks=["groq/x"]) for _ in range(2)]
    assert [limit_headers(answer, "requests")[1] for answer in answers] == ["4", "3"]
    assert city.served == 4


def test_a_providers_key_at_its_limit_is_passed_over(city: City) -> None:
    answers = [city.ask("free", model="groq/pooled") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 200]
    used = [request.headers["authorization"] for request in city.upstream.requests]
    assert used == ["Bearer small-key", "Bearer large-key", "Bearer large-key"]
    refused = city.ask("free", model="groq/tight")
    assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
    assert "the key 'small' of the provider 'groq'" in refused.error["message"]
    assert 3540 <= int(refused.headers["retry-after"]) <= 3660
    assert city.served == 3


def test_a_background_response_is_counted_once_and_its_run_holds_the_place(city: City) -> None:
    client = city.client("queue")
    members = {"background": True, "model": "sandbox/echo"}
    first = client.make("take 1 seconds\nsay exactly: hello", **members)
    second = client.create("say exactly: hello", **members)
    assert (second.status, second.headers["x-ratelimit-remaining-requests"]) == (200, "0")
    assert [client.ended(one["id"])["status"] for one in (first, second.json)] == ["completed", "completed"]
    assert client.create("hi", **members).status == 429


def test_a_run_for_which_there_is_no_place_waits_for_one(city: City) -> None:
    body = ROLE + chat_text("first")
    city.upstream.script = lambda request: Reply.sse(body + CHAT_DONE, hang=len(body))
    client, other = city.client("waits"), city.client("free")
    connection = client.open("POST", CHAT, {**PROMPT, "stream": True})
    assert connection.sock is not None
    received(connection.sock, b"first")
    members = {"background": True, "model": "sandbox/echo"}
    waiting = client.make("say exactly: hello", **members)["id"]
    later = other.make("say exactly: hello", **members)["id"]
    assert other.ended(later)["status"] == "completed"
    assert client.get(f"/v1/responses/{waiting}").json["status"] in ("queued", "in_progress")
    connection.close()
    assert client.ended(waiting)["status"] == "completed"


@pytest.mark.parametrize(
    ("method", "changes", "status", "code"),
    [
        ("DELETE", None, "failed", "permission_denied"),
        ("PATCH", {"enabled": False}, "failed", "permission_denied"),
        ("PATCH", {"models": ["groq/*"]}, "failed", "permission_denied"),
        ("PATCH", {"limits": [{"concurrent": 9}]}, "completed", None),
    ],
    ids=["revoked", "disabled", "another model", "more places"],
)
def test_a_run_that_waits_for_a_place_knows_its_key_as_it_is(
    city: City, method: str, changes: Any, status: str, code: str | None
) -> None:
    body = ROLE + chat_text("first")
    city.upstream.script = lambda request: Reply.sse(body + CHAT_DONE, hang=len(body))
    master, other = city.client("master"), city.client("free")
    members = {"tenant": "red", "name": f"one-{secrets.token_hex(4)}", "limits": [{"concurrent": 1}]}
    key = master.post("/admin/keys", members).json
    client = Client(city.gateways[0].port, key["key"])
    connection = client.open("POST", CHAT, {**PROMPT, "stream": True})
    assert connection.sock is not None
    received(connection.sock, b"first")
    asked = {"background": True, "model": "sandbox/echo"}
    waiting = client.make("say exactly: hello", **asked)["id"]
    eventually(lambda: other.get(f"/v1/responses/{waiting}").json["status"] == "in_progress")
    assert master.send(method, f"/admin/keys/{key['id']}", changes).status == 200
    if code is not None:
        connection.close()
    ended = other.ended(waiting)
    assert (ended["status"], (ended["error"] or {}).get("code")) == (status, code)
    connection.close()


def test_a_refused_response_leaves_nothing_stored(city: City) -> None:
    client = city.client("stores")
    assert client.create("say exactly: hello").status == 200
    assert client.create("say exactly: hello").status == 429
    with sqlite3.connect(city.gateways[0].folder / "sluice.db") as store:
        (rows,) = store.execute("SELECT count(*) FROM response WHERE key_id = 'stores'").fetchone()
    assert rows == 1


def test_a_body_that_cannot_be_read_is_charged_nothing(city: City) -> None:
    before = int(limit_headers(city.ask("mixed"), "requests")[1] or "")
    assert city.client("mixed").send("POST", CHAT, {"model": "groq/x"}).status == 400
    assert limit_headers(city.ask("mixed"), "requests")[1] == str(before - 1)


def test_a_key_asks_how_its_limits_stand_and_that_costs_nothing(city: City) -> None:
    client = city.client("asks")
    rows = [client.get("/v1/key").json["limits"] for _ in range(2)][-1]
    assert rows == [
        {"requests": 7, "per": "hour", "level": "key", "remaining": 7, "reset": 0},
        {"concurrent": 2, "level": "key", "remaining": 2, "reset": 0},
    ]
    assert city.ask("asks").status == 200
    rows = client.get("/v1/key").json["limits"]
    assert (rows[0]["remaining"], rows[1]["remaining"]) == (6, 2)
    assert 3540 <= rows[0]["reset"] <= 3660
    assert city.client("free").get("/v1/key").json["limits"] == []
