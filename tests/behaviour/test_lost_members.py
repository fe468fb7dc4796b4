"""Members that a target has no place for: written elsewhere where that says the same, else named by the client's own path."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.behaviour.surfaces import EVERY, SURFACES
from tests.behaviour.world import EVERY_WIRE, World, chat_body, responses_body
from tests.traffic.replay import Reply

SAID = [{"role": "user", "content": "hi"}]
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
MODELS = (
    "groq/x",
    "responder/x",
    "anthropic/claude-sonnet-4-5",
    "anthropic/claude-3-haiku",
    "gemini/gemini-2.5-pro",
    "bedrock/us.anthropic.claude-sonnet-4-5-v1:0",
    "bedrock/amazon.nova-pro-v1:0",
    "cohere/command-a",
)
PARAMETERS = {"type": "OBJECT", "properties": {}}
FUNCTION = {"name": "f", "parameters": PARAMETERS, "response": {"type": "STRING"}}
TOOL = {"name": "f", "input_schema": {"type": "object"}, "input_examples": [{"a": 1}]}
DOCUMENT = {"type": "text", "media_type": "text/plain", "data": "some words"}
BLOCK = {"type": "document", "context": "of an article", "source": DOCUMENT}
SYSTEM_TOOL = {"systemTool": {"name": "nova_grounding"}}
LOST: dict[str, tuple[str, dict[str, Any], str]] = {
    # surface, members of its body, the path of the one that a target lacks
    "schema of a result": (
        "gemini",
        {"tools": [{"functionDeclarations": [FUNCTION]}]},
        "tools[0].functionDeclarations[0].response",
    ),
    "examples": ("anthropic", {"tools": [TOOL]}, "tools[0].input_examples"),
    "context": (
        "anthropic",
        {"messages": [{"role": "user", "content": [BLOCK]}]},
        "messages[0].content[0].context",
    ),
}

SETTING = EVERY_WIRE


def refuse(world: World) -> None:
    """Let the provider refuse whatever it is sent: only the request matters."""
    world.upstream.script = lambda _: Reply.json({"error": {"message": "no"}}, status=422)


@pytest.mark.parametrize("model", MODELS)
def test_the_description_of_an_answer_reaches_every_target(model: str, world: World) -> None:
    refuse(world)
    form = {"name": "x", "description": "one grey word", "schema": SCHEMA}

    world.ask("chat", model=model, response_format={"type": "json_schema", "json_schema": form})

    (request,) = world.upstream.requests
    assert b"one grey word" in request.body


@pytest.mark.parametrize("model", ["groq/x", "responder/x"])
@pytest.mark.parametrize(("name", "members", "path"), LOST.values(), ids=LOST)
def test_a_member_without_a_place_is_named_by_its_path(
    name: str, members: dict[str, Any], path: str, model: str, world: World
) -> None:
    surface = next(surface for surface in SURFACES if surface.name == name)
    reply = responses_body() if model.startswith("responder") else chat_body()
    world.upstream.add(Reply.json(reply))

    answer = surface.ask(world, model, **members)

    warnings = json.loads(answer.headers["x-sluice-warnings"])
    assert [one["param"] for one in warnings if "not known" in one["message"]] == [path]


def test_a_system_tool_has_no_settings_to_lose(world: World) -> None:
    refuse(world)
    surface = next(surface for surface in SURFACES if surface.name == "bedrock")
    strict = {"x-sluice-strict": "true"}

    answer = surface.ask(
        world, "anthropic/claude-sonnet-4-5", headers=strict, toolConfig={"tools": [SYSTEM_TOOL]}
    )

    assert answer.status == 422
    (request,) = world.upstream.requests
    assert [tool["name"] for tool in request.json()["tools"]] == ["web_search"]


ODD: tuple[Any, ...] = ([[]], {"a": []}, 5)
MISPLACED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "thinking": (
        "anthropic",
        "anthropic/claude-sonnet-4-5",
        {"thinking": {"type": ..., "budget_tokens": 1024}},
    ),
    "audio": ("chat", "gemini/gemini-2.5-pro", {"audio": {"format": ..., "voice": "a"}}),
}


@pytest.mark.parametrize("value", ODD, ids=repr)
@pytest.mark.parametrize(("name", "model", "members"), MISPLACED.values(), ids=MISPLACED)
def test_a_value_of_an_odd_type_is_no_fault_of_the_gateway(
    name: str, model: str, members: dict[str, Any], value: Any, world: World
) -> None:
    surface = next(surface for surface in EVERY if surface.name == name)
    odd: dict[str, Any] = {
        member: {inner: value if one is ... else one for inner, one in inside.items()}
        for member, inside in members.items()
    }
    refuse(world)

    answer = surface.ask(world, model, **odd)

    assert answer.status in (400, 422), answer.body


@pytest.mark.parametrize("model", ["groq/x", "anthropic/claude-sonnet-4-5"])
def test_a_value_of_include_that_nobody_knows_is_reported_and_one_of_openais_is_not(
    model: str, world: World
) -> None:
    def ask(value: str, **headers: str) -> Any:
        block = {"type": "text", "text": "ho"}
        message = {"id": "m", "type": "message", "role": "assistant", "model": "x", "content": [block]}
        reply = chat_body() if model == "groq/x" else {**message, "stop_reason": "end_turn"}
        world.upstream.script = lambda request: Reply.json(reply)
        return world.ask("responses", model=model, include=[value], headers=headers)

    warnings = ask("web_search_call.outcomes").json["extra_fields"]["warnings"]
    assert [row["param"] for row in warnings] == ["include"]
    assert "warnings" not in ask("web_search_call.results").json["extra_fields"]
    strict = ask("web_search_call.outcomes", **{"x-sluice-strict": "true"})
    assert (strict.status, strict.error["param"]) == (400, "include")
