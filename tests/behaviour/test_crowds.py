"""Crowds: bulkheads of a provider, and a retry budget that a storm cannot pass (reliability.md 4.7, 4.8)."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest

from tests.behaviour.world import SURFACES, World, good, received, running_world
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
@pytest.mark.parametrize("surface", SURFACES)
def test_a_full_provider_sheds_at_once_and_lets_in_again(surface: str, stream: bool, world: World) -> None:
    world.upstream.add(Reply(wait=NEVER), times=2)
    held = [world.open(surface, model="narrow/m") for _ in range(2)]
    requests = world.upstream.wait_for(2)

    refused = world.ask(surface, model="narrow/m", stream=stream)
    world.upstream.add(good(surface, "groq/x", stream), path="*/groq/chat/completions")
    elsewhere = world.ask(surface, model="narrow/m", stream=stream, fallbacks=["groq/x"])

    assert (refused.status, refused.error["code"], refused.headers["retry-after"]) == (503, "overloaded", "1")
    assert (elsewhere.status, elsewhere.headers["x-sluice-provider"]) == (200, "groq")
    for connection in held:
        connection.close()
    assert all(request.closed.wait(3) for request in requests)
    world.upstream.add(good(surface, "groq/x", stream))
    assert world.ask(surface, model="narrow/m", stream=stream).text == "good"


def test_a_failed_call_gives_its_place_back(world: World) -> None:
    for status in (500, 400, 401, 200, 429):
        for _ in range(3):
            world.fresh().upstream.add(Reply.json({"error": {"message": "no"}}, status), times=9)
            assert world.ask(model="narrow/m").status != 503
    world.fresh().upstream.add(good("chat", "groq/x", stream=False))
    assert world.ask(model="narrow/m").status == 200


def test_a_storm_of_failures_is_not_doubled(world: World) -> None:
    """300 calls may be retried a hundred times at most: what was saved up, a tenth, ten a second."""
    world.upstream.script = lambda request: Reply.json({"error": {"message": "no"}}, 500)

    asked = [gevent.spawn(world.ask) for _ in range(300)]
    gevent.joinall(asked, raise_error=True)

    assert {greenlet.value.status for greenlet in asked} == {500}
    assert 300 < len(world.upstream.requests) < 500


def test_a_breaker_passes_over_a_target_that_keeps_failing() -> None:
    with running_world({"SLUICE_BREAKER": "on", "SLUICE_MAX_RETRIES": "0"}) as world:
        world.upstream.script = lambda request: (
            Reply.json({"error": {"message": "no"}}, 500)
            if "groq" in request.path
            else good("chat", "openai/y", stream=False)
        )
        for _ in range(13):
            assert world.ask(fallbacks=["openai/y"]).text == "good"
        asked = [request.path.split("/")[1] for request in world.upstream.requests]
        alone = world.ask()

        assert asked[:20] == ["groq", "openai"] * 10
        assert asked[20:] == ["openai"] * 3
        assert (alone.status, alone.error["code"]) == (500, "server_error")


def test_a_body_that_breaks_off_is_no_fault_of_ours(world: World) -> None:
    connection = world.connect()
    connection.sendall(b"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n{")
    connection.shutdown(1)
    received(connection, b"}}", 2)
    connection.close()

    assert '"event":"fault"' not in world.gateway.log
    assert "Traceback" not in world.gateway.log
