"""Crowds: bulkheads of a provider, and a retry budget that a storm cannot pass (reliability.md 4.7, 4.8)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import gevent
import pytest

from tests.behaviour.surfaces import EVERY, Surface, at_each
from tests.behaviour.world import HEAD, OPERATIONS, World, good, raw_request, received, running_world
from tests.traffic.replay import NEVER, Reply

CONFIG = """
[providers.narrow]
dialect = "chat"
base_url = "{upstream}/narrow"
api_key = "narrow-key-0001"
max_concurrency = 2
"""


@pytest.fixture(scope="module")
def _world() -> Iterator[World]:
    with running_world({"SLUICE_TIMEOUT_FIRST_BYTE": "5"}, config=CONFIG) as world:
        yield world


@pytest.fixture
def world(_world: World) -> World:
    return _world.fresh()


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize("surface", EVERY, ids=lambda surface: surface.name)
def test_a_full_provider_sheds_at_once_and_lets_in_again(
    surface: Surface, stream: bool, world: World
) -> None:
    world.upstream.add(Reply(wait=NEVER), times=2)
    held = [surface.open(world, "narrow/m") for _ in range(2)]
    requests = world.upstream.wait_for(2)

    refused = surface.ask(world, "narrow/m", stream=stream)
    world.upstream.add(good(surface.name, "groq/x", stream), path="*/groq/chat/completions")
    elsewhere = surface.ask(world, "narrow/m", stream=stream, fallbacks=["groq/x"])

    assert (refused.status, refused.headers["retry-after"]) == (surface.statuses.get(503, 503), "1")
    assert (
        (refused.error["code"] == "overloaded") if surface.name in OPERATIONS else surface.word(refused.json)
    )
    assert (elsewhere.status, elsewhere.headers["x-sluice-provider"]) == (200, "groq")
    for connection in held:
        connection.close()
    assert all(request.closed.wait(3) for request in requests)
    world.upstream.add(good(surface.name, "groq/x", stream))
    assert surface.text_of(surface.ask(world, "narrow/m", stream=stream)) == "good"


@pytest.mark.parametrize("status", [500, 400, 401, 200, 429])
def test_a_failed_call_gives_its_place_back(status: int, world: World) -> None:
    world.upstream.script = lambda request: Reply.json({"error": {"message": "no"}}, status)
    for surface in EVERY:
        for _ in range(3):
            assert surface.ask(world, "narrow/m").status not in (503, 529)
    world.fresh().upstream.add(good("chat", "groq/x", stream=False))
    assert world.ask(model="narrow/m").status == 200


def test_a_storm_of_failures_is_not_doubled(world: World) -> None:
    """300 calls may be retried a hundred times at most: what was saved up, a tenth, ten a second."""
    world.upstream.script = lambda request: Reply.json({"error": {"message": "no"}}, 500)

    began = time.monotonic()
    calls = [gevent.spawn(surface.ask, world, "groq/x") for surface in EVERY * 43]
    gevent.joinall(calls, raise_error=True)

    assert {greenlet.value.status for greenlet in calls} == {500}
    assert 300 < len(world.upstream.requests) < 450 + 10 * (time.monotonic() - began)


def test_a_breaker_passes_over_a_target_that_keeps_failing() -> None:
    with running_world({"SLUICE_BREAKER": "on", "SLUICE_MAX_RETRIES": "0"}) as world:
        world.upstream.script = lambda request: (
            Reply.json({"error": {"message": "no"}}, 500)
            if "groq" in request.path
            else good(request.path.rpartition("/")[2], "openai/y", stream=False)
        )
        for surface in (EVERY * 2)[1:]:
            assert surface.text_of(surface.ask(world, "groq/x", fallbacks=["openai/y"])) == "good"
        paths = [request.path.split("/")[1] for request in world.upstream.requests]

        assert paths[:20] == ["groq", "openai"] * 10
        assert paths[20:] == ["openai"] * 3
        for surface in EVERY:
            alone = surface.ask(world, "groq/x")
            assert (alone.status, bool(surface.word(alone.json))) == (500, True)
            assert surface.name not in OPERATIONS or alone.error["code"] == "server_error"


def test_a_body_that_breaks_off_is_no_fault_of_ours(world: World) -> None:
    def check(surface: Surface) -> None:
        connection = world.connect()
        head = raw_request("POST", surface.place(), b"x" * 900).partition(HEAD)[0]
        connection.sendall(head + HEAD + b"{")
        connection.shutdown(1)
        received(connection, b"}", 2)
        connection.close()

    at_each(check)
    assert '"event":"fault"' not in world.gateway.log
    assert "Traceback" not in world.gateway.log
