"""A wrong base URL of a client is told in the error, with the right one; a model's name may have slashes in every path."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.routing import MapAdapter

from app import create_app
from app.config import Settings
from app.surfaces.base_urls import meant_path
from tests.behaviour.world import World

KEY = "base-url-key-1234"


SETTING = {"env": {"SLUICE_KEYS": f"ann:{KEY}"}, "key": KEY}


def words(body: dict[str, Any]) -> str:
    message: str = body.get("error", body)["message"]
    return message


CHANGES = [
    # the base URL of the request, what the SDK adds, and what to change
    ("/v1/v1", "/chat/completions", "leave '/v1' out of"),
    ("/v1/chat/completions", "/chat/completions", "write '/v1' instead of '/v1/chat/completions'"),
    ("/v1/responses", "/responses", "write '/v1' instead of '/v1/responses'"),
    ("/anthropic/v1", "/chat/completions", "leave '/anthropic' out of"),
    ("/genai/v1beta/openai", "/chat/completions", "leave '/genai/v1beta' out of"),
    ("/llm/v1", "/embeddings", "leave '/llm' out of"),
    ("/api/v1", "/chat/completions", "leave '/api' out of"),
    ("/v1", "/v1/chat/completions", "leave '/v1' out of"),  # Mistral
    ("/v1", "/openai/v1/chat/completions", "leave '/v1' out of"),  # Groq
    ("/openai/v1", "/openai/v1/chat/completions", "leave '/openai/v1' out of"),
    ("/v1", "/openai/deployments/x/chat/completions", "leave '/v1' out of"),
    (
        "/openai/deployments/x/chat/completions",
        "/openai/deployments/x/chat/completions",
        "write '/openai' instead",
    ),
    ("/anthropic/v1", "/v1/messages", "write '/anthropic' instead of '/anthropic/v1'"),
    ("/v1", "/v1/messages", "leave '/v1' out of"),
    ("/v1/messages", "/v1/messages", "leave '/v1/messages' out of"),
    ("/openai", "/v1/messages", "leave '/openai' out of"),
    ("/api/llm", "/v1/messages", "leave '/api/llm' out of"),
    ("", "/messages", "add '/anthropic/v1'"),  # the AI SDK's package for Anthropic
    ("/genai/v1beta", "/v1beta/models/sandbox/x:generateContent", "'/genai' instead of '/genai/v1beta'"),
    ("/genai/v1", "/v1beta/models/sandbox/x:streamGenerateContent", "'/genai' instead of '/genai/v1'"),
    ("/v1beta", "/v1beta/models/sandbox/x:generateContent", "leave '/v1beta' out of"),
    ("/v1", "/v1beta/models/sandbox/x:countTokens", "leave '/v1' out of"),
    ("/genai/models", "/v1beta/models/sandbox/x:generateContent", "leave '/genai/models' out of"),
    ("/genai/v1", "/v1beta1/publishers/google/models/x:generateContent", "'/genai' instead of '/genai/v1'"),
    ("", "/v1beta1/publishers/google/models/x:generateContent", "add '/genai'"),
    ("/genai", "/publishers/anthropic/models/x:rawPredict", "write '/genai/v1beta1' instead of '/genai'"),
    ("", "/models/sandbox/x:generateContent", "add '/v1'"),
    ("", "/v2/chat", "add '/cohere'"),
    ("/v1", "/v2/chat", "write '/cohere' instead of '/v1'"),
    ("/cohere/v2", "/v2/chat", "write '/cohere' instead of '/cohere/v2'"),
    ("/cohere/v1", "/v2/embed", "write '/cohere' instead of '/cohere/v1'"),
    ("/cohere", "/chat", "write '/cohere/v2' instead of '/cohere'"),  # the AI SDK's package for Cohere
    ("", "/model/sandbox%2Fx/converse", "add '/bedrock'"),
    ("/v1", "/model/sandbox%2Fx/converse", "write '/bedrock' instead of '/v1'"),
    ("/bedrock/model", "/model/sandbox%2Fx/invoke", "write '/bedrock' instead of '/bedrock/model'"),
]


@pytest.mark.parametrize("base, added, change", CHANGES)
def test_a_wrong_base_url_is_told_with_the_right_one(
    base: str, added: str, change: str, world: World
) -> None:
    answer = world.send("POST", base + added, {"model": "sandbox/x"})

    assert answer.status in (404, 405), answer.body
    assert change in words(answer.json), answer.body
    assert words(answer.json).endswith(" the base URL.")
    assert world.upstream.requests == []


FORMS = [
    # one path for each form of errors, at a prefix that has another form, and what its own form must have
    ("/genai", "/chat/completions", {"error": {"code", "message", "param", "type"}}),
    ("/openai", "/v1/messages", {"type", "error", "request_id"}),
    ("/v1", "/v2/chat", {"message", "id"}),
    ("/v1", "/v1beta/models/x:generateContent", {"error": {"code", "message", "status"}}),
    ("/v1", "/model/x/converse", {"message"}),
]


@pytest.mark.parametrize("base, added, members", FORMS)
def test_the_error_has_the_form_of_the_api_that_was_meant(
    base: str, added: str, members: Any, world: World
) -> None:
    body = world.send("POST", base + added, {}).json

    if isinstance(members, dict):
        assert members["error"] <= set(body["error"])
    else:
        assert set(body) == members


def test_the_key_is_read_where_the_client_of_that_api_puts_it(world: World) -> None:
    for base, added, header in [
        ("/anthropic", "/v1beta/models/x:generateContent", "x-goog-api-key"),
        ("/openai", "/v1/messages", "x-api-key"),
        ("/genai", "/openai/deployments/x/chat/completions", "api-key"),
    ]:
        keyless = World(world.gateway, world.upstream)
        assert keyless.send("POST", base + added, {}, {header: KEY}).status == 404
        assert keyless.send("POST", base + added, {}, {header: "wrong"}).status == 401


@pytest.mark.parametrize(
    "method, path",
    [
        ("POST", "/v1/threads/thread_1/messages"),
        ("POST", "/v1/messages/batches"),
        ("POST", "/anthropic/v1/messages/batches"),
        ("POST", "/v1/vector_stores/vs_1/files"),
        ("GET", "/v1/fine_tuning/models"),
        ("GET", "/v1/organization/projects/p/files"),
        ("GET", "/v1/chat/completions/c_1/messages"),
        ("POST", "/v1/responses/resp_1"),
        ("GET", "/v1/chat/completions"),
        ("DELETE", "/v1/models"),
        ("POST", "/cohere/v1/classify"),
        ("POST", "/v1/chat"),  # of Cohere's older client, whose body /v2/chat does not take
        ("POST", "/" + "/".join(["v1", "models", "x"] * 300)),
        ("POST", "/v1" * 1000),
    ],
    ids=lambda value: value[:40],
)
def test_a_path_that_is_not_served_anywhere_is_not_explained(method: str, path: str, world: World) -> None:
    answer = world.send(method, path)

    assert answer.status in (404, 405)
    assert "base URL" not in words(answer.json)


GOOGLE = {"contents": [{"parts": [{"text": "say exactly: here"}]}]}
CONVERSE = {"messages": [{"role": "user", "content": [{"text": "say exactly: here"}]}]}
CHAT = {"messages": [{"role": "user", "content": "say exactly: here"}]}
CLAUDE = {**CHAT, "max_tokens": 9, "anthropic_version": "vertex-2023-10-16"}
PLACE = "/projects/p/locations/l"
WITH_MODELS: list[tuple[str, dict[str, Any]]] = [
    *(
        (f"{prefix}/models/{{}}:generateContent", GOOGLE)
        for prefix in ("/v1", "/v1beta", "/genai", "/gemini/v1")
    ),
    *(
        (f"{prefix}/{{}}:generateContent", GOOGLE)
        for prefix in ("/v1beta", "/v1alpha", "/genai", "/genai/v1")
    ),
    *(
        (f"/genai/{version}{place}/publishers/google{models}/{{}}:generateContent", GOOGLE)
        for version in ("v1", "v1beta1")
        for place in ("", PLACE)
        for models in ("/models", "")
    ),
    (f"/genai/v1{PLACE}/publishers/google/models/{{}}:rawPredict", CLAUDE),
    ("/bedrock/model/{}/converse", CONVERSE),
    ("/openai/deployments/{}/chat/completions", CHAT),
    ("/openai/v1/deployments/{}/chat/completions", CHAT),
]


@pytest.mark.parametrize("slash", ["/", "%2F", "%2f"])
@pytest.mark.parametrize("path, body", WITH_MODELS, ids=[path for path, _ in WITH_MODELS])
def test_a_model_with_slashes_is_found_in_every_path(
    path: str, body: dict[str, Any], slash: str, world: World
) -> None:
    for model in ("sandbox/echo", "sandbox/some/echo"):
        answer = world.send("POST", path.format(model.replace("/", slash)), body)

        assert (answer.status, b"here" in answer.body) == (200, True), answer.body
        if "/deployments/" not in path:
            assert answer.headers["x-sluice-model"] == model.partition("/")[2]


@pytest.mark.parametrize(
    "path",
    [
        "/genai/v1/publishers%2Fgoogle/models/sandbox/x:generateContent",
        "/genai%2Fv1beta/models/sandbox/x:generateContent",
        "/genai/v1/projects/p%2Flocations/l/publishers/google/models/sandbox/x:generateContent",
        "/bedrock/model/sandbox/x%2Fconverse",
        "/openai%2Fdeployments/sandbox/x/chat/completions",
        "/openai/deployments/sandbox/x/chat%2Fcompletions",
    ],
)
def test_an_escaped_slash_in_a_fixed_part_is_404(path: str, world: World) -> None:
    assert world.send("POST", path, GOOGLE).status == 404


@pytest.mark.parametrize(
    "path", ["/models" * 12, "/v1" * 160, "/v1/models/" + "a/" * 200, "/genai/v1beta/models/" + "x" * 9_000]
)
def test_few_paths_are_tried_whatever_is_asked_for(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has shown a key yet."""
    tries: list[str] = []
    match = MapAdapter.match

    def counted(adapter: MapAdapter, path: str | None = None, *arguments: Any, **options: Any) -> Any:
        tries.append(path or "")
        return match(adapter, path, *arguments, **options)

    monkeypatch.setattr(MapAdapter, "match", counted)
    app = create_app(Settings())
    assert app.test_client().post("/v1/v1/models/x:generateContent").status_code == 404
    tries.clear()
    assert meant_path(app.url_map, "POST", path) is None
    assert len(tries) <= 32
    assert sum(map(len, tries)) <= 32 * 600
