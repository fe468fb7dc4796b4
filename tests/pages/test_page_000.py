"""Page 000: ``POST /openai/deployments/{deployment-id}/responses``, Azure's way to address a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.world import World
from tests.pages.quoting import folded, misfits, page
from tests.pages.responses_pages import (
    ECHOED,
    EXTRA_FIELDS,
    GIVEN,
    OWN_MEMBERS,
    PROVIDERS,
    REQUEST,
    REQUEST_TYPES,
    SHAPE,
    TOOL_CHOICES,
)

WAYS = {
    # deployment as the path has it: what was meant
    "prod": "the operator's own name",
    "sandbox/page": "provider and model as two segments",
    "sandbox%2Fpage": "the same as one escaped segment",
    "sandbox/vendor/page": "a model with a slash in its name",
    "sandbox%2Fvendor%2Fpage": "the same escaped",
}
PREFIXES = ("/openai/deployments", "/openai/openai/deployments", "/openai/v1/deployments")


def ask(world: World, deployment: str = "prod", prefix: str = PREFIXES[0], **body: Any) -> Any:
    """Post a body to the page's address; a bare model loses against the path."""
    sent = {"model": "ignored", "input": "say exactly: hello", **body}
    return world.send("POST", f"{prefix}/{deployment}/responses", sent)


def test_the_quotes_are_the_pages(shared_dir: Path) -> None:
    text = page(shared_dir, "000")
    assert "--url http://localhost:8080/openai/deployments/{deployment-id}/responses" in text
    for quote in (REQUEST, EXTRA_FIELDS, OWN_MEMBERS, PROVIDERS, REQUEST_TYPES, TOOL_CHOICES):
        assert folded(quote) in text
    assert "Model identifier in 'provider/model' format" in text


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("deployment", WAYS)
def test_a_deployment_is_addressed_in_every_way(world: World, prefix: str, deployment: str) -> None:
    answer = ask(world, deployment, prefix)
    assert answer.status == 200, answer.body
    assert misfits(answer.json, SHAPE) == []
    meant = deployment.replace("%2F", "/")
    assert answer.json["extra_fields"]["model_requested"] == meant
    assert answer.json["extra_fields"]["provider"] == "sandbox"
    assert answer.json["extra_fields"]["model_deployment"] == (
        "prod" if deployment == "prod" else meant.partition("/")[2]
    )
    assert answer.headers["apim-request-id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("member", GIVEN)
def test_each_member_of_the_request_is_accepted(world: World, member: str) -> None:
    answer = ask(world, **{member: GIVEN[member]})
    assert answer.status == 200, answer.body
    assert misfits(answer.json, SHAPE) == []


def test_all_members_together_are_accepted_and_echoed(world: World) -> None:
    answer = ask(world, **GIVEN).json
    assert {name: answer[name] for name in ECHOED} == ECHOED


def test_a_provider_and_model_in_the_body_decides_alone(world: World) -> None:
    fields = ask(world, "azure-deployment", model="sandbox/chosen").json["extra_fields"]
    assert (fields["provider"], fields["model_deployment"]) == ("sandbox", "chosen")


@pytest.mark.parametrize("model", [{}, {"model": "gpt-4o"}, {"model": "meta-llama/llama-3"}])
def test_a_bare_model_loses_against_the_path(world: World, model: dict[str, str]) -> None:
    answer = world.send("POST", f"{PREFIXES[0]}/my-deployment/responses", {**model, "input": "hi"})
    assert answer.status == 400
    assert answer.error["code"] == "provider_not_configured"
    assert "azure" in answer.error["message"].lower()
    assert answer.json["extra_fields"]["model_requested"] == "my-deployment"


def test_it_streams(world: World) -> None:
    events = ask(world, stream=True, stream_options={"include_usage": True}).events
    assert events[-1]["type"] == "response.completed"
    assert all("extra_fields" in event for event in events)


def test_the_key_may_come_as_azures_own_header(world: World) -> None:
    path, body = f"{PREFIXES[0]}/prod/responses", {"input": "hi"}
    key = {"authorization": "", "api-key": world.key or ""}
    assert world.send("POST", path, body, {"api-key": world.key or ""}).status == 200
    del key["authorization"]
    bare = World(world.gateway, world.upstream)
    assert bare.send("POST", path, body, key).status == 200
    refused = bare.send("POST", path, body, {"x-api-key": world.key or ""})
    assert refused.status == 401
    assert refused.headers["apim-request-id"]
