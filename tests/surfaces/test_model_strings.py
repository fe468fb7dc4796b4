"""What a model string means at each surface (docs/surfaces.md)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.behaviour.world import Answer, World, chat_body
from tests.surfaces.conftest import NARROW_KEY
from tests.traffic.replay import Reply

SAID = [{"role": "user", "content": "say exactly: hello"}]
OPERATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "responses": ("/responses", {"input": "hi"}),
    "chat": ("/chat/completions", {"messages": SAID}),
    "completion": ("/completions", {"prompt": "hi"}),
    "embedding": ("/embeddings", {"input": "hi"}),
    "speech": ("/audio/speech", {"input": "hi", "voice": "alloy"}),
    "input_tokens": ("/responses/input_tokens", {"input": "hi"}),
    "compact": ("/responses/compact", {"input": "hi"}),
}


def ask_model(world: World, model: Any, prefix: str = "/v1", operation: str = "chat", **more: Any) -> Answer:
    """Ask with a model string; None leaves the member out."""
    path, body = OPERATIONS[operation]
    named = {} if model is None else {"model": model}
    return world.send("POST", prefix + path, {**body, **named, **more})


def resolved(answer: Answer) -> tuple[str, str]:
    """Return provider and model that answered, as the headers tell."""
    assert answer.status == 200, answer.body
    return answer.headers["x-sluice-provider"], answer.headers["x-sluice-model"]


@pytest.mark.parametrize(
    "model, meant",
    [
        ("sandbox/x", ("sandbox", "x")),
        ("sandbox/vendor/x", ("sandbox", "vendor/x")),
        ("one", ("sandbox", "one")),
        ("vendor/alias", ("sandbox", "by-slash")),
        ("chain", ("sandbox", "first")),
    ],
)
@pytest.mark.parametrize("prefix", ["/v1", "/openai/v1", "/openai", "/api/llm"])
def test_a_name_means_the_same_at_every_surface(
    world: World, prefix: str, model: str, meant: tuple[str, str]
) -> None:
    for operation in ("chat", "responses"):
        assert resolved(ask_model(world, model, prefix, operation)) == meant


def test_the_left_part_is_a_provider_only_if_it_is_one(world: World) -> None:
    refused = ask_model(world, "meta-llama/llama-3")
    assert (refused.status, refused.error["code"]) == (400, "model_not_found")
    assert "meta-llama/llama-3" in refused.error["message"]
    upper = ask_model(world, "Sandbox/x")
    assert upper.error["code"] == "model_not_found"


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("prefix", ["/v1", "/api/llm"])
def test_an_unknown_name_is_model_not_found_on_every_operation(
    world: World, prefix: str, operation: str
) -> None:
    answer = ask_model(world, "no-such-model", prefix, operation)
    assert (answer.status, answer.error["code"], answer.error["param"]) == (400, "model_not_found", "model")
    assert answer.error["type"] == "invalid_request_error"
    assert world.upstream.requests == []  # found out without a network call


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_provider_without_a_key_names_the_variable_to_set(world: World, operation: str) -> None:
    answer = ask_model(world, "mistral/mistral-small", operation=operation)
    assert (answer.status, answer.error["code"], answer.error["param"]) == (
        400,
        "provider_not_configured",
        "model",
    )
    assert "MISTRAL_API_KEY" in answer.error["message"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_missing_model_is_missed_by_name(world: World, operation: str) -> None:
    answer = ask_model(world, None, operation=operation)
    if operation == "input_tokens":
        assert answer.json["object"] == "response.input_tokens"  # all members are optional there
        return
    assert (answer.status, answer.error["param"]) == (400, "model")
    assert answer.error["code"] == "missing_required_parameter"


@pytest.mark.parametrize("model", ["", "  ", 5, ["a"], "sandbox/", "/x", "a\nb"])
def test_what_is_no_model_string_is_refused(world: World, model: Any) -> None:
    answer = ask_model(world, model)
    assert answer.status == 400
    assert answer.error["param"] == "model"


@pytest.mark.parametrize(
    "prefix, provider", [("/openai/v1", "openai"), ("/openai", "openai"), ("/openai/openai", "openai")]
)
def test_a_bare_name_below_openai_is_openais(world: World, prefix: str, provider: str) -> None:
    world.upstream.add(Reply.json(chat_body("good")))
    assert resolved(ask_model(world, "unheard-of-model", prefix)) == (provider, "unheard-of-model")


def test_a_bare_name_elsewhere_is_the_first_providers_that_lists_it(world: World) -> None:
    world.upstream.add(Reply.json(chat_body("good")), times=float("inf"))
    assert resolved(ask_model(world, "my-own-model")) == ("mine", "my-own-model")
    assert resolved(ask_model(world, "my-own-model", "/api/llm")) == ("mine", "my-own-model")
    assert resolved(ask_model(world, "gpt-4o"))[0] in ("openai", "azure")


def test_a_weighted_alias_shares_by_weight(world: World) -> None:
    drawn = [resolved(ask_model(world, "weighted"))[1] for _ in range(100)]
    assert set(drawn) == {"light", "heavy"}
    assert drawn.count("heavy") > drawn.count("light")


def test_an_alias_falls_back_along_its_chain(world: World) -> None:
    messages = [{"role": "user", "content": "fail with 503 for first. say exactly: saved"}]
    answer = ask_model(world, "chain", messages=messages)
    assert resolved(answer) == ("sandbox", "second")
    tried = [(row["model"], row["status"]) for row in answer.json["extra_fields"]["attempts"]]
    assert tried[0] == ("first", 503)
    assert tried[-1] == ("second", 200)
    assert answer.json["extra_fields"]["model_requested"] == "chain"
    assert answer.json["extra_fields"]["resolved_model_used"] == "second"


@pytest.mark.parametrize("operation", ["chat", "responses", "completion", "embedding", "speech"])
def test_fallbacks_are_taken_on_every_operation(world: World, operation: str) -> None:
    answer = ask_model(world, "mistral/x", operation=operation, fallbacks=["nowhere", "sandbox/saved"])
    assert resolved(answer) == ("sandbox", "saved")


def test_fallbacks_of_a_form(world: World) -> None:
    form = b"".join(
        b'--b\r\ncontent-disposition: form-data; name="%s"\r\n\r\n%s\r\n' % pair
        for pair in ((b"model", b"mistral/x"), (b"fallbacks", b'["nowhere", "sandbox/saved"]'))
    )
    form += b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n--b--\r\n'
    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = world.send("POST", "/v1/audio/transcriptions", form, headers)
    assert resolved(answer) == ("sandbox", "saved")


def test_if_all_fail_the_first_error_is_shown_with_every_try(world: World) -> None:
    messages = [{"role": "user", "content": "fail with 503"}]
    answer = ask_model(world, "sandbox/a", messages=messages, fallbacks=["mistral/x", "sandbox/b"])
    assert answer.status == 503
    models = [row["model"] for row in answer.json["extra_fields"]["attempts"]]
    assert models[0] == "a"
    assert models[-1] == "b"
    assert answer.headers["x-sluice-attempts"] == str(len(models))
    assert answer.headers["x-should-retry"] == "false"


def test_each_candidate_must_be_allowed_for_the_key(world: World) -> None:
    narrow = World(world.gateway, world.upstream, NARROW_KEY)
    assert resolved(ask_model(narrow, "sandbox/allowed-1")) == ("sandbox", "allowed-1")
    refused = ask_model(narrow, "sandbox/other")
    assert (refused.status, refused.error["param"]) == (403, "model")
    messages = [{"role": "user", "content": "fail with 503 for allowed-1"}]
    kept_in = ask_model(narrow, "sandbox/allowed-1", messages=messages, fallbacks=["sandbox/other"])
    assert kept_in.status == 503


DEPLOYMENTS = "/openai/deployments"


@pytest.mark.parametrize(
    "path, model, meant",
    [
        ("one", None, ("sandbox", "one")),
        ("one", "gpt-4o", ("sandbox", "one")),
        ("one", "sandbox/body", ("sandbox", "body")),
        ("sandbox/two", None, ("sandbox", "two")),
        ("sandbox%2Ftwo", "ignored", ("sandbox", "two")),
        ("gpt-4o", "sandbox/body", ("sandbox", "body")),
    ],
)
def test_a_deployment_and_the_bodys_model(
    world: World, path: str, model: str | None, meant: tuple[str, str]
) -> None:
    for operation in ("chat", "responses", "completion", "embedding"):
        assert resolved(ask_model(world, model, f"{DEPLOYMENTS}/{path}", operation)) == meant


def test_one_segment_is_a_deployment_of_azure(world: World) -> None:
    world.upstream.add(Reply.json(chat_body("good")))
    assert resolved(ask_model(world, "other", f"{DEPLOYMENTS}/my-gpt")) == ("azure", "my-gpt")
    (request,) = world.upstream.requests
    assert "/deployments/my-gpt/" in request.path or request.json()["model"] == "my-gpt"


@pytest.mark.parametrize("deployment", ["..", ".", "a/../b", "%2e%2e", "a%2F%2Fb", "%20", "a%0Ab"])
def test_what_is_no_deployment_is_not_found(world: World, deployment: str) -> None:
    answer = ask_model(world, None, f"{DEPLOYMENTS}/{deployment}")
    assert answer.status in (400, 404)
    assert world.upstream.requests == []


def test_an_operation_that_a_provider_lacks_names_both(world: World) -> None:
    answer = ask_model(world, "anthropic/claude-sonnet-4-5", operation="embedding")
    assert (answer.status, answer.error["code"]) == (400, "unsupported_operation")
    assert "anthropic" in answer.error["message"]
    assert "embedding" in answer.error["message"]


def test_the_list_of_models_narrows_to_a_provider(world: World) -> None:
    listed = world.send("GET", "/v1/models?provider=sandbox").json
    assert listed["object"] == "list"
    assert listed["data"]
    assert all(row["id"].startswith("sandbox/") for row in listed["data"])
    world.upstream.add(Reply.json({"error": {"message": "down"}}, 500), times=float("inf"))
    down = world.send("GET", "/v1/models?provider=groq")
    assert (down.status, down.json["extra_fields"]["provider"]) == (500, "groq")
    unknown = world.send("GET", "/v1/models?provider=nobody")
    assert (unknown.status, unknown.error["param"]) == (400, "provider")
    page = world.send("GET", "/v1/models?provider=sandbox&limit=1").json
    assert (len(page["data"]), page["has_more"]) == (1, True)
    after = world.send("GET", f"/v1/models?provider=sandbox&limit=1&after={page['data'][0]['id']}").json
    assert after["data"][0] != page["data"][0]
