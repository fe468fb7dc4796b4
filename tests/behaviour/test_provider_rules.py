"""What one provider cannot take is refused before the call, so that the next target is tried."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.behaviour.world import SURFACES, World, good, running_world

Json = dict[str, Any]
PICTURE = "https://example.com/a.png"


@pytest.fixture(scope="module")
def _world() -> Iterator[World]:
    env = {
        "VERTEX_BASE_URL": "{upstream}",
        "VERTEX_PROJECT": "p",
        "VERTEX_LOCATION": "us-east5",
        "VERTEX_ACCESS_TOKEN": "t",
    }
    with running_world(env) as world:
        yield world


@pytest.fixture
def world(_world: World) -> World:
    return _world.fresh()


def seeing(surface: str) -> Json:
    """A prompt with a picture by its address."""
    if surface == "chat":
        part = {"type": "image_url", "image_url": {"url": PICTURE}}
        return {"messages": [{"role": "user", "content": [part]}]}
    return {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": PICTURE}]}]}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("model", ["vertex/claude-sonnet-4-5"])
def test_an_address_that_the_host_does_not_fetch_goes_to_the_next_target(
    model: str, surface: str, stream: bool, world: World
) -> None:
    world.upstream.add(good(surface, "openai/y", stream))

    answer = world.ask(surface, model=model, stream=stream, fallbacks=["openai/y"], **seeing(surface))

    assert (answer.status, answer.text) == (200, "good")
    assert len(world.upstream.requests) == 1
    alone = world.ask(surface, model=model, stream=stream, **seeing(surface))
    assert (alone.status, alone.error["code"]) == (400, "unsupported_parameter")
