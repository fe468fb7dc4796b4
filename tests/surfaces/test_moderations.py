"""Moderation at its surfaces: the sandbox's judgements, what goes to providers, cost, and bad bodies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.behaviour.world import World, running_world
from tests.traffic.replay import Reply

SURFACES = (
    "/v1/moderations",
    "/moderations",
    "/openai/v1/moderations",
    "/openai/moderations?api-version=2024-10-21",
    "/openai/deployments/sandbox/echo/moderations",
    "/api/llm/moderations",
    "/api/llm/api/inference/openai/v1/moderations",
)
JUDGED = {"categories": {"violence": True}, "category_scores": {"violence": 0.9}, "flagged": True}
ENV = {"MISTRAL_API_KEY": "mistral-key", "MISTRAL_BASE_URL": "{upstream}/mistral"}


@pytest.fixture(scope="module")
def running() -> Iterator[World]:
    with running_world(ENV) as made:
        yield made


@pytest.fixture
def world(running: World) -> World:
    """The gateway, its fake provider emptied."""
    return running.fresh()


@pytest.mark.parametrize("path", SURFACES)
def test_each_text_is_judged_by_itself(world: World, path: str) -> None:
    body = {"model": "sandbox/echo", "input": ["a quiet walk", "I will kill you"]}
    answer = world.send("POST", path, body)
    assert answer.status == 200, answer.body
    calm, threat = answer.json["results"]
    assert (calm["flagged"], threat["flagged"]) == (False, True)
    assert {name for name, flagged in threat["categories"].items() if flagged} == {
        "harassment/threatening",
        "violence",
    }
    assert set(threat["category_scores"]) == set(threat["categories"])
    assert all(0 < score < 1 for one in (calm, threat) for score in one["category_scores"].values())
    assert answer.json["id"].startswith("modr-")
    assert answer.headers["x-sluice-provider"] == "sandbox"


def test_an_answer_says_what_it_is(world: World) -> None:
    answer = world.send("POST", "/v1/moderations", {"model": "sandbox/echo", "input": "hi"})
    assert answer.json["extra_fields"]["request_type"] == "moderation"
    assert answer.json["usage"]["prompt_tokens"] == 1


@pytest.mark.parametrize("path", ["/v1/moderations", "/openai/v1/moderations"])
def test_a_body_without_a_model_asks_openais_default(world: World, path: str) -> None:
    world.upstream.add(Reply.json({"id": "modr-1", "model": "m", "results": [JUDGED]}))
    answer = world.send("POST", path, {"input": "hi"})
    assert answer.status == 200, answer.body
    (request,) = world.upstream.requests
    assert request.path.endswith("/moderations")
    assert request.json() == {"model": "omni-moderation-latest", "input": "hi"}
    assert answer.json["id"] == "modr-1"
    assert answer.json["usage"]["cost"] == 0
    assert answer.json["usage"]["cost_details"]["source"] == "catalogue"
    assert float(answer.headers["x-sluice-cost"]) == 0


def test_mistral_is_sent_one_text_and_its_own_categories_come_back(world: World) -> None:
    own = {"categories": {"pii": True, "law": False}, "category_scores": {"pii": 0.75, "law": 0.25}}
    world.upstream.add(Reply.json({"id": "x", "model": "mistral-moderation-2411", "results": [own]}))
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    answer = world.send("POST", "/v1/moderations", {"model": "mistral/mistral-moderation", "input": parts})
    (request,) = world.upstream.requests
    assert request.json() == {"model": "mistral-moderation", "input": "one\ntwo"}
    (result,) = answer.json["results"]
    assert result == {
        **own,
        "flagged": True,
        "category_applied_input_types": {"pii": ["text"], "law": ["text"]},
    }
    assert answer.json["usage"]["cost"] is None


@pytest.mark.parametrize(
    "answered",
    [
        {},
        {"results": []},
        {"results": [JUDGED, JUDGED]},
        {"results": [{"flagged": True}]},
        {"results": [{**JUDGED, "categories": {"violence": "yes"}}]},
        {"results": [{**JUDGED, "category_scores": {"violence": "high"}}]},
        [],
        None,
    ],
)
def test_what_is_no_judgement_is_the_providers_fault(world: World, answered: Any) -> None:
    world.upstream.add(Reply.json(answered), times=2)
    answer = world.send("POST", "/v1/moderations", {"model": "openai/omni-moderation-latest", "input": "hi"})
    assert (answer.status, answer.error["code"]) == (502, "upstream_invalid_response")


def test_a_fallback_judges_where_the_first_cannot(world: World) -> None:
    body = {"model": "groq/x", "input": "hi", "fallbacks": ["sandbox/echo"]}
    answer = world.send("POST", "/v1/moderations", body)
    assert (answer.status, answer.headers["x-sluice-provider"]) == (200, "sandbox")
    alone = world.send("POST", "/v1/moderations", {"model": "groq/x", "input": "hi"})
    assert (alone.status, alone.error["code"]) == (400, "unsupported_operation")
    assert "'moderation'" in alone.error["message"]


PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}


@pytest.mark.parametrize(
    ("value", "param"),
    [
        (None, "input"),
        (7, "input"),
        ({"text": "hi"}, "input"),
        ([], "input"),
        (["one", 2], "input[1]"),
        (["one", PICTURE], "input[1]"),
        ([PICTURE, "one"], "input[1]"),
        ([7], "input[0]"),
        ([{"type": "audio"}], "input[0].type"),
        ([{"text": "hi"}], "input[0].type"),
        ([{"type": "text"}], "input[0].text"),
        ([{"type": "image_url"}], "input[0].image_url"),
        ([{"type": "image_url", "image_url": "https://example.com"}], "input[0].image_url"),
        ([{"type": "image_url", "image_url": {}}], "input[0].image_url.url"),
        (["x"] * 10_001, "input"),
    ],
)
def test_a_bad_body_is_named(world: World, value: Any, param: str) -> None:
    answer = world.send("POST", "/v1/moderations", {"model": "sandbox/echo", "input": value})
    assert (answer.status, answer.error["param"]) == (400, param)
    assert answer.json["extra_fields"]["request_type"] == "moderation"


def test_the_sandbox_fails_when_it_is_told_to(world: World) -> None:
    answer = world.send("POST", "/v1/moderations", {"model": "sandbox/x", "input": "fail with 429"})
    assert answer.status == 429
