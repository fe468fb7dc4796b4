"""The playground at the edge: what it asks as whom, what is streamed, and who may not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.behaviour.world import Answer, World, running_world
from tests.lifecycle.house import eventually
from tests.surfaces.visitor import ENV, EVIL, MASTER, Visitor, logged_in

CONFIG = """
[keys.poor]
key = "sk-poor-0123456789"
tenant = "red"
limits = [{ requests = 1, per = "day" }]
[keys.narrow]
key = "sk-narrow-0123456789"
tenant = "red"
models = ["sandbox/*"]
"""
BODIES: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "say exactly: one two"}]},
    "responses": {"input": "say exactly: one two"},
}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world({**ENV, "WEB_CONCURRENCY": "1"}, config=CONFIG) as running:
        yield running


@pytest.fixture
def visitor(world: World) -> Visitor:
    return logged_in(world)


def ask(visitor: Visitor, order: Any, **headers: str) -> Answer:
    body = order if isinstance(order, bytes) else json.dumps(order).encode()
    sent = {"content-type": "application/json", "x-csrf-token": visitor.token, **headers}
    return visitor._send("POST", "/ui/playground", body, sent)


def order(api: str, key: str = "", **members: Any) -> dict[str, Any]:
    return {"api": api, "key": key, "body": {"model": "sandbox/echo", **BODIES[api], **members}}


@pytest.mark.parametrize("api", BODIES)
@pytest.mark.parametrize("stream", [True, False])
def test_the_answer_is_the_surfaces_own(visitor: Visitor, api: str, stream: bool) -> None:
    answer = ask(visitor, order(api, stream=stream))
    assert answer.status == 200, answer.body
    assert b"one" in answer.body
    assert b"two" in answer.body
    kind = "text/event-stream" if stream else "application/json"
    assert answer.headers["content-type"].startswith(kind)
    assert answer.headers["x-sluice-provider"] == "sandbox"
    assert "script-src 'self'" in answer.headers["content-security-policy"]


def test_a_call_of_the_playground_is_in_the_log(visitor: Visitor, world: World) -> None:
    answer = ask(visitor, order("chat"))
    admin = {"authorization": f"Bearer {MASTER}"}
    path = f"/admin/calls?request_id={answer.headers['x-request-id']}"
    rows = eventually(lambda: world.send("GET", path, headers=admin).json["data"])
    assert [(row["tenant"], row["key"], row["door"]) for row in rows] == [("default", "window", "unified")]


def test_a_key_is_held_by_its_own_limits_and_allowances(visitor: Visitor) -> None:
    assert [ask(visitor, order("chat", "red/poor")).status for _ in range(2)] == [200, 429]
    assert ask(visitor, order("chat", "red/narrow", model="groq/x")).status == 403
    assert ask(visitor, order("chat", "red/nobody")).status == 400


def test_errors_of_the_surface_come_as_the_surface_writes_them(visitor: Visitor) -> None:
    answer = ask(visitor, order("chat", model="no such model"))
    assert answer.status == 400
    assert answer.error["code"] == "model_not_found"


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", {"api": "chat"}, {"api": "/admin", "body": {}}, {"api": "chat", "body": [EVIL]}],
    ids=str,
)
def test_what_is_no_order_is_refused(visitor: Visitor, body: Any) -> None:
    answer = ask(visitor, body)
    assert answer.status == 400
    assert EVIL.encode() not in answer.body


def test_nobody_asks_without_a_session_its_token_and_a_role(visitor: Visitor, world: World) -> None:
    assert Visitor(world)._send("POST", "/ui/playground", b"{}", {}).status == 401
    assert ask(visitor, order("chat"), **{"x-csrf-token": "x"}).status == 403
    assert ask(visitor, order("chat"), origin="https://elsewhere.example").status == 403
    answer = world.send(
        "POST",
        "/admin/admins",
        {"name": "looker", "role": "viewer"},
        {"authorization": f"Bearer {MASTER}"},
    )
    viewer = Visitor(world)
    assert viewer.log_in(answer.json["key"]).status == 303
    assert b"disabled" in viewer.get("/ui/playground").body
    assert ask(viewer, order("chat")).status == 403


def test_a_header_from_outside_makes_nobody_a_caller(world: World) -> None:
    for name in ("sluice.principal", "sluice_principal", "http_sluice.principal"):
        answer = world.send("GET", "/v1/models", headers={name: "window"})
        assert answer.status == 401, name


def test_the_page_lists_models_and_keys(visitor: Visitor) -> None:
    page = visitor.get("/ui/playground").body.decode()
    assert '<option value="sandbox/echo">' in page
    assert '<option value="red/poor">' in page
    assert "<script>" not in page
