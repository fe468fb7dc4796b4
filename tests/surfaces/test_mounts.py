"""Every operation at every surface: routes, credentials, versions, spellings, and what lies below a prefix."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.behaviour.world import World, running_world

PREFIXES = {
    "/v1": "unified",
    "/openai/v1": "openai",
    "/openai": "openai",
    "/openai/openai": "openai",
    "/openai/deployments/one": "azure",
    "/openai/openai/deployments/sandbox/x": "azure",
    "/openai/v1/deployments/sandbox%2Fx": "azure",
    "/api/llm/api/inference/openai": "truefoundry",
    "/api/llm/api/inference/openai/v1": "truefoundry",
    "/api/llm": "truefoundry",
}
SAID = [{"role": "user", "content": "say exactly: hello"}]
FORM = (
    b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nsandbox/x\r\n'
    b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n--b--\r\n'
)

Call = tuple[str, str, Any, str | None]
OPERATIONS: dict[str, Call] = {
    # name: method, path below the prefix, body, a value of ``object`` in the answer (None: no JSON object)
    "responses": ("POST", "/responses", {"input": "hi"}, "response"),
    "input_tokens": ("POST", "/responses/input_tokens", {"input": "hi"}, "response.input_tokens"),
    "compact": ("POST", "/responses/compact", {"input": "hi"}, "response.compaction"),
    "retrieve": ("GET", "/responses/{response}", None, "response"),
    "input_items": ("GET", "/responses/{response}/input_items", None, "list"),
    "cancel": ("POST", "/responses/{running}/cancel", None, "response"),
    "delete": ("DELETE", "/responses/{response}", None, "response"),
    "conversation": ("POST", "/conversations", {}, "conversation"),
    "get conversation": ("GET", "/conversations/{conversation}", None, "conversation"),
    "update conversation": ("POST", "/conversations/{conversation}", {"metadata": {}}, "conversation"),
    "add items": (
        "POST",
        "/conversations/{conversation}/items",
        {"items": [{"role": "user", "content": "x"}]},
        "list",
    ),
    "list items": ("GET", "/conversations/{conversation}/items", None, "list"),
    "get item": ("GET", "/conversations/{conversation}/items/{item}", None, None),
    "delete item": ("DELETE", "/conversations/{conversation}/items/{item}", None, "conversation"),
    "delete conversation": ("DELETE", "/conversations/{conversation}", None, "conversation.deleted"),
    "chat": ("POST", "/chat/completions", {"messages": SAID}, "chat.completion"),
    "completion": ("POST", "/completions", {"prompt": "hi"}, "text_completion"),
    "embedding": ("POST", "/embeddings", {"input": "hi"}, "list"),
    "picture": ("POST", "/images/generations", {"prompt": "hi", "size": "8x8"}, None),
    "moderation": ("POST", "/moderations", {"input": "hi"}, None),
    "speech": ("POST", "/audio/speech", {"input": "hi", "voice": "alloy"}, None),
    "transcription": ("POST", "/audio/transcriptions", FORM, None),
    "translation": ("POST", "/audio/translations", FORM, None),
    "models": ("GET", "/models?provider=sandbox", None, "list"),
    "one model": ("GET", "/models/sandbox/echo", None, "model"),
}


def _ids(world: World) -> dict[str, str]:
    response = world.ask("responses", model="sandbox/x").json["id"]
    items = {"items": [{"role": "user", "content": "hi"}]}
    conversation = world.send("POST", "/v1/conversations", items).json["id"]
    item = world.send("GET", f"/v1/conversations/{conversation}/items").json["data"][0]["id"]
    return {"response": response, "conversation": conversation, "item": item}


def ids_for(world: World, path: str) -> dict[str, str]:
    """Return what a path needs to be filled with, made through another surface."""
    if "{running}" in path:
        answer = world.ask("responses", model="sandbox/x", background=True, input="take 30 seconds")
        return {"running": answer.json["id"]}
    return _ids(world) if "{" in path else {}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_operation_is_served_at_every_prefix(world: World, prefix: str) -> None:
    for name, (method, path, body, kind) in OPERATIONS.items():
        ids = ids_for(world, path)
        sent = {"model": "sandbox/x", **body} if isinstance(body, dict) and _wants_model(path) else body
        headers = {"content-type": "multipart/form-data; boundary=b"} if isinstance(body, bytes) else {}
        answer = world.send(method, prefix + path.format(**ids), sent, headers)
        assert answer.status == 200, (name, answer.body)
        assert "x-request-id" in answer.headers
        assert answer.headers["cache-control"] == "no-store"
        assert ("apim-request-id" in answer.headers) is prefix.startswith("/openai")
        if kind is not None:
            assert answer.json["object"] == kind, name


def _wants_model(path: str) -> bool:
    return not path.startswith("/conversations")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_unknown_paths_and_wrong_methods_are_json_everywhere(world: World, prefix: str) -> None:
    enveloped = PREFIXES[prefix] != "truefoundry"
    for method, path, status in (
        ("POST", "/nothing", 404),
        ("GET", "/", 404),
        ("GET", "", 404),
        ("POST", "/responses/", 404),
        ("GET", "/chat/completions", 405),
        ("PUT", "/responses", 405),
        ("DELETE", "/models", 405),
    ):
        answer = world.send(method, prefix + path)
        assert answer.status == status, (method, path)
        assert "location" not in answer.headers
        assert answer.error["type"] == "invalid_request_error"
        assert ("extra_fields" in answer.json) is enveloped
        assert ("allow" in answer.headers) is (status == 405)
        keyless = World(world.gateway, world.upstream).send(method, prefix + path)
        assert keyless.status == 401, (method, path)


@pytest.mark.parametrize(
    "path", ["//v1/responses", "/v1%2Fresponses", "/v1//responses", "/V1/responses", "/v1/./responses"]
)
def test_another_spelling_of_a_path_is_not_found(world: World, path: str) -> None:
    assert world.send("POST", path, {"model": "sandbox/x", "input": "hi"}).status == 404


@pytest.mark.parametrize("path", ["/v1/models", "/v1/responses/resp_0", "/health", "/openai/models"])
def test_head_answers_like_get_without_a_body(world: World, path: str) -> None:
    head, get = world.send("HEAD", path), world.send("GET", path)
    assert (head.status, head.body) == (get.status, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


GOOD_VERSIONS = ("v1", "preview", "2025-04-01-preview", "2024-10-21", None)
BAD_VERSIONS = ("v2", "2025-13-01", "2025-02-30", "latest", "", "2025-4-1", "2025-04-01-beta", "V1")


@pytest.mark.parametrize(
    "prefix, version",
    list(itertools.product(("/openai", "/openai/v1", "/openai/deployments/one"), GOOD_VERSIONS)),
)
def test_azures_versions_are_accepted(world: World, prefix: str, version: str | None) -> None:
    query = "" if version is None else f"?api-version={version}"
    assert (
        world.send("POST", f"{prefix}/responses{query}", {"model": "sandbox/x", "input": "hi"}).status == 200
    )
    assert world.send("GET", f"{prefix}/models{query}").status == 200


@pytest.mark.parametrize("version", BAD_VERSIONS)
@pytest.mark.parametrize(
    "method, path",
    [("POST", "/openai/responses"), ("GET", "/openai/v1/models"), ("DELETE", "/openai/responses/resp_0")],
)
def test_any_other_version_is_refused(world: World, version: str, method: str, path: str) -> None:
    answer = world.send(method, f"{path}?api-version={version}")
    assert answer.status == 400
    assert (answer.error["code"], answer.error["param"]) == ("invalid_value", "api-version")
    assert answer.headers["apim-request-id"]


def test_versions_matter_only_below_openai(world: World) -> None:
    assert world.send("GET", "/v1/models?api-version=nonsense").status == 200
    assert world.send("GET", "/api/llm/models?api-version=nonsense").status == 200


@pytest.mark.parametrize("path", ["/health", "/healthz", "/health/liveness", "/health/readiness", "/readyz"])
def test_health_needs_no_key(world: World, path: str) -> None:
    assert World(world.gateway, world.upstream).send("GET", path).status == 200


def test_the_response_of_one_surface_is_continued_and_deleted_at_another(world: World) -> None:
    made = world.ask("responses", model="sandbox/x", input="say exactly: I am Ann").json["id"]
    for prefix in PREFIXES:
        assert world.send("GET", f"{prefix}/responses/{made}").json["id"] == made
        body = {"model": "sandbox/x", "input": "echo history", "previous_response_id": made}
        assert "I am Ann" in world.send("POST", f"{prefix}/responses", body).body.decode()
    assert world.send("DELETE", f"/api/llm/responses/{made}").json["deleted"] is True
    assert world.send("GET", f"/v1/responses/{made}").status == 404


def test_it_is_served_below_a_sub_path_of_gunicorns() -> None:
    with running_world({"SCRIPT_NAME": "/gw"}) as below:
        assert below.ask("responses", model="sandbox/x", path="/gw/v1/responses").status == 200
        assert below.ask("responses", model="sandbox/x", path="/gw/openai/responses").headers[
            "apim-request-id"
        ]


def test_a_forwarded_prefix_counts_only_behind_a_trusted_proxy(world: World) -> None:
    header = {"x-forwarded-prefix": "/gw"}
    assert world.send("GET", "/v1/models", None, header).status == 200  # ignored: no proxy is trusted
    assert world.send("GET", "/openapi.json", None, header).json["servers"] == [{"url": "/"}]
    with running_world({"SLUICE_PROXY_HOPS": "1"}) as behind:
        assert behind.send("GET", "/openapi.json", None, header).json["servers"] == [{"url": "/gw/"}]
        assert behind.send("GET", "/v1/models", None, header).status == 200
