"""What a target is asked with beside the client's request: a cap, defaults, headers, clocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.behaviour.world import Answer, chat_body, chat_stream
from tests.governance.city import CHAT, City, running_city
from tests.traffic.replay import Reply, Request

CONFIG = """
[keys.ann]
key = "sk-ann"
tenant = "red"
[keys.poor]
key = "sk-poor"
tenant = "red"
budgets = [{ usd = 1, per = "total" }]
[providers.groq.prices]
dear = { input = 0, output = 100000 }
[models."fast"]
targets = [{ target = "groq/x", max_tokens = 2000, headers = { X-Team = "red" }, defaults = { temperature = 0.2, seed = 7, stop = ["END"] } }]
[models."outer"]
targets = [{ target = "fast", max_tokens = 500, defaults = { temperature = 0.9 } }]
[models."two"]
strategy = "ordered"
targets = [{ target = "groq/away", timeouts = { first_byte = 0.3, total = 0.3 } }, { target = "groq/x", max_tokens = 9 }]
[models."cheap"]
targets = [{ target = "groq/dear", max_tokens = 5 }]
[models."talker"]
targets = [{ target = "sandbox/echo", max_tokens = 3, defaults = { temperature = 0.1 } }]
"""
HI = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def running() -> Iterator[City]:
    with running_city(CONFIG, env={"SLUICE_MASTER_KEY": "sk-master", "SLUICE_SECRET_KEY": "s"}) as city:
        yield city


def post(city: City, path: str, body: dict[str, Any], who: str = "ann", **headers: str) -> Answer:
    return city.client(who).send("POST", path, body, headers)


SURFACES: dict[str, tuple[str, dict[str, Any], str]] = {
    "chat": (CHAT, {"model": "fast", "messages": HI}, "max_tokens"),
    "responses": ("/v1/responses", {"model": "fast", "input": "hi"}, "max_output_tokens"),
    "messages": ("/anthropic/v1/messages", {"model": "fast", "messages": HI}, "max_tokens"),
    "gemini": (
        "/genai/v1beta/models/fast:generateContent",
        {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
        "generationConfig.maxOutputTokens",
    ),
    "converse": (
        "/bedrock/model/fast/converse",
        {"messages": [{"role": "user", "content": [{"text": "hi"}]}]},
        "inferenceConfig.maxTokens",
    ),
    "cohere": ("/cohere/v2/chat", {"model": "fast", "messages": HI}, "max_tokens"),
    "completions": ("/v1/completions", {"model": "fast", "prompt": "hi"}, "max_tokens"),
}


def bounded(surface: str, tokens: int | None) -> tuple[str, dict[str, Any]]:
    """Return the surface's path and a body that bounds its answer."""
    path, body, place = SURFACES[surface]
    table, _, name = place.rpartition(".")
    if tokens is None:
        return path, body
    return path, {**body, **({table: {name: tokens}} if table else {name: tokens})}


def request_members(city: City) -> dict[str, Any]:
    found: dict[str, Any] = city.upstream.requests[-1].json()
    return found


def bound_of(body: dict[str, Any]) -> Any:
    return body.get("max_completion_tokens", body.get("max_tokens"))


@pytest.mark.parametrize(
    ("surface", "asked", "goes_out"),
    [
        (surface, asked, goes_out)
        for surface in SURFACES
        for asked, goes_out in ((5000, 2000), (2000, 2000), (30, 30), (None, 2000))
        if asked or surface != "messages"  # Messages asks every client for a bound
    ],
)
def test_the_cap_bounds_the_answer_at_every_surface(
    city: City, surface: str, asked: int | None, goes_out: int
) -> None:
    answer = post(city, *bounded(surface, asked))
    assert answer.status == 200, answer.body
    assert bound_of(request_members(city)) == goes_out


@pytest.mark.parametrize("surface", SURFACES)
def test_lowering_what_was_asked_for_is_told_at_every_surface(city: City, surface: str) -> None:
    for asked, told in ((5000, True), (30, False)):
        answer = post(city, *bounded(surface, asked))
        warnings = str(answer.headers.get("x-sluice-warnings", "")) + answer.body.decode()
        assert ("lowered to 2000" in warnings) is told, warnings


