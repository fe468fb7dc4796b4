"""One gateway for the tests of surfaces: two client keys, aliases, the sandbox and a fake provider."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.behaviour.world import World, running_world
from tests.services import new_postgres

KEY = "sk-surfaces-0123456789"
NARROW_KEY = "sk-narrow-0123456789"

CONFIG = f"""
[keys.ann]
key = "{KEY}"

[keys.narrow]
key = "{NARROW_KEY}"
models = ["sandbox/allowed*"]

[models."one"]
target = "sandbox/one"

[models."chain"]
target = "sandbox/first"
fallbacks = ["sandbox/second", "one"]

[[models."weighted".targets]]
target = "sandbox/light"
weight = 1
[[models."weighted".targets]]
target = "sandbox/heavy"
weight = 3

[models."vendor/alias"]
target = "sandbox/by-slash"

[providers.mine]
dialect = "chat"
base_url = "{{upstream}}/mine"
models = ["my-own-model"]

[providers.mine.prices."my-own-model"]
input = 1000000
output = 2000000
"""
ENV = {"AZURE_OPENAI_API_KEY": "azure-key", "AZURE_OPENAI_ENDPOINT": "{upstream}/azure"}


@pytest.fixture(scope="session")
def _surfaces_world() -> Iterator[World]:
    with running_world(ENV, config=CONFIG, key=KEY) as running:
        yield running


@pytest.fixture
def world(_surfaces_world: World) -> World:
    """The gateway, its fake provider emptied."""
    return _surfaces_world.fresh()


@pytest.fixture(scope="module")
def surface(request: pytest.FixtureRequest) -> Iterator[World]:
    """The gateway of a module, made as its ``SETTING`` says: the arguments of ``running_world``."""
    with running_world(**request.module.SETTING) as world:
        yield world


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def running(request: pytest.FixtureRequest) -> Iterator[World]:
    """The gateway of a module on each kind of database, otherwise made as its ``SETTING`` says."""
    setting = request.module.SETTING
    with ExitStack() as stack:
        url = {} if request.param == "sqlite" else {"DATABASE_URL": stack.enter_context(new_postgres())}
        yield stack.enter_context(running_world(**{**setting, "env": {**setting["env"], **url}}))
