"""What the tests of behaviour may ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.behaviour.world import World, running_world

SHORT = {
    "SLUICE_TIMEOUT_CONNECT": "2",
    "SLUICE_TIMEOUT_FIRST_BYTE": "0.6",
    "SLUICE_TIMEOUT_IDLE": "0.6",
    "SLUICE_TIMEOUT_TOTAL": "4",
    "SLUICE_HOLD": "0.3",
}


@pytest.fixture(scope="module")
def _world(request: pytest.FixtureRequest) -> Iterator[World]:
    """The gateway of a module, made as its ``SETTING`` says: the arguments of ``running_world``."""
    with running_world(**getattr(request.module, "SETTING", {})) as world:
        yield world


@pytest.fixture
def world(_world: World) -> World:
    """The gateway of the module, whose provider has seen no request yet."""
    return _world.fresh()


@pytest.fixture(scope="module")
def short_world() -> Iterator[World]:
    """A gateway with short clocks, for one module."""
    with running_world(SHORT) as world:
        yield world
