"""A gateway with client keys, the sandbox behind it, and a replaying provider beside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.behaviour.world import World, running_world

KEY = "sk-ann-0123456789"

CONFIG = """
[models."fast"]
target = "sandbox/fast"

[models."rescued"]
target = "sandbox/first"
fallbacks = ["sandbox/second"]
"""


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """One gateway for all clients; openai, groq and anthropic are a provider that replays."""
    with running_world({"SLUICE_KEYS": f"ann:{KEY}"}, config=CONFIG, key=KEY) as running:
        yield running


@pytest.fixture(scope="session")
def base_url(world: World) -> str:
    """What OpenAI's SDK takes as base URL."""
    return f"{world.gateway.url}/v1"
