"""Idempotency-Key at every surface: one run, its answer again, and the refusals (docs/governance.md)."""

from __future__ import annotations

import http.client
import json
import resource
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from tests.behaviour.world import Answer, chat_body, chat_stream
from tests.governance.city import CHAT, PROMPT, City, good, running_city
from tests.lifecycle.house import Client, children_of, eventually, kill
from tests.services import new_postgres
from tests.traffic.replay import Reply, Request

CONFIG = """
[keys.ann]
key = "sk-ann"
tenant = "red"
[keys.bob]
key = "sk-bob"
tenant = "red"
[keys.blue]
key = "sk-blue"
tenant = "blue"
[keys.few]
key = "sk-few"
tenant = "red"
limits = [{ requests = 1, per = "day" }]
[keys.narrow]
key = "sk-narrow"
tenant = "red"
models = ["groq/other"]
[models."quick"]
target = "groq/x"
"""
CROWD = 64
LARGE = 1024 * 1024 + 1


@pytest.fixture(scope="module")
def running() -> Iterator[City]:
    with running_city(CONFIG, env={"SLUICE_MASTER_KEY": "sk-master", "SLUICE_SECRET_KEY": "s"}) as city:
        yield city


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex


def post(
    city: City, key: str, body: Any = PROMPT, path: str = CHAT, *, who: str = "ann", **headers: str
) -> Answer:
    return city.client(who).send("POST", path, body, {"idempotency-key": key, **headers})


def replays(*answers: Answer) -> list[str | None]:
    return [answer.headers.get("idempotent-replayed") for answer in answers]