@pytest.mark.parametrize("surface", SURFACES)
def test_defaults_are_for_clients_that_give_none(city: City, surface: str) -> None:
    path, body = bounded(surface, 30)
    post(city, path, body)
    assert {name: request_members(city).get(name) for name in ("temperature", "seed", "stop")} == {
        "temperature": 0.2,
        "seed": 7,
        "stop": ["END"],
    }
    table = {"gemini": "generationConfig", "converse": "inferenceConfig"}.get(surface)
    given = {"temperature": 0}
    post(city, path, {**body, **({table: {**body.get(table, {}), **given}} if table else given)})
    assert request_members(city)["temperature"] == 0


def test_the_clients_body_is_passed_unharmed_but_for_the_members(city: City) -> None:
    body = {"model": "fast", "messages": HI, "max_completion_tokens": 9999, "user": "u"}
    post(city, CHAT, body)
    assert request_members(city)["messages"] == HI
    assert request_members(city)["user"] == "u"
    assert bound_of(request_members(city)) == 2000


def test_streams_are_asked_with_them_too(city: City) -> None:
    city.upstream.script = lambda request: Reply.sse(chat_stream("good"))
    post(city, CHAT, {"model": "fast", "messages": HI, "stream": True})
    assert (bound_of(request_members(city)), request_members(city)["temperature"]) == (2000, 0.2)


def test_headers_go_out(city: City) -> None:
    post(city, CHAT, {"model": "fast", "messages": HI})
    assert city.upstream.requests[-1].headers["x-team"] == "red"
    post(city, CHAT, {"model": "groq/x", "messages": HI})
    assert "x-team" not in city.upstream.requests[-1].headers


def test_the_outer_name_wins_over_the_one_that_it_leads_to(city: City) -> None:
    post(city, CHAT, {"model": "outer", "messages": HI})
    assert (
        bound_of(request_members(city)),
        request_members(city)["temperature"],
        request_members(city)["seed"],
    ) == (500, 0.9, 7)
    assert city.upstream.requests[-1].headers["x-team"] == "red"


def test_a_model_that_is_asked_by_its_own_name_has_none(city: City) -> None:
    post(city, CHAT, {"model": "groq/x", "messages": HI})
    assert {"max_tokens", "max_completion_tokens", "temperature"}.isdisjoint(request_members(city))


def test_each_target_has_its_own_clocks_and_members(city: City) -> None:
    def script(request: Request) -> Reply:
        return Reply.json(chat_body(), wait=3 if request.json()["model"] == "away" else 0)

    city.upstream.script = script
    answer = post(city, CHAT, {"model": "two", "messages": HI})
    assert answer.status == 200, answer.body
    assert [bound_of(request.json()) for request in city.upstream.requests] == [None, 9]


def test_a_budget_reserves_no_more_than_the_cap(city: City) -> None:
    body = {"model": "cheap", "messages": HI}
    assert post(city, CHAT, body, "poor").status == 200, "five tokens at ten cents are half a dollar"
    assert post(city, CHAT, {"model": "groq/dear", "messages": HI}, "poor").status == 402


def test_explain_and_settings_show_them(city: City) -> None:
    admin = city.client("master")
    asked = {"path": CHAT, "key": "ann", "body": {"model": "fast", "messages": HI, "max_tokens": 5000}}
    target = admin.send("POST", "/admin/explain", asked).json["targets"][0]
    assert any("lowered to 2000" in loss["message"] for loss in target["adjusted"])
    shown = admin.get("/admin/settings").json["models"]["fast"]["targets"][0]
    assert shown == {
        "target": "groq/x",
        "weight": 1,
        "price": None,
        "max_tokens": 2000,
        "defaults": {"temperature": 0.2, "seed": 7, "stop": ["END"]},
        "headers": {"x-team": "***"},
    }


def test_strict_callers_are_refused_rather_than_lowered(city: City) -> None:
    answer = post(
        city, CHAT, {"model": "fast", "messages": HI, "max_tokens": 5000}, **{"x-sluice-strict": "true"}
    )
    assert answer.status == 400
    assert answer.error["code"] == "unsupported_parameter"
    assert "lowered to 2000" in answer.error["message"]
    assert city.served == 0


def test_the_sandbox_is_a_target_like_any_other(city: City) -> None:
    answer = post(
        city, CHAT, {"model": "talker", "messages": [{"role": "user", "content": "say exactly: a b c d e"}]}
    )
    assert answer.json["choices"][0]["finish_reason"] == "length"
