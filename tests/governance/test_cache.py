"""The exact cache at the HTTP edge: what is answered again, in which form, and for whom."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import gevent
import pytest

from tests.behaviour.world import chat_body
from tests.governance.city import CHAT, PROMPT, City, good, keys, running_city
from tests.lifecycle.house import eventually, text_of
from tests.traffic.replay import Reply, Request

CONFIG = (
    keys(ann="", bob="", limited="{ requests = 9, per = 'hour' }, { tokens = 100, per = 'hour' }")
    + """
[keys.narrow]
key = "sk-narrow"
tenant = "red"
models = ["fast"]
[keys.off]
key = "sk-off"
tenant = "red"
cache = false
[keys.blue]
key = "sk-blue"
tenant = "blue"
[server]
cache = { ttl = "5m" }
[models."fast"]
target = "groq/x"
[models."plain"]
target = "groq/x"
cache = false
[models."exact"]
target = "groq/x"
cache = { deterministic_only = true, allow_per_call = false }
"""
)


@pytest.fixture(scope="module")
def running() -> Iterator[City]:
    with running_city(CONFIG, env={"SLUICE_MASTER_KEY": "sk-master"}) as city:
        yield city


def ask_about(
    city: City, words: str, key: str = "ann", headers: Mapping[str, str] | None = None, **more: Any
) -> Any:
    body = {**PROMPT, "messages": [{"role": "user", "content": words}], **more}
    return city.client(key).send("POST", CHAT, body, headers=headers or {})


def cached(*answers: Any) -> list[str]:
    return [answer.headers["x-sluice-cache"] for answer in answers]


def test_the_same_request_is_answered_again_with_its_own_id_at_no_cost(city: City) -> None:
    first, second = ask_about(city, "one"), ask_about(city, "one", user="u", n=1)
    assert cached(first, second) == ["miss", "hit"]
    assert city.served == 1
    one, two = first.json, second.json
    assert two["choices"] == one["choices"]
    assert two["id"] != one["id"]
    assert two["usage"]["total_tokens"] == one["usage"]["total_tokens"]
    assert two["usage"]["cost"] == 0
    debug = two["extra_fields"]["cache_debug"]
    assert debug["cache_hit"] is True
    assert debug["hit_type"] == "direct"
    assert (debug["provider_used"], debug["model_used"]) == ("groq", "x")
    missed = one["extra_fields"]["cache_debug"]
    assert missed["cache_hit"] is False
    assert missed["cache_id"] == debug["cache_id"]


def test_a_hit_repeats_the_warnings(city: City) -> None:
    message = {"role": "assistant", "content": "good", "executed_tools": [{"output": "found"}]}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    city.upstream.add(Reply.json(chat_body(choices=[choice])))
    body = {"model": "groq/x", "input": "warn", "store": False, "prompt_cache_retention": "24h"}
    asked = [city.client().send("POST", "/v1/responses", body) for _ in range(2)]
    assert cached(*asked) == ["miss", "hit"]
    one, two = (answer.json["extra_fields"]["warnings"] for answer in asked)
    assert one == two
    assert {row["param"] for row in one} == {"prompt_cache_retention", None}


def test_a_stream_and_a_whole_answer_serve_one_another(city: City) -> None:
    streamed = ask_about(city, "streamed first", stream=True)
    whole = ask_about(city, "streamed first")
    again = ask_about(city, "streamed first", stream=True)
    assert cached(streamed, whole, again) == ["miss", "hit", "hit"]
    assert city.served == 1
    assert whole.json["choices"][0]["message"]["content"] == "good"
    assert again.body.count(b'"good"') >= 1
    assert again.body.rstrip().endswith(b"data: [DONE]")
    assert b'"cache_hit":true' in again.body.replace(b" ", b"")


BODIES: list[tuple[str, dict[str, Any]]] = [
    ("/v1/responses", {"model": "groq/x", "input": "door", "store": False}),
    ("/openai/v1/chat/completions", {"model": "groq/x", "messages": [{"role": "user", "content": "door"}]}),
    (
        "/anthropic/v1/messages",
        {"model": "groq/x", "max_tokens": 9, "messages": [{"role": "user", "content": "door"}]},
    ),
    ("/cohere/v2/chat", {"model": "groq/x", "messages": [{"role": "user", "content": "door"}]}),
    ("/api/llm/responses", {"model": "groq/x", "input": "door tfy", "store": False}),
    ("/api/llm/responses", {"model": "groq/x", "messages": [{"role": "user", "content": "door chat"}]}),
]


@pytest.mark.parametrize(("path", "body"), BODIES, ids=lambda value: value if isinstance(value, str) else "")
def test_every_surface_replays_in_both_forms(city: City, path: str, body: dict[str, Any]) -> None:
    client = city.client()
    first, second = (client.send("POST", path, body) for _ in range(2))
    stream = client.send("POST", path, {**body, "stream": True})
    assert [answer.status for answer in (first, second, stream)] == [200, 200, 200]
    assert cached(first, second, stream) == ["miss", "hit", "hit"]
    assert city.served == 1
    assert "good" in str(second.json)
    assert first.json["id"] != second.json["id"]
    assert b"good" in stream.body and b"event:" in stream.body or b"data:" in stream.body


WHOLE: list[tuple[str, dict[str, Any]]] = [
    ("/v1/embeddings", {"model": "sandbox/e", "input": "door", "encoding_format": "float"}),
    ("/v1/completions", {"model": "groq/x", "prompt": "door"}),
]


@pytest.mark.parametrize(("path", "body"), WHOLE, ids=[path for path, _ in WHOLE])
def test_what_is_no_chat_is_kept_whole(city: City, path: str, body: dict[str, Any]) -> None:
    first, second = (city.client().send("POST", path, body) for _ in range(2))
    assert cached(first, second) == ["miss", "hit"]
    member = "data" if "data" in first.json else "choices"
    assert first.json[member] == second.json[member]
    assert first.json.get("id") is None or first.json["id"] != second.json["id"]


def test_geminis_surface_replays_in_both_forms(city: City) -> None:
    body = {"contents": [{"role": "user", "parts": [{"text": "by url"}]}]}
    model = "/gemini/v1beta/models/groq/x"
    first, second = (city.client().send("POST", f"{model}:generateContent", body) for _ in range(2))
    stream = city.client().send("POST", f"{model}:streamGenerateContent?alt=sse", body)
    assert cached(first, second, stream) == ["miss", "hit", "hit"]
    assert city.served == 1
    assert first.json["candidates"] == second.json["candidates"]
    assert b"good" in stream.body
    assert first.json["responseId"] != second.json["responseId"]


def test_bedrocks_surface_replays_in_both_forms(city: City) -> None:
    body = {"messages": [{"role": "user", "content": [{"text": "by url"}]}]}
    model = "/bedrock/model/groq%2Fx"
    first, second = (city.client().send("POST", f"{model}/converse", body) for _ in range(2))
    stream = city.client().send("POST", f"{model}/converse-stream", body)
    assert cached(first, second, stream) == ["miss", "hit", "hit"]
    assert city.served == 1
    assert first.json["output"] == second.json["output"]
    assert b"good" in stream.body


def test_a_hit_is_stored_like_any_response(city: City) -> None:
    client, body = city.client(), {"model": "groq/x", "input": "keep me", "metadata": {"a": "1"}}
    first = client.send("POST", "/v1/responses", body).json
    answer = client.send("POST", "/v1/responses", {**body, "metadata": {"a": "2"}})
    second = answer.json
    assert cached(answer) == ["hit"]
    assert second["id"] != first["id"]
    assert second["metadata"] == {"a": "2"}
    stored = client.send("GET", f"/v1/responses/{second['id']}").json
    assert text_of(stored) == text_of(first)
    assert stored["metadata"] == {"a": "2"}


def test_an_entry_goes_with_the_response_it_came_from(city: City) -> None:
    client, body = city.client(), {"model": "groq/x", "input": "forget me"}
    first = client.send("POST", "/v1/responses", body).json
    assert client.send("DELETE", f"/v1/responses/{first['id']}").status == 200
    assert cached(client.send("POST", "/v1/responses", body)) == ["miss"]
    assert city.served == 2


def test_tenants_never_share_and_keys_of_one_do(city: City) -> None:
    answers = [ask_about(city, "whose", key) for key in ("ann", "bob", "blue", "blue")]
    assert cached(*answers) == ["miss", "hit", "miss", "hit"]
    assert city.served == 2


def test_a_key_gets_no_answer_of_a_model_that_it_may_not_use(city: City) -> None:
    assert ask_about(city, "narrow").status == 200
    refused = ask_about(city, "narrow", "narrow")
    assert refused.status == 403
    assert refused.json["error"]["param"] == "model"


@pytest.mark.parametrize(
    ("headers", "second", "third"),
    [
        ({"cache-control": "no-cache"}, "off", "hit"),
        ({"x-bf-cache-no-store": "true"}, "miss", "miss"),
        ({"cache-control": "no-store"}, "off", "miss"),
        ({"x-bf-cache-key": "mine"}, "miss", "miss"),
    ],
    ids=str,
)
def test_headers_of_a_call(city: City, headers: dict[str, str], second: str, third: str) -> None:
    words = f"by header {headers}"
    answers = [ask_about(city, words, headers=headers), ask_about(city, words)]
    assert cached(*answers) == [second, third]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-bf-cache-ttl", "0"),
        ("x-bf-cache-ttl", "-1"),
        ("x-bf-cache-ttl", "5 minutes"),
        ("x-bf-cache-ttl", "31d"),
        ("x-bf-cache-ttl", "9" * 900),
        ("x-bf-cache-threshold", "nan"),
        ("x-bf-cache-threshold", "2"),
        ("x-bf-cache-type", "semantic"),
        ("x-bf-cache-no-store", "perhaps"),
        ("x-bf-cache-key", "k" * 257),
    ],
)
def test_hostile_headers_are_refused_by_name(city: City, name: str, value: str) -> None:
    answer = ask_about(city, "hostile", headers={name: value})
    assert answer.status == 400
    assert answer.json["error"]["param"] == name
    assert city.served == 0


@pytest.mark.parametrize(("key", "model"), [("off", "groq/x"), ("ann", "plain"), ("ann", "exact")])
def test_off_is_off(city: City, key: str, model: str) -> None:
    answers = [ask_about(city, f"off {key} {model}", key, model=model, temperature=0.5) for _ in range(2)]
    assert cached(*answers) == ["off", "off"]
    assert city.served == 2
    assert "cache_debug" not in answers[0].json["extra_fields"]


def test_at_temperature_0_only(city: City) -> None:
    answers = [
        ask_about(city, "zero", model="exact", temperature=0, headers={"x-bf-cache-ttl": "nonsense"})
        for _ in range(2)
    ]
    assert cached(*answers) == ["miss", "hit"]


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_an_answer_that_is_not_complete_is_not_kept(city: City, finish: str) -> None:
    body = chat_body()
    body["choices"][0]["finish_reason"] = finish
    city.upstream.script = lambda request: Reply.json(body)
    assert cached(*(ask_about(city, finish) for _ in range(2))) == ["miss", "miss"]


def test_an_error_is_not_kept(city: City) -> None:
    city.upstream.script = lambda request: Reply.json({"error": {"message": "no"}}, status=500)
    assert ask_about(city, "failing").status >= 500
    city.upstream.script = good
    assert cached(ask_about(city, "failing"), ask_about(city, "failing")) == ["miss", "hit"]


def test_a_hit_counts_as_a_request_and_as_no_tokens(city: City) -> None:
    first, second = ask_about(city, "limits", "limited"), ask_about(city, "limits", "limited")
    left = [
        (int(a.headers["x-ratelimit-remaining-requests"]), a.headers["x-ratelimit-remaining-tokens"])
        for a in (first, second, ask_about(city, "limits", "limited"))
    ]
    assert [requests for requests, _ in left] == [8, 7, 6]
    assert left[1][1] == left[2][1]


def test_the_log_and_the_ledger_say_that_it_was_the_cache(city: City) -> None:
    ask_about(city, "logged")
    request = ask_about(city, "logged").headers["x-request-id"]
    admin = city.client("master")
    row = eventually(lambda: admin.send("GET", f"/admin/calls?request_id={request}").json["data"])[0]
    assert (row["cache"], row["cost"], row["provider"], row["attempts"]) == ("hit", 0, "groq", [])
    path = "/admin/ledger?state=cached&limit=100"
    rows = eventually(lambda: [r for r in admin.send("GET", path).json["data"] if r["call_id"] == request])
    assert [(r["state"], r["cost"], r["model"]) for r in rows] == [("cached", 0, "x")]


def test_of_equal_calls_at_once_one_goes_out(city: City) -> None:
    gate = threading.Event()

    def slow(request: Request) -> Reply:
        gate.wait(10)
        return good(request)

    city.upstream.script = slow
    waiting = [gevent.spawn(ask_about, city, "together") for _ in range(8)]
    eventually(lambda: city.served == 1)
    gevent.sleep(0.2)
    gate.set()
    gevent.joinall(waiting, raise_error=True)
    assert Counter(cached(*(one.value for one in waiting))) == {"miss": 1, "hit": 7}
    assert city.served == 1


def test_when_the_first_fails_the_next_goes_out_itself(city: City) -> None:
    gate, failed = threading.Event(), []

    def script(request: Request) -> Reply:
        gate.wait(10)
        if not failed:
            failed.append(request)
            return Reply.json({"error": {"message": "no"}}, status=400)
        return good(request)

    city.upstream.script = script
    waiting = [gevent.spawn(ask_about, city, "first fails") for _ in range(5)]
    eventually(lambda: city.served == 1)
    gevent.sleep(0.2)
    gate.set()
    gevent.joinall(waiting, raise_error=True)
    assert Counter(one.value.status for one in waiting) == {200: 4, 400: 1}
    assert city.served == 2


PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
RICH: list[tuple[str, dict[str, Any]]] = [
    (CHAT, {"tools": [{"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}]}),
    ("/v1/responses", {"tools": [{"type": "function", "name": "weather", "parameters": PARAMETERS}]}),
    (
        "/anthropic/v1/messages",
        {"max_tokens": 99, "tools": [{"name": "weather", "input_schema": PARAMETERS}]},
    ),
]


@pytest.mark.parametrize("first_streams", [False, True], ids=["whole-first", "stream-first"])
@pytest.mark.parametrize(
    ("words", "told"), [("call tool weather with city=Paris", b"Paris"), ("think: deeply", b"deeply")]
)
@pytest.mark.parametrize(("path", "members"), RICH, ids=["chat", "responses", "messages"])
def test_calls_and_reasoning_are_replayed(
    city: City, path: str, members: dict[str, Any], words: str, told: bytes, first_streams: bool
) -> None:
    prompt = {"input": words} if "responses" in path else {"messages": [{"role": "user", "content": words}]}
    body = {"model": f"sandbox/{first_streams}", **members, **prompt}
    forms = [first_streams, True, False]
    answers = [city.client().send("POST", path, {**body, "stream": stream}) for stream in forms]
    assert [answer.status for answer in answers] == [200] * 3
    assert cached(*answers) == ["miss", "hit", "hit"]
    assert all(told in answer.body for answer in answers)


def test_a_first_turn_that_was_kept_begins_a_conversation_of_its_own(city: City) -> None:
    client, found = city.client(), []
    for _ in range(2):
        made = client.send("POST", "/v1/conversations", {}).json["id"]
        for words in ("say exactly: kept", "say exactly: more"):
            body = {"model": "sandbox/talk", "input": words, "conversation": made}
            answer = client.send("POST", "/v1/responses", body)
            assert answer.status == 200
        found.append((answer, client.send("GET", f"/v1/conversations/{made}/items").json["data"]))
    assert cached(found[1][0]) == ["hit"]
    assert [len(items) for _, items in found] == [4, 4]


def test_the_answer_comes_though_the_first_who_asked_left(city: City) -> None:
    gate = threading.Event()

    def slow(request: Request) -> Reply:
        gate.wait(10)
        return good(request)

    city.upstream.script = slow
    body = {**PROMPT, "messages": [{"role": "user", "content": "left alone"}]}
    text = json.dumps(body).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-ann\r\ncontent-type: application/json\r\n"
    leaver = socket.create_connection(("127.0.0.1", city.gateways[0].port))
    leaver.sendall(head.encode() + f"content-length: {len(text)}\r\n\r\n".encode() + text)
    eventually(lambda: city.served == 1)
    waiter = gevent.spawn(ask_about, city, "left alone")
    gevent.sleep(0.3)
    leaver.close()
    gevent.sleep(0.3)
    gate.set()
    assert cached(waiter.get()) == ["hit"]
    assert city.served == 1
