"""``/openapi.json`` is valid, describes every route, and tells the truth about answers."""

from __future__ import annotations

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from app import create_app
from app.config import Settings
from app.operations import OPERATIONS as ROWS
from app.surfaces.openapi.document import describe, surface_rules
from tests.behaviour.world import World, chat_body, running_world
from tests.surfaces.test_mounts import OPERATIONS, PREFIXES, _wants_model, ids_for
from tests.traffic.replay import Reply


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The description of the application with default settings."""
    return describe(create_app(Settings()))


def test_it_is_a_valid_openapi_document(document: dict[str, Any]) -> None:
    errors = OpenAPIV31SpecValidator({**document, "servers": [{"url": "/"}]}).iter_errors()
    assert [error.message for error in errors] == []


def test_every_route_of_the_map_is_described_and_every_row_is_used(document: dict[str, Any]) -> None:
    app = create_app(Settings())
    rules = list(app.url_map.iter_rules())
    paths = {re.sub(r"<(?:[a-z]+:)?([a-z_]+)>", r"{\1}", rule.rule) for rule in rules}
    assert set(document["paths"]) == paths
    served = [rule.route for rule in surface_rules(app)]
    assert len(served) == len(rules)
    assert all(route in served for row in ROWS.values() for route in row.routes)


def test_each_operation_has_an_id_of_its_own_and_a_summary(document: dict[str, Any]) -> None:
    operations = [
        operation
        for members in document["paths"].values()
        for method, operation in members.items()
        if method != "parameters"
    ]
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids)) > 150
    assert all(operation["summary"].endswith((".", "…")) for operation in operations)


def test_the_bodies_are_those_checked_at_the_surface(document: dict[str, Any]) -> None:
    body = document["components"]["schemas"]["ResponsesBody"]
    assert body["additionalProperties"] is True
    (limits, null) = body["properties"]["max_output_tokens"]["anyOf"]
    assert (limits["type"], limits["minimum"], null) == ("integer", 16, {"type": "null"})
    assert body["properties"]["truncation"]["anyOf"][0]["enum"] == ["auto", "disabled"]
    assert document["components"]["schemas"]["ChatBody"]["required"] == ["messages"]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_answers_are_as_described(world: World, document: dict[str, Any], prefix: str) -> None:
    described = re.sub(r"(/deployments)/.*", r"\1/{deployment}", prefix)
    resources = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "components": document["components"],
    }
    for name, (method, path, body, _) in OPERATIONS.items():
        if isinstance(body, bytes) or name == "speech":
            continue
        ids = ids_for(world, path)
        sent = {"model": "sandbox/x", **body} if isinstance(body, dict) and _wants_model(path) else body
        answer = world.send(method, prefix + path.format(**ids), sent)
        template = described + path.partition("?")[0]
        for short, long in (
            ("{response}", "{response_id}"),
            ("{running}", "{response_id}"),
            ("{item}", "{item_id}"),
        ):
            template = template.replace(short, long)
        template = template.replace("{conversation}", "{conversation_id}").replace(
            "sandbox/echo", "{model_id}"
        )
        content = document["paths"][template][method.lower()]["responses"]["200"]["content"]
        schema = {**resources, **content["application/json"]["schema"]}
        faults = [
            f"{error.json_path}: {error.message}"
            for error in Draft202012Validator(schema).iter_errors(answer.json)
        ]
        assert faults == [], (name, faults)


def test_warnings_are_as_described(world: World, document: dict[str, Any]) -> None:
    message = {"role": "assistant", "content": "good", "executed_tools": [{"output": "found"}]}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    world.upstream.add(Reply.json(chat_body(choices=[choice])))
    fields = world.ask("responses", odd_member=1).json["extra_fields"]
    assert [row["param"] for row in fields["warnings"]] == ["odd_member", None]
    schema = {"components": document["components"], "$ref": "#/components/schemas/ExtraFields"}
    assert list(Draft202012Validator(schema).iter_errors(fields)) == []


def test_errors_are_as_described(world: World, document: dict[str, Any]) -> None:
    schema = {"components": document["components"], "$ref": "#/components/schemas/Error"}
    for path in ("/v1/responses", "/api/llm/responses", "/openai/v1/chat/completions"):
        answer = world.send("POST", path, {"model": 5})
        assert answer.status == 400
        assert list(Draft202012Validator(schema).iter_errors(answer.json)) == []


def test_the_server_serves_it_without_a_key(world: World) -> None:
    keyless = World(world.gateway, world.upstream)
    assert keyless.send("GET", "/openapi.json").json["openapi"] == "3.1.0"


def test_the_page_of_docs_can_be_turned_off() -> None:
    with running_world({"SLUICE_DOCS": "off"}) as world:
        for path in ("/docs", "/docs/rapidoc.js", "/docs/openapi.json"):
            assert world.send("GET", path).status == 404
        assert world.send("GET", "/openapi.json").status == 200
