"""``POST /admin/explain`` says what then happens, and does nothing of it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.behaviour.world import Answer
from tests.governance.city import CHAT, City, keys, running_city
from tests.lifecycle.house import eventually
from tests.traffic.replay import Reply, Request

MASTER = "master"
CONFIG = (
    keys(
        ann="",
        few="{ requests = 20, per = 'hour' }",
        small="{ tokens = 60, per = 'hour', models = 'groq/*' }",
    )
    + """
[keys.poor]
key = "sk-poor"
tenant = "red"
budgets = [{ usd = 0.0002, per = "day" }]
[keys.sure]
key = "sk-sure"
tenant = "red"
budgets = [{ usd = 5, per = "day", unpriced = "deny" }]
[keys.narrow]
key = "sk-narrow"
tenant = "red"
models = ["two", "mistral/*"]
operations = ["chat_completion", "embedding"]
[providers.mistral]
api_key = "m"
base_url = "{upstream}/mistral/v1"
limits = [{ requests = 15, per = "hour" }]
[providers.anthropic]
api_key = "a"
base_url = "{upstream}/anthropic"
[providers.groq]
api_key = "g"
base_url = "{upstream}/groq"
prices = { "priced" = { input = 10, output = 100 } }
[models."two"]
target = "groq/priced"
fallbacks = ["mistral/small"]
[models."three"]
target = "cohere/x"
fallbacks = ["groq/free", "mistral/small"]
"""
)
MODELS = (
    "groq/priced",
    "groq/free",
    "mistral/small",
    "anthropic/claude-sonnet-4-5",
    "two",
    "three",
    "nobody/x",
    "cohere/x",
    "sandbox/echo",
)
EXTRAS: tuple[dict[str, Any], ...] = (
    {},
    {"temperature": 1.7},
    {"logit_bias": {"1": 2}, "seed": 4},
    {"max_tokens": 3},
    {"n": 2},
    {"unknown_member": 1},
    {"max_tokens": -1},
    {
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "tool_choice": "required",
    },
    {"fallbacks": ["mistral/small", "groq/free"]},
)
WAIT = re.compile(r"Try again in [0-9hms]+")
PATHS = (CHAT, "/v1/responses", "/openai/v1/chat/completions", "/anthropic/v1/messages", "/v1/embeddings")


def answered(request: Request) -> Reply:
    """Answer each of the three APIs with a small answer."""
    body = request.json()
    if request.path.endswith("/messages"):
        usage = {"input_tokens": 3, "output_tokens": 2}
        return Reply.json(
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": body["model"],
                "stop_reason": "end_turn",
            }
            | {"content": [{"type": "text", "text": "good"}], "stop_sequence": None, "usage": usage}
        )
    if request.path.endswith("/embeddings"):
        data = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
        return Reply.json(
            {"object": "list", "data": data, "model": "x", "usage": {"prompt_tokens": 1, "total_tokens": 1}}
        )
    choices = [
        {"index": place, "message": {"role": "assistant", "content": "good"}, "finish_reason": "stop"}
        for place in range(body.get("n") or 1)
    ]
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return Reply.json(
        {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": "x",
            "choices": choices,
            "usage": usage,
        }
    )


@pytest.fixture(scope="module")
def city() -> Iterator[City]:
    with running_city(CONFIG, script=answered, env={"SLUICE_MASTER_KEY": f"sk-{MASTER}"}) as running:
        yield running


def explained(city: City, path: str, key: str | None, body: Any) -> Answer:
    """Ask what a request would do."""
    asked = {"path": path, "body": body, **({"key": key} if key else {})}
    return city.client(MASTER).send("POST", "/admin/explain", asked)


def body_of(path: str, model: str, **more: Any) -> dict[str, Any]:
    """Return a small request at a path."""
    if path.endswith("/embeddings"):
        return {"model": model, "input": "hello", **more}
    if path.endswith("/responses"):
        return {"model": model, "input": "hello", "store": False, **more}
    return {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 20, **more}


def _message(answer: Answer) -> str:
    """Return what an error says, in the form of any surface."""
    error = answer.json.get("error", answer.json)
    return str(error["message"])


def is_settled(city: City, key: str) -> bool:
    """Tell whether no call that is over still holds what it reserved."""
    return not any(row["reserved"] for row in city.client(key).get("/v1/key").json["budgets"])


def random_request(seed: int) -> tuple[str, str, dict[str, Any]]:
    """Return a path, a key and a body."""
    chance = random.Random(seed)
    path, key = chance.choice(PATHS), chance.choice(("ann", "few", "small", "poor", "sure", "narrow"))
    return path, key, body_of(path, chance.choice(MODELS), **chance.choice(EXTRAS))


@pytest.mark.parametrize("seed", range(200))
def test_what_is_explained_is_what_happens(city: City, seed: int) -> None:
    path, key, body = random_request(seed)
    eventually(lambda: is_settled(city, key))  # an answer goes out before its call is charged
    before = city.served
    explanation = explained(city, path, key, body)
    assert explanation.status == 200, explanation.body
    assert city.served == before
    shown = explanation.json
    real = city.client(key).send("POST", path, body)
    where = (path, key, body, shown, real.status, real.body)
    if shown["refused"] is not None:
        assert real.status == shown["refused"]["status"], where
        assert WAIT.sub("", _message(real)) == WAIT.sub("", shown["refused"]["message"]), where
        return
    assert real.status == 200, where
    tried = [row for row in shown["targets"] if not row["reason"].startswith("passed over")]
    assert real.headers["x-sluice-provider"] == tried[0]["provider"], where
    assert real.headers["x-sluice-model"] == tried[0]["model"], where
    extra = real.json.get("extra_fields")
    if extra is not None:
        lost = [*tried[0]["adjusted"], *tried[0]["dropped"]]
        told_of = [{"param": one["param"], "message": one["message"]} for one in extra.get("warnings", [])]
        assert sorted(map(str, lost)) == sorted(map(str, told_of)), where


def test_the_explanation_has_the_members_of_the_contract(city: City) -> None:
    body = explained(city, CHAT, "poor", body_of(CHAT, "groq/priced")).json
    assert set(body) == {
        "object",
        "key",
        "limits",
        "budgets",
        "targets",
        "cost_estimate",
        "refused",
        "cache",
    }
    assert (body["object"], body["key"]["name"], body["cache"]) == ("explanation", "poor", "off")
    assert body["budgets"][0]["level"] == "key"
    (target,) = body["targets"]
    assert set(target) == {
        "provider",
        "model",
        "key",
        "reason",
        "mode",
        "cost_estimate",
        "adjusted",
        "dropped",
    }
    assert (target["provider"], target["mode"]) == ("groq", "translate")
    assert body["refused"]["status"] == 402
    assert body["refused"]["code"] == "budget_exceeded"


def test_the_key_is_known_by_name_or_id_and_may_be_left_out(city: City) -> None:
    for key in ("ann", "key_config.ann"):
        assert explained(city, CHAT, key, body_of(CHAT, "groq/free")).json["key"]["name"] == "ann"
    assert explained(city, CHAT, None, body_of(CHAT, "groq/free")).json["refused"] is None


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"path": CHAT, "body": {}, "key": "nobody"}, "key"),
        ({"path": CHAT, "body": {}, "key": "a\0b"}, "key"),
        ({"path": CHAT}, "body"),
        ({"path": CHAT, "body": [1]}, "body"),
        ({"body": {}}, "path"),
        ({"path": 7, "body": {}}, "path"),
        ({"path": CHAT, "body": {}, "more": 1}, "more"),
    ],
)
def test_bad_requests_say_what_and_where(city: City, asked: dict[str, Any], param: str) -> None:
    answer = city.client(MASTER).send("POST", "/admin/explain", asked)
    assert answer.status == 400
    assert answer.error["param"] == param


@pytest.mark.parametrize(
    "path", ["/v1/nothing", "/health", "/v1/conversations", "/v1/responses/resp_1/cancel", "//v1", "", "x"]
)
def test_a_path_that_asks_no_model_is_refused_and_does_nothing(city: City, path: str) -> None:
    answer = explained(city, path, "ann", {"metadata": {}})
    assert answer.status in (200, 400), answer.body
    if answer.status == 200:
        assert answer.json["refused"]["status"] in (400, 404)