SURFACES: dict[str, tuple[str, dict[str, Any]]] = {
    "unified chat": (CHAT, PROMPT),
    "openai": ("/openai/v1/chat/completions", PROMPT),
    "azure": ("/openai/deployments/groq/x/chat/completions?api-version=2025-04-01-preview", PROMPT),
    "truefoundry": ("/api/llm/api/inference/openai/chat/completions", PROMPT),
    "responses": ("/v1/responses", {"model": "groq/x", "input": "hi"}),
    "completions": ("/v1/completions", {"model": "sandbox/echo", "prompt": "hi"}),
    "embeddings": ("/v1/embeddings", {"model": "sandbox/echo", "input": "hi"}),
    "speech": ("/v1/audio/speech", {"model": "sandbox/echo", "input": "hi", "voice": "alloy"}),
    "rerank": ("/v1/rerank", {"model": "sandbox/echo", "query": "a", "documents": ["a", "b"]}),
    "anthropic": ("/anthropic/v1/messages", {**PROMPT, "max_tokens": 9}),
    "gemini": (
        "/genai/v1beta/models/groq/x:generateContent",
        {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
    ),
    "bedrock": (
        "/bedrock/model/groq%2Fx/converse",
        {"messages": [{"role": "user", "content": [{"text": "hi"}]}]},
    ),
    "cohere": ("/cohere/v2/chat", PROMPT),
    "conversations": ("/v1/conversations", {"metadata": {"topic": "demo"}}),
}


@pytest.mark.parametrize("surface", SURFACES)
def test_the_first_answer_comes_again_at_every_surface(city: City, key: str, surface: str) -> None:
    path, body = SURFACES[surface]
    first, second = post(city, key, body, path), post(city, key, body, path)
    assert (first.status, second.status) == (200, 200), first.body
    assert replays(first, second) == [None, "true"]
    assert second.body == first.body
    assert second.headers["content-type"] == first.headers["content-type"]
    assert second.headers["x-request-id"] != first.headers["x-request-id"]
    provider = "x-sluice-provider"
    assert second.headers.get(provider) == first.headers.get(provider)
    assert city.served <= 1


@pytest.mark.parametrize("surface", sorted(set(SURFACES) - {"speech"}))
def test_another_body_under_the_same_key_is_refused_at_every_surface(
    city: City, key: str, surface: str
) -> None:
    path, body = SURFACES[surface]
    assert post(city, key, body, path).status == 200
    changed = (
        {**body, "metadata": {"topic": "other"}} if surface == "conversations" else _with_other_words(body)
    )
    answer = post(city, key, changed, path)
    assert answer.status == 422, answer.body
    assert b"Idempotency-Key" in answer.body
    assert city.served <= 1


def _with_other_words(body: dict[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = json.loads(json.dumps(body).replace('"hi"', '"ho"').replace('"a"', '"c"'))
    assert changed != body
    return changed


def test_the_refusals_are_named(city: City, key: str) -> None:
    post(city, key)
    error = post(city, key, {**PROMPT, "temperature": 0}).error
    assert error["code"] == "idempotency_key_reused"
    assert error["type"] == "invalid_request_error"


def test_the_order_of_members_does_not_matter(city: City, key: str) -> None:
    body = {**PROMPT, "temperature": 0.5, "user": "u"}
    turned = dict(reversed(body.items()))
    assert list(turned) != list(body)
    assert replays(post(city, key, body), post(city, key, turned)) == [None, "true"]
    assert city.served == 1


def test_numbers_of_one_value_are_one_body(city: City, key: str) -> None:
    plain = {**PROMPT, "temperature": 1, "max_tokens": 100}
    other = json.dumps(PROMPT)[:-1] + ', "temperature": 1.0, "max_tokens": 1e2}'
    headers = {"idempotency-key": key, "content-type": "application/json"}
    again = city.client().send("POST", CHAT, other.encode(), headers)
    assert replays(again, post(city, key, plain)) == [None, "true"]
    assert city.served == 1


@pytest.mark.parametrize("who", ["bob", "blue"])
def test_a_key_is_its_callers_own(city: City, key: str, who: str) -> None:
    assert replays(post(city, key), post(city, key, who=who)) == [None, None]
    assert city.served == 2


def test_a_new_client_key_of_an_old_name_gets_no_answer_of_the_old_one(city: City, key: str) -> None:
    answers = []
    for models in (["groq/*"], ["groq/x"]):
        body = (
            city.client("master")
            .post("/admin/keys", {"tenant": "red", "name": "again", "models": models})
            .json
        )
        client = Client(city.gateways[0].port, body["key"])
        answers += [client.send("POST", CHAT, PROMPT, {"idempotency-key": key}) for _ in range(2)]
        assert city.client("master").send("DELETE", f"/admin/keys/{body['id']}").status == 200
    assert replays(*answers) == [None, "true", None, "true"]


@pytest.mark.parametrize(
    ("model", "models", "replayed"),
    [
        ("groq/x", ["groq/other"], False),
        ("groq/x", ["groq/x"], True),
        ("quick", ["groq/other"], False),
        ("quick", ["quick"], True),
        ("quick", ["groq/x"], True),
    ],
)
def test_an_answer_comes_again_only_while_its_model_is_allowed(
    city: City, key: str, model: str, models: list[str], replayed: bool
) -> None:
    master = city.client("master")
    owner = master.post("/admin/keys", {"tenant": "red", "name": f"n{key}"}).json
    client, body = Client(city.gateways[0].port, owner["key"]), {**PROMPT, "model": model}
    first = client.send("POST", CHAT, body, {"idempotency-key": key})
    assert (first.status, ":asked" in first.headers) == (200, False)
    assert master.send("PATCH", f"/admin/keys/{owner['id']}", {"models": models}).status == 200
    eventually(lambda: client.get("/v1/key").json["models"] == models)
    again = client.send("POST", CHAT, body, {"idempotency-key": key})
    if replayed:
        assert (replays(again), again.body, ":asked" in again.headers) == (["true"], first.body, False)
    else:
        assert (again.status, again.error["code"], again.error["param"]) == (
            403,
            "permission_denied",
            "model",
        )
    assert city.served == 1


def test_a_key_belongs_to_one_path(city: City, key: str) -> None:
    assert replays(post(city, key), post(city, key, path="/openai/v1/chat/completions")) == [None, None]


def test_without_the_header_nothing_is_kept(city: City) -> None:
    answers = [city.ask() for _ in range(2)]
    assert replays(*answers) == [None, None]
    assert city.served == 2


@pytest.mark.parametrize("header", ["k" * 256, "two words", "tab\there", "ümlaut", ""])
def test_a_header_that_is_no_key_is_refused_by_name(city: City, header: str) -> None:
    answer = city.client("ann").send(
        "POST", CHAT, PROMPT, {"idempotency-key": header.encode().decode("latin-1")}
    )
    assert answer.status == 400
    assert "Idempotency-Key" in answer.error["message"]
    assert "255" in answer.error["message"]
    assert city.served == 0


@pytest.mark.parametrize("key", ["k" * 255, "!", "~" * 9])
def test_keys_at_the_edges(city: City, key: str) -> None:
    assert replays(post(city, key), post(city, key)) == [None, "true"]


def streamed(request: Request) -> Reply:
    return Reply.sse(chat_stream("one ", "by ", "one"), delay=0.02)


STREAMS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (CHAT, PROMPT),
    "responses": ("/v1/responses", {"model": "groq/x", "input": "hi"}),
    "messages": ("/anthropic/v1/messages", {**PROMPT, "max_tokens": 9}),
    "converse": ("/bedrock/model/groq%2Fx/converse-stream", SURFACES["bedrock"][1]),
    "gemini": ("/genai/v1beta/models/groq/x:streamGenerateContent?alt=sse", SURFACES["gemini"][1]),
}


@pytest.mark.parametrize("stream", STREAMS)
def test_a_stream_comes_again_as_a_stream(city: City, key: str, stream: str) -> None:
    path, body = STREAMS[stream]
    city.upstream.script = streamed
    asked = body if "ream" in path else {**body, "stream": True}
    first, second = post(city, key, asked, path), post(city, key, asked, path)
    assert first.status == 200
    assert b"one" in first.body
    assert replays(first, second) == [None, "true"]
    assert _without_comments(second.body) == _without_comments(first.body)
    assert second.headers["content-type"] == first.headers["content-type"]
    assert city.served == 1


ENDS: dict[str, tuple[str, dict[str, Any], bytes, bytes]] = {
    "chat": (*STREAMS["chat"], b"[DONE]", b'"error":{'),
    "responses": (
        STREAMS["responses"][0],
        {**STREAMS["responses"][1], "store": False},
        b"response.completed",
        b"event: response.failed",
    ),
    "messages": (*STREAMS["messages"], b"message_stop", b"event: error"),
    "converse": (*STREAMS["converse"], b"\x08metadata", b"Exception"),
    "gemini": (*STREAMS["gemini"], b"usageMetadata", b'"error":{'),
    "gemini array": (
        STREAMS["gemini"][0].removesuffix("?alt=sse"),
        *STREAMS["gemini"][1:],
        b"usageM",
        b'"error":{',
    ),
    "cohere": (*SURFACES["cohere"], b"COMPLETE", b'"finish_reason":"ERROR"'),
}


@pytest.mark.parametrize("pieces", [1, 3, 700])
@pytest.mark.parametrize("stream", ENDS)
def test_a_stream_that_a_full_disk_cannot_keep_ends_in_an_error(
    city: City, key: str, stream: str, pieces: int
) -> None:
    path, body, end, error = ENDS[stream]
    workers = children_of(city.gateways[0].process)
    words = [f"w{number} " for number in range(pieces)]

    def fill(request: Request) -> Reply:
        for pid in workers:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        return Reply.sse(chat_stream(*words), delay=0.02 if pieces == 3 else 0)

    city.upstream.script = fill
    answer = post(city, key, body if "ream" in path else {**body, "stream": True}, path)
    for pid in workers:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert answer.status == 200
    whole = [answer.body.count(f'"{word}"'.encode()) for word in words]
    assert whole == [1] * pieces or pieces == 1
    assert end not in answer.body
    assert answer.body.count(error) == 1


def _without_comments(body: bytes) -> bytes:
    return b"\n".join(line for line in body.split(b"\n") if not line.startswith(b":"))


def test_sound_comes_again_as_it_was(city: City, key: str) -> None:
    body = {"model": "sandbox/echo", "input": "hi", "voice": "alloy", "stream_format": "audio"}
    first, second = (post(city, key, body, "/v1/audio/speech") for _ in range(2))
    assert first.body
    assert replays(first, second) == [None, "true"]
    assert (second.body, second.headers["content-type"]) == (first.body, first.headers["content-type"])


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_a_refusal_that_would_come_again_is_kept(city: City, key: str, status: int) -> None:
    city.upstream.script = lambda request: Reply.json({"error": {"message": "no"}}, status)
    first = post(city, key)
    assert first.status == status, first.body
    city.upstream.script = good
    second = post(city, key)
    assert replays(second) == ["true"]
    assert (second.status, second.body) == (first.status, first.body)
    assert city.served == 1


def test_a_refusal_that_names_its_request_comes_again_with_that_name(city: City, key: str) -> None:
    city.upstream.script = lambda request: Reply.json({"error": {"message": "no"}}, 400)
    path, body = SURFACES["anthropic"]
    first, second = post(city, key, body, path), post(city, key, body, path)
    assert (second.body, replays(second)) == (first.body, ["true"])
    assert second.headers["request-id"] == second.json["request_id"] == first.headers["x-request-id"]
    assert second.headers["x-request-id"] != first.headers["x-request-id"]


@pytest.mark.parametrize("status", [401, 403, 409, 429, 500, 503])
def test_a_refusal_of_the_moment_is_not_kept(city: City, key: str, status: int) -> None:
    city.upstream.script = lambda request: Reply.json({"error": {"message": "no"}}, status)
    assert post(city, key).status >= 400
    city.upstream.script = good
    second = post(city, key)
    assert (second.status, replays(second)) == (200, [None])


def test_what_our_own_limits_and_allowances_refuse_is_not_kept(city: City) -> None:
    assert post(city, "one", who="few").status == 200
    assert [post(city, "two", who="few").status for _ in range(2)] == [429, 429]
    assert post(city, "one", who="few").status == 200, "the first answer needs no limit"
    assert [post(city, "three", who="narrow").status for _ in range(2)] == [403, 403]
    assert replays(post(city, "three", {**PROMPT, "model": "groq/other"}, who="narrow")) == [None]


def test_a_malformed_body_claims_no_key(city: City, key: str) -> None:
    assert post(city, key, {"model": "groq/x", "messages": "none"}).status == 400
    assert post(city, key, b"{").status == 400
    assert replays(post(city, key)) == [None]


def test_a_full_disk_hides_no_refusal_of_the_moment(city: City) -> None:
    """The keys come free when their leases end, so nothing that was promised is broken; all wait for that at once."""
    workers = children_of(city.gateways[0].process)
    cases = [(status, stream, uuid.uuid4().hex) for status in (429, 500) for stream in (False, True)]
    for status, stream, key in cases:

        def refuse(request: Request, status: int = status) -> Reply:
            for pid in workers:
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
            return Reply.json({"error": {"message": "no"}}, status)

        city.upstream.script = refuse
        answer = post(city, key, {**PROMPT, "stream": stream})
        for pid in workers:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert answer.status == status, answer.body
    city.upstream.script = good
    for _, stream, key in cases:
        eventually(lambda: post(city, key, {**PROMPT, "stream": stream}).status == 200)  # noqa: B023 - asked at once


def test_a_stream_that_failed_is_not_kept(city: City, key: str) -> None:
    body = {**PROMPT, "stream": True}
    words = [f"word{number} " for number in range(20)]
    city.upstream.script = lambda request: Reply.sse(chat_stream(*words), delay=0.02, cut=2000)
    first = post(city, key, body)
    assert first.status == 200
    assert b"word19" not in first.body
    city.upstream.script = streamed
    second = post(city, key, body)
    assert replays(second) == [None]
    assert b"DONE" in second.body


def test_an_answer_that_is_too_large_is_not_made_again(city: City, key: str) -> None:
    city.upstream.script = lambda request: Reply.json(chat_body("x" * LARGE))
    assert post(city, key).status == 200
    error = post(city, key).error
    assert error["code"] == "idempotency_key_used"
    assert city.served == 1


def test_while_the_first_runs_the_second_is_told_to_wait(city: City, key: str) -> None:
    gate = threading.Event()

    def slow(request: Request) -> Reply:
        gate.wait(10)
        return good(request)

    city.upstream.script = slow
    first = gevent.spawn(post, city, key)
    eventually(lambda: city.served == 1)
    second = post(city, key)
    gate.set()
    assert second.status == 409
    assert second.error["code"] == "idempotency_key_in_progress"
    assert int(second.headers["retry-after"]) >= 1
    assert first.get().status == 200
    assert replays(post(city, key)) == ["true"]


def test_a_background_response_is_the_same_row(city: City, key: str) -> None:
    body = {"model": "sandbox/echo", "input": "say exactly: later", "background": True}
    first, second = post(city, key, body, "/v1/responses"), post(city, key, body, "/v1/responses")
    assert replays(first, second) == [None, "true"]
    assert first.json["id"] == second.json["id"]
    city.client("ann").ended(first.json["id"])


def test_the_events_of_a_background_response_are_followed_again(city: City, key: str) -> None:
    body = {"model": "sandbox/echo", "input": "say exactly: later", "background": True, "stream": True}
    first, second = post(city, key, body, "/v1/responses"), post(city, key, body, "/v1/responses")
    assert replays(first, second) == [None, "true"]
    assert [e for e in second.events if e != "[DONE]"] == [e for e in first.events if e != "[DONE]"]


def form(boundary: str, text: bytes, model: str = "sandbox/echo") -> bytes:
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="model"\r\n\r\n{model}\r\n'.encode(),
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
        "Content-Type: audio/wav\r\n\r\n".encode(),
        text,
        f"\r\n--{boundary}--\r\n".encode(),
    ]
    return b"".join(parts)


def test_equal_fields_and_files_are_the_same_form(city: City, key: str) -> None:
    def send(boundary: str, text: bytes) -> Answer:
        kind = f"multipart/form-data; boundary={boundary}"
        return post(city, key, form(boundary, text), "/v1/audio/transcriptions", **{"content-type": kind})

    answers = [send("one", b"RIFF sound"), send("another", b"RIFF sound")]
    assert [answer.status for answer in answers] == [200, 200], answers[0].body
    assert replays(*answers) == [None, "true"]
    assert send("one", b"RIFF other").status == 422


def leave(city: City, key: str, body: dict[str, Any], path: str, *, after: bytes = b"") -> None:
    """Ask, and close the connection once ``after`` was read."""
    connection: http.client.HTTPConnection = city.client("ann").open(
        "POST", path, body, {"idempotency-key": key}
    )
    eventually(lambda: city.served == 1)
    if after:
        answer = connection.getresponse()
        while after not in answer.readline():
            continue
    assert connection.sock is not None or after
    connection.close()


@pytest.mark.parametrize("stream", [False, True])
def test_a_stored_answer_is_made_for_the_retry_of_a_client_that_left(
    city: City, key: str, stream: bool
) -> None:
    body = {"model": "groq/x", "input": "hi", "store": True, "stream": stream}
    words = [f"word{number} " for number in range(20)]
    city.upstream.script = lambda request: (
        Reply.sse(chat_stream(*words), delay=0.05) if stream else Reply.json(chat_body(), wait=0.6)
    )
    leave(city, key, body, "/v1/responses", after=b"word0" if stream else b"")

    def retried() -> Answer | None:
        answer = post(city, key, body, "/v1/responses")
        return None if answer.status == 409 else answer

    answer = eventually(retried)
    assert replays(answer) == ["true"]
    assert city.served == 1
    if stream:
        assert b"word19" in answer.body
        assert b"response.completed" in answer.body


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_not_stored_frees_its_key_when_the_client_leaves(city: City, key: str, stream: bool) -> None:
    body = {**PROMPT, "stream": stream}
    words = [f"word{number} " for number in range(60)]
    city.upstream.script = lambda request: (
        Reply.sse(chat_stream(*words), delay=0.05) if stream else Reply.json(chat_body(), wait=2)
    )
    leave(city, key, body, CHAT, after=b"word0" if stream else b"")
    city.upstream.script = streamed if stream else good

    def retried() -> Answer | None:
        answer = post(city, key, body)
        return None if answer.status == 409 else answer

    assert replays(eventually(retried)) == [None]


@pytest.fixture(scope="module", params=["two gateways over PostgreSQL", "one gateway over SQLite"])
def together(request: pytest.FixtureRequest) -> Iterator[City]:
    env = {"SLUICE_SECRET_KEY": "s", "SLUICE_ENCRYPT": "on"}
    if "SQLite" in request.param:
        with running_city(CONFIG, workers=2, env=env) as city:
            yield city
        return
    with new_postgres() as database:
        with running_city(CONFIG, gateways=2, workers=2, env={**env, "DATABASE_URL": database}) as city:
            yield city


def test_of_a_crowd_with_one_key_one_goes_out(together: City, key: str) -> None:
    together.upstream.forget()
    together.upstream.script = lambda request: Reply.json(chat_body(), wait=0.5)

    def ask(number: int) -> Answer:
        client = together.client("ann", number % len(together.gateways))
        return client.send("POST", CHAT, PROMPT, {"idempotency-key": key})

    calls = [gevent.spawn(ask, number) for number in range(CROWD)]
    gevent.joinall(calls, raise_error=True)
    counted = Counter(one.value.status for one in calls)
    assert set(counted) <= {200, 409}
    assert together.served == 1
    assert ask(0).headers["idempotent-replayed"] == "true"


def test_a_killed_process_leaves_no_key_locked(together: City, key: str) -> None:
    together.upstream.forget()
    together.upstream.script = lambda request: Reply.json(chat_body(), wait=30)
    waiting = [
        together.client("ann", number).open("POST", CHAT, PROMPT, {"idempotency-key": key})
        for number in range(len(together.gateways))
    ]
    eventually(lambda: together.served == 1)
    for gateway in together.gateways:
        for child in children_of(gateway.process):
            kill(child)
    began = time.monotonic()
    for connection in waiting:
        connection.close()
    together.upstream.script = good

    def retried() -> bool:
        answer = together.client("ann").send("POST", CHAT, PROMPT, {"idempotency-key": key})
        return answer.status == 200

    def retry() -> bool:
        try:
            return retried()
        except OSError:  # the worker that the gateway starts anew does not listen yet
            return False

    eventually(retry, 20)
    assert time.monotonic() - began < 15 + 5, "a lease is twelve seconds, and a worker has to start"
