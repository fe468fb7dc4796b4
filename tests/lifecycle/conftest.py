"""One house for each kind of database, shared by all tests of the life cycle."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lifecycle.chat_only import Model
from tests.lifecycle.house import Client, House, running_house
from tests.services import new_postgres


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def running(request: pytest.FixtureRequest) -> Iterator[House]:
    """A house over each kind of database."""
    if request.param == "sqlite":
        with running_house() as house:
            yield house
        return
    with new_postgres() as url, running_house(url) as house:
        yield house


@pytest.fixture
def house(running: House) -> House:
    """The house, with a provider that only replays recordings."""
    return running.fresh()


@pytest.fixture
def ann(house: House) -> Client:
    """A client of tenant red."""
    return house.client("ann")


@pytest.fixture
def ann_too(house: House) -> Client:
    """Another key of the same tenant."""
    return house.client("ann-too")


@pytest.fixture
def bob(house: House) -> Client:
    """A client of another tenant."""
    return house.client("bob")


@pytest.fixture
def model(house: House) -> Model:
    """A chat-only model behind every provider of the house."""
    made = Model()
    house.upstream.script = made
    return made
