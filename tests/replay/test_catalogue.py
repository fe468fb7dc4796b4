"""The list of models: all providers side by side, each by its own list, none able to spoil it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

import pytest

from tests.behaviour.world import World
from tests.replay.setting import replaying_world
from tests.traffic.answers import Catalogue, extract
from tests.traffic.load import Exchange, exchanges, require
from tests.traffic.replay import NEVER, Reply, Request

CONFIG = """
[keys.all]
key = "key-of-all"

[keys.some]
key = "key-of-some"
models = ["groq/*", "openrouter/*"]
"""
ALL = {"authorization": "Bearer key-of-all"}
SOME = {"authorization": "Bearer key-of-some"}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    require()
    with replaying_world(CONFIG, SLUICE_TIMEOUT_FIRST_BYTE="3") as running:
        yield running


def recordings() -> dict[str, Exchange]:
    """One good list of each provider that has one recorded."""
    found: dict[str, Exchange] = {}
    for one in exchanges(operations=("list_models",)):
        single = one.api.endswith(("retrieve", ".get"))
        if one.status == 200 and not single and isinstance(extract(one), Catalogue):
            found.setdefault(one.provider, one)
    return found


def lists(broken: dict[str, Reply] | None = None) -> Callable[[Request], Reply]:
    """An upstream that gives each provider its recorded list once, then an empty page."""
    known = recordings()
    seen: set[str] = set()

    def script(request: Request) -> Reply:
        provider = request.path.split("/")[1]
        if provider in (broken or {}):
            return (broken or {})[provider]
        if provider in seen or provider not in known:
            return Reply.json({"data": [], "models": [], "modelSummaries": []})
        seen.add(provider)
        return Reply.of(known[provider])

    return script


def ask(world: World, path: str = "/v1/models", headers: dict[str, str] = ALL) -> Any:
    http = world.send("GET", path, headers=headers)
    return http.json if http.status == 200 else http


def ids(listed: Any) -> list[str]:
    return [entry["id"] for entry in listed["data"]]


def expected_ids(provider: str) -> list[str]:
    reading = extract(recordings()[provider])
    assert isinstance(reading, Catalogue)
    return [f"{provider}/{name.removeprefix('models/')}" for name in dict.fromkeys(reading.ids)]


def test_the_lists_of_all_providers_are_merged(world: World) -> None:
    world.fresh().upstream.script = lists()
    found = ids(ask(world))
    for provider in recordings():
        assert [name for name in found if name.startswith(f"{provider}/")] == expected_ids(provider)
    assert len({name.partition("/")[0] for name in found}) >= len(recordings()) >= 10
    assert len(found) == len(set(found))


@pytest.mark.parametrize("surface", ["/v1", "/openai/v1", "/api/llm", "/api/llm/api/inference/openai"])
def test_every_surface_has_the_list_in_openais_shape(world: World, surface: str) -> None:
    world.fresh().upstream.script = lists()
    listed = ask(world, f"{surface}/models?provider=groq")
    assert listed["object"] == "list"
    assert ids(listed) == expected_ids("groq")
    for entry in listed["data"]:
        assert entry["object"] == "model"
        assert isinstance(entry["created"], int)
        assert entry["owned_by"]


def test_one_that_fails_and_one_that_hangs_do_not_spoil_the_list(world: World) -> None:
    broken = {"mistral": Reply.json({"error": "down"}, 500), "openai": Reply(wait=NEVER)}
    world.fresh().upstream.script = lists(broken)
    found = ids(ask(world))  # although one never answers
    assert not [name for name in found if name.startswith(("mistral/", "openai/"))]
    assert [name for name in found if name.startswith("groq/")] == expected_ids("groq")


def test_asked_alone_a_providers_failure_is_the_answer(world: World) -> None:
    world.fresh().upstream.script = lists({"mistral": Reply.json({"message": "no such thing"}, 404)})
    failed = ask(world, "/v1/models?provider=mistral")
    assert (failed.status, failed.error["message"]) == (404, "no such thing")
    world.fresh().upstream.script = lists({"mistral": Reply(wait=NEVER)})
    assert ask(world, "/v1/models?provider=mistral").status == 504
    assert ask(world, "/v1/models?provider=nobody").status == 400
    for status, body in ((500, b"<html>asleep"), (404, b"")):
        world.fresh().upstream.script = lists({"mistral": Reply(status, body)})
        assert ask(world, "/v1/models?provider=mistral").status == status


def test_a_key_sees_its_own_models_alone(world: World) -> None:
    world.fresh().upstream.script = lists()
    found = ids(ask(world, headers=SOME))
    assert {name.partition("/")[0] for name in found} == {"groq", "openrouter"}
    answer = world.send("GET", "/v1/models/" + expected_ids("mistral")[0], headers=SOME)
    assert answer.status == 404


def test_pages_cover_the_list_once(world: World) -> None:
    everything: list[str] = []
    after = ""
    for _ in range(100):
        world.fresh().upstream.script = lists()
        page = ask(world, f"/v1/models?provider=openrouter&limit=200{after}")
        everything += ids(page)
        if not page["has_more"]:
            break
        after = f"&after={everything[-1]}"
    assert everything == expected_ids("openrouter")


def test_one_model_is_found_by_an_id_with_slashes(world: World) -> None:
    name = next(name for name in expected_ids("openrouter") if name.count("/") == 2)
    world.fresh().upstream.script = lists()
    found = ask(world, f"/v1/models/{name}")
    assert (found["id"], found["object"]) == (name, "model")
    world.fresh().upstream.script = lists()
    assert ask(world, "/openai/v1/models/" + name.replace("/", "%2F"))["id"] == name
    for unknown in ("openrouter/not/there", "nobody/x", "x"):
        world.fresh().upstream.script = lists()
        missing = ask(world, f"/v1/models/{unknown}")
        assert (missing.status, missing.error["code"]) == (404, "model_not_found")


def test_each_list_is_asked_for_at_its_own_place_with_its_own_credential(world: World) -> None:
    world.fresh().upstream.script = lists()
    ask(world)
    asked = {request.path.split("/")[1]: request for request in world.upstream.requests}
    places = {name: unquote(one.request["path"]).rpartition("/")[2] for name, one in recordings().items()}
    assert {name: asked[name].path.rpartition("/")[2] for name in places} == places
    for name, request in asked.items():
        shown = [value for value in request.headers.values() if "secret" in value or "AWS4-HMAC" in value]
        assert shown or name in ("ollama", "responder", "compat"), name  # they have no key here


def test_a_list_is_kept_for_a_while() -> None:
    require()
    with replaying_world(SLUICE_MODELS_KEPT="60") as world:
        world.upstream.script = lists()
        first = ids(world.send("GET", "/v1/models?provider=groq").json)
        world.upstream.script = lists({"groq": Reply.json({}, 500)})
        assert ids(world.send("GET", "/v1/models?provider=groq").json) == first == expected_ids("groq")
        assert len(world.upstream.requests) == 1
