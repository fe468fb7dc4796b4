"""What the tests of replayed recordings may ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.behaviour.world import World
from tests.replay.setting import replaying_world


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A gateway for one module, whose providers answer as they were recorded."""
    with replaying_world() as running:
        yield running
