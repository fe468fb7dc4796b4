"""One gateway for all pages, with the sandbox and a replaying provider behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.behaviour.world import World, running_world

CONFIG = """
[server]
raw_allowed = true

[models."prod"]
target = "sandbox/prod"
"""
ENV = {
    "PERPLEXITY_API_KEY": "perplexity-key",
    "PERPLEXITY_BASE_URL": "{upstream}/perplexity",
    "SLUICE_KEYS": "ann:sk-page-0123456789",
}


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """A gateway with one client key; openai, groq, anthropic and perplexity are one fake provider."""
    with running_world(ENV, config=CONFIG, key="sk-page-0123456789") as running:
        yield running
