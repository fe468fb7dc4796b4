"""Moderation, translation and pictures are governed as everything is: keys, budgets, the call log, explanations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app.providers.sandbox.images import draw
from tests.behaviour.test_forms import form
from tests.behaviour.test_forms_of_pictures import HEAD, picture_form
from tests.behaviour.world import Answer, World, running_world
from tests.lifecycle.house import eventually
from tests.traffic.replay import Reply

MASTER = "sk-master-0123456789"
CONFIG = """
[keys.painter]
key = "sk-painter"
tenant = "red"
operations = ["image_generation"]
[keys.critic]
key = "sk-critic"
tenant = "red"
operations = ["moderation", "translation"]
[keys.poor]
key = "sk-poor"
tenant = "red"
budgets = [{ usd = 0.02, per = "day" }]
[keys.slow]
key = "sk-slow"
tenant = "red"
limits = [{ tokens = 1000, per = "hour" }]
"""
USAGE = {"input_tokens": 2, "output_tokens": 272, "total_tokens": 274}
DRAWN = {"created": 1, "data": [{"b64_json": "QUJD"}], "usage": USAGE}
LOW = {"model": "openai/gpt-image-2", "prompt": "a barn", "size": "1024x1024", "quality": "low"}
IMAGES = "/v1/images/generations"


@pytest.fixture(scope="module")
def running() -> Iterator[World]:
    with running_world({"SLUICE_MASTER_KEY": MASTER}, config=CONFIG) as made:
        yield made


@pytest.fixture
def world(running: World) -> World:
    """The gateway, its fake provider emptied."""
    return running.fresh()


def ask_operation(world: World, key: str, operation: str) -> Answer:
    """Put one request of an operation with a key."""
    bearer = {"authorization": f"Bearer {key}"}
    body = {"model": "sandbox/x", "prompt": "a barn", "input": "hi", "size": "8x8"}
    if operation == "translation":
        return world.send("POST", "/v1/audio/translations", form([("model", "sandbox/x")]), HEAD | bearer)
    if operation in ("image_edit", "image_variation"):
        path = "/v1/images/" + ("edits" if operation == "image_edit" else "variations")
        fields = {name: str(value) for name, value in body.items()}
        return world.send("POST", path, picture_form(fields, ("image", draw("x", 8, 8))), HEAD | bearer)
    path = IMAGES if operation == "image_generation" else "/v1/moderations"
    return world.send("POST", path, body, bearer)


OPERATIONS = ("moderation", "translation", "image_generation", "image_edit", "image_variation")
MAY = {"painter": {"image_generation"}, "critic": {"moderation", "translation"}}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("key", MAY)
def test_a_key_may_do_what_its_operations_name(world: World, key: str, operation: str) -> None:
    assert ask_operation(world, f"sk-{key}", operation).status == (200 if operation in MAY[key] else 403)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_call_has_a_row_in_the_log(world: World, operation: str) -> None:
    key = "sk-slow" if operation.startswith("image_") and operation != "image_generation" else None
    key = key or ("sk-painter" if operation == "image_generation" else "sk-critic")
    request_id = ask_operation(world, key, operation).headers["x-request-id"]
    master = {"authorization": f"Bearer {MASTER}"}

    def rows() -> list[Any]:
        listed = world.send("GET", f"/admin/calls?request_id={request_id}", headers=master).json["data"]
        return [row for row in listed if row["request_id"] == request_id]

    (row,) = eventually(rows)
    assert (row["request_type"], row["provider"], row["status"]) == (operation, "sandbox", 200)


def test_a_budget_reserves_a_picture_by_size_and_quality_and_settles_it(world: World) -> None:
    bearer = {"authorization": "Bearer sk-poor"}
    dear = world.send("POST", IMAGES, {**LOW, "quality": "high"}, bearer)
    assert (dear.status, dear.error["code"]) == (402, "budget_exceeded")
    assert not world.upstream.requests
    world.upstream.add(Reply.json(DRAWN), times=2)
    first, second = (world.send("POST", IMAGES, LOW, bearer) for _ in range(2))  # 0.82 cents each
    assert (first.status, second.status) == (200, 200)
    assert float(first.headers["x-sluice-cost"]) == pytest.approx(2 * 5e-6 + 272 * 30e-6)
    assert world.send("POST", IMAGES, LOW, bearer).status == 402
    assert len(world.upstream.requests) == 2


def test_a_limit_counts_the_tokens_of_pictures(world: World) -> None:
    bearer = {"authorization": "Bearer sk-slow"}
    world.upstream.add(Reply.json({**DRAWN, "usage": {**USAGE, "output_tokens": 1200}}))
    assert world.send("POST", IMAGES, LOW, bearer).status == 200
    over = eventually(lambda: (a := world.send("POST", IMAGES, LOW, bearer)).status == 429 and a)
    assert over.error["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize(
    ("path", "body", "cost"),
    [
        (IMAGES, LOW, 272 * 30e-6),
        ("/v1/moderations", {"model": "openai/omni-moderation-latest", "input": "hi"}, 0.0),
    ],
)
def test_a_request_is_explained(world: World, path: str, body: dict[str, Any], cost: float) -> None:
    master = {"authorization": f"Bearer {MASTER}"}
    shown = world.send("POST", "/admin/explain", {"path": path, "key": "poor", "body": body}, master).json
    (row,) = shown["targets"]
    assert row["provider"] == "openai"
    assert row["cost_estimate"] == pytest.approx(cost, abs=2e-4)
    assert not world.upstream.requests
