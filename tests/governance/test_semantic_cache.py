"""The semantic cache at the HTTP edge: like questions have one answer, where all else is equal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.behaviour.world import chat_body
from tests.governance.city import CHAT, City, good, keys, running_city
from tests.governance.test_cache import cached
from tests.lifecycle.house import eventually
from tests.traffic.replay import Reply, Request

CONFIG = (
    keys(ann="", limited="{ requests = 100, per = 'hour' }")
    + """
[keys.narrow]
key = "sk-narrow"
tenant = "red"
models = ["groq/*"]
[keys.blue]
key = "sk-blue"
tenant = "blue"
[server]
cache = { ttl = "5m", semantic = { model = "sandbox/embedding", threshold = 0.6 } }
[models."exact"]
target = "groq/x"
cache = { ttl = "5m" }
[models."broken"]
target = "groq/x"
cache = { ttl = "5m", semantic = { model = "groq/none" } }
"""
)
ASKED = "What is the capital city of France?"
LIKE = "What is the capital city of France please?"
OTHER = "Write a poem about horses"


@pytest.fixture(scope="module")
def running() -> Iterator[City]:
    with running_city(CONFIG, env={"SLUICE_MASTER_KEY": "sk-master"}) as city:
        yield city


@pytest.fixture
def city(running: City) -> City:
    assert running.client("master").send("DELETE", "/admin/cache").status == 200
    running.upstream.forget()
    running.upstream.script = good
    return running


def ask(city: City, words: str, key: str = "ann", **more: Any) -> Any:
    headers = more.pop("headers", {})
    body = {"model": "groq/x", "messages": [{"role": "user", "content": words}], **more}
    answer = city.client(key).send("POST", CHAT, body, headers=headers)
    assert answer.status == 200, answer.body
    return answer


def test_a_like_question_has_the_same_answer_and_another_has_not(city: City) -> None:
    first, like, other = ask(city, ASKED), ask(city, LIKE), ask(city, OTHER)
    assert cached(first, like, other) == ["miss", "hit", "miss"]
    assert city.served == 2
    assert like.json["choices"] == first.json["choices"]
    assert like.json["id"] != first.json["id"]
    assert like.json["usage"]["cost"] == 0
    missed, debug = (one.json["extra_fields"]["cache_debug"] for one in (first, like))
    assert (missed["cache_hit"], missed["threshold"]) == (False, 0.6)
    assert "hit_type" not in missed
    assert debug["hit_type"] == "semantic"
    assert debug["cache_id"] == missed["cache_id"]
    assert 0.6 <= debug["similarity"] < 1
    assert (debug["provider_used"], debug["model_used"]) == ("sandbox", "embedding")
    assert debug["input_tokens"] > 0
    assert debug["threshold"] == 0.6


def test_the_very_question_is_a_direct_hit(city: City) -> None:
    ask(city, ASKED)
    debug = ask(city, ASKED).json["extra_fields"]["cache_debug"]
    assert debug["hit_type"] == "direct"


def test_a_like_question_is_answered_as_a_stream_too(city: City) -> None:
    ask(city, ASKED)
    answer = ask(city, LIKE, stream=True)
    assert cached(answer) == ["hit"]
    assert b'"semantic"' in answer.body
    assert answer.body.rstrip().endswith(b"data: [DONE]")


@pytest.mark.parametrize(
    "more",
    [
        {"temperature": 0.3},
        {"model": "groq/y"},
        {"key": "blue"},
        {"headers": {"x-bf-cache-key": "mine"}},
        {"headers": {"x-bf-cache-type": "direct"}},
        {"headers": {"x-bf-cache-threshold": "0.999"}},
        {"headers": {"cache-control": "no-cache"}},
        {"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": LIKE}]},
        {"messages": [{"role": "user", "content": LIKE}] * 4},
    ],
    ids=str,
)
def test_all_else_must_be_equal(city: City, more: dict[str, Any]) -> None:
    ask(city, ASKED)
    assert cached(ask(city, LIKE, **more)) != ["hit"]
    assert city.served == 2


def test_a_call_may_ask_for_like_questions_alone_and_how_like(city: City) -> None:
    first = ask(city, ASKED)
    same = ask(city, ASKED, headers={"x-bf-cache-type": "semantic"})
    debug = same.json["extra_fields"]["cache_debug"]
    assert (debug["hit_type"], debug["cache_id"]) == (
        "semantic",
        first.json["extra_fields"]["cache_debug"]["cache_id"],
    )
    assert debug["similarity"] > 0.999
    far = ask(city, "What is a capital?", headers={"x-bf-cache-threshold": "0.1"})
    assert cached(far) == ["hit"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", lambda words: {"input": words, "store": False}),
        (
            "/anthropic/v1/messages",
            lambda words: {"max_tokens": 9, "messages": [{"role": "user", "content": words}]},
        ),
        ("/cohere/v2/chat", lambda words: {"messages": [{"role": "user", "content": words}]}),
    ],
    ids=["responses", "messages", "cohere"],
)
def test_other_surfaces_compare_too(city: City, path: str, body: Any) -> None:
    answers = [
        city.client().send("POST", path, {"model": "groq/x", **body(words)}) for words in (ASKED, LIKE)
    ]
    assert cached(*answers) == ["miss", "hit"]


def test_an_answer_that_was_taken_away_answers_no_like_question(city: City) -> None:
    body = {"model": "groq/x", "input": ASKED}
    first = city.client().send("POST", "/v1/responses", body).json
    assert city.client().send("DELETE", f"/v1/responses/{first['id']}").status == 200
    assert cached(city.client().send("POST", "/v1/responses", {**body, "input": LIKE})) == ["miss"]
    ask(city, ASKED)
    city.client("master").send("DELETE", "/admin/cache")
    assert cached(ask(city, LIKE)) == ["miss"]


def test_the_embedding_is_paid_by_who_asks_and_needs_no_leave(city: City) -> None:
    ask(city, ASKED, "narrow")
    request = ask(city, LIKE, "narrow").headers["x-request-id"]
    admin = city.client("master")
    path = "/admin/ledger?key=narrow&limit=100"
    rows = eventually(
        lambda: (
            (found := [r for r in admin.send("GET", path).json["data"] if r["call_id"] == request])[1:]
            and found
        )
    )
    assert sorted((row["state"], row["provider"]) for row in rows) == [
        ("cached", "groq"),
        ("settled", "sandbox"),
    ]
    (call,) = eventually(lambda: admin.send("GET", f"/admin/calls?request_id={request}").json["data"])
    for kind, count in call["usage"].items():
        assert count == sum(row["usage"][kind] for row in rows), kind
    usage = admin.send("GET", "/admin/usage?group_by=key,request_type").json["data"]
    (sums,) = (row for row in usage if row["key"] == "narrow")
    assert (sums["calls"], sums["cache_hits"], sums["unpriced"]) == (2, 1, 2)  # no vector has a known price


def test_without_semantic_there_is_none(city: City) -> None:
    assert cached(ask(city, ASKED, model="exact"), ask(city, LIKE, model="exact")) == ["miss", "miss"]
    refused = city.client().send(
        "POST", CHAT, {"model": "exact", "messages": []}, headers={"x-bf-cache-type": "semantic"}
    )
    assert (refused.status, refused.json["error"]["param"]) in {(400, "x-bf-cache-type"), (400, "messages")}


def test_an_embedding_that_fails_is_a_miss(city: City) -> None:
    def script(request: Request) -> Reply:
        if "embeddings" in request.path:
            return Reply.json({"error": {"message": "no"}}, status=500)
        return Reply.json(chat_body())

    city.upstream.script = script
    answers = [ask(city, words, model="broken") for words in (ASKED, LIKE, ASKED)]
    assert cached(*answers) == ["miss", "miss", "hit"]
