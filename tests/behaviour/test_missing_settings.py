"""What an operator forgot to set is told in the answer: a key, or the path of a base URL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.behaviour.world import World, running_world
from tests.traffic.replay import Reply


@pytest.fixture(scope="module")
def _world() -> Iterator[World]:
    with running_world({"OPENAI_API_KEY": "", "OPENAI_BASE_URL": "", "GROQ_BASE_URL": "{upstream}"}) as world:
        yield world


@pytest.fixture
def world(_world: World) -> World:
    return _world.fresh()


@pytest.mark.parametrize(
    "model, provider, variable",
    [("gpt-4o", "openai", "OPENAI_API_KEY"), ("gemini-2.5-pro", "gemini", "GEMINI_API_KEY")],
)
def test_a_model_without_a_key_names_provider_variable_and_form(
    model: str, provider: str, variable: str, world: World
) -> None:
    answer = world.ask(model=model)

    assert (answer.status, answer.error["code"]) == (400, "model_not_found")
    message = answer.error["message"]
    assert message.startswith(f"The requested model '{model}' does not exist.")
    assert f"Provider '{provider}' would serve it" in message
    assert variable in message
    assert f"'{provider}/{model}'" in message


@pytest.mark.parametrize(
    "model, right",
    [("anthropc/claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"), ("opnai/gpt-4o", "openai/gpt-4o")],
)
def test_a_mistyped_provider_is_corrected(model: str, right: str, world: World) -> None:
    message = world.ask(model=model).error["message"]

    assert message == f"The requested model '{model}' does not exist. Did you mean '{right}'?"


def test_a_model_that_nobody_knows_is_not_explained(world: World) -> None:
    answer = world.ask(model="no-such-model")

    assert answer.error["message"] == "The requested model 'no-such-model' does not exist."


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
def test_a_base_url_without_its_path_is_named_where_nothing_is_found(stream: bool, world: World) -> None:
    world.upstream.script = lambda request: Reply.json({"detail": "Not Found"}, 404)
    answer = world.ask(model="groq/x", stream=stream)

    assert answer.status == 404
    assert "base URL has no path" in answer.error["message"]
    assert "'/openai/v1'" in answer.error["message"]
    assert world.upstream.url not in answer.body.decode()


def test_a_missing_model_at_a_whole_base_url_is_not_explained(world: World) -> None:
    world.upstream.script = lambda request: Reply.json(
        {"error": {"message": "model: x"}, "type": "error"}, 404
    )
    answer = world.ask(model="anthropic/x")

    assert answer.status == 404
    assert "base URL" not in answer.error["message"]
