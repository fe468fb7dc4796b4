"""Several keys of one provider: the next key before the next target, and never a wait for the first.

Keys are drawn by weight, so the tests give one key nearly all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest

from tests.behaviour.world import OPERATIONS, World, good, running_world
from tests.traffic.replay import Reply, Request

PASSED_OVER = (401, 402)
"""After these a key is passed over for ten minutes, so each case has a provider of its own."""


def provider_of(operation: str, stream: bool, status: int) -> str:
    """Return the provider that a case asks."""
    return f"{operation}-{status}-{stream}".lower() if status in PASSED_OVER else "groq"


OWN = [provider_of(*case) for case in product(OPERATIONS, (False, True), PASSED_OVER)]
TWO_KEYS = """
[[providers.{name}.keys]]
name = "heavy"
value = "heavy-key-0001"
weight = 1000000

[[providers.{name}.keys]]
name = "light"
value = "light-key-0002"
weight = 0.000001
"""
PROVIDER = """
[providers.{name}]
dialect = "chat"
base_url = "{{upstream}}/groq"
"""
SPECIAL = """
[[providers.groq.keys]]
name = "special"
value = "special-key-0003"
models = ["only-special"]
"""
CONFIG = "".join(
    [(PROVIDER + TWO_KEYS).format(name=name) for name in OWN] + [TWO_KEYS.format(name="groq"), SPECIAL]
)


@pytest.fixture(scope="module")
def _world() -> Iterator[World]:
    with running_world({"GROQ_API_KEY": ""}, config=CONFIG) as world:
        yield world


@pytest.fixture
def world(_world: World) -> World:
    return _world.fresh()


def key_of(request: Request) -> str:
    return request.headers["authorization"].removeprefix("Bearer ")


@pytest.mark.parametrize(
    ("status", "headers", "asked"),
    [
        (401, {}, ["heavy-key-0001", "light-key-0002"]),
        (429, {"retry-after": "1"}, ["heavy-key-0001", "light-key-0002"]),
        (429, {"retry-after": "60"}, ["heavy-key-0001", "light-key-0002"]),
        (402, {}, ["heavy-key-0001", "light-key-0002"]),
        (500, {}, ["heavy-key-0001", "heavy-key-0001", "light-key-0002"]),
        (400, {}, ["heavy-key-0001"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_next_key_follows_a_fault_of_the_first(
    operation: str, stream: bool, status: int, headers: dict[str, str], asked: list[str], world: World
) -> None:
    def reply(request: Request) -> Reply:
        if key_of(request) == "heavy-key-0001":
            return Reply.json({"error": {"message": "no"}}, status, headers=headers)
        return good(operation, "groq/x", stream)

    world.upstream.script = reply

    answer = world.ask(operation, model=f"{provider_of(operation, stream, status)}/x", stream=stream)

    assert [key_of(request) for request in world.upstream.requests] == asked
    assert answer.status == (400 if status == 400 else 200)
    assert answer.headers["x-sluice-attempts"] == str(len(asked))
    if answer.status == 200 and not stream:
        attempts = answer.json["extra_fields"]["attempts"]
        assert [attempt["key"] for attempt in attempts] == [key.partition("-")[0] for key in asked]


def test_a_key_for_some_models_serves_no_other(world: World) -> None:
    world.upstream.script = lambda request: Reply.json({"error": {"message": "no"}}, 401)

    world.ask(model="groq/x")
    assert {key_of(request) for request in world.upstream.requests} == {"heavy-key-0001", "light-key-0002"}

    world.fresh().upstream.script = lambda request: Reply.json({"error": {"message": "no"}}, 401)
    world.ask(model="groq/only-special")
    assert {key_of(request) for request in world.upstream.requests} == {
        "heavy-key-0001",
        "light-key-0002",
        "special-key-0003",
    }
