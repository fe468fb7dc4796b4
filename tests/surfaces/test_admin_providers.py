"""Providers, the background queue, the settings and the version, as an administrator asks for them."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from flask import Flask

from app import create_app
from app.config import Secret, Settings
from app.diagnostics.findings import Finding
from app.gateway.core import gateway_of
from app.surfaces.admin import doctor
from tests.behaviour.world import ROLE, World, chat_end, chat_text, received
from tests.traffic.replay import Reply

MASTER = "master-0123456789"
ENV = {
    "SLUICE_MASTER_KEY": MASTER,
    "SLUICE_SECRET_KEY": "a secret of this test",
    "SLUICE_BREAKER": "on",
    "SLUICE_ALERT_URL": "http://127.0.0.1:9/hook-0123456789",
    "GROQ_API_KEY": "gsk-0123456789",
    "ANTHROPIC_API_KEY": "",
}
CONFIG = """
[models."fast"]
target = "groq/x"
fallbacks = ["sandbox/echo"]
"""


SETTING = {"env": ENV, "config": CONFIG}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    made = create_app(Settings(master_key=Secret(MASTER), database_url=f"sqlite:///{tmp_path}/sluice.db"))
    yield made
    gateway_of(made).close()


@pytest.fixture
def world(running: World) -> World:
    return running.fresh()


def ask(world: World, path: str, method: str = "GET") -> Any:
    return world.send(method, f"/admin{path}", None, {"authorization": f"Bearer {MASTER}"})


def rows(world: World) -> dict[str, Any]:
    return {row["id"]: row for row in ask(world, "/providers").json["data"]}


def test_a_check_asks_the_provider_each_time(world: World) -> None:
    for _ in range(2):
        world.upstream.add(Reply.json({"object": "list", "data": [{"id": "x"}, {"id": "y"}]}))
        answer = ask(world, "/providers/groq/check", "POST")
        assert answer.status == 200
        body = answer.json
        assert (body["object"], body["provider"], body["ok"], body["models"], body["error"]) == (
            "provider.check",
            "groq",
            True,
            2,
            None,
        )
        assert body["latency"] >= 0
    requests = world.upstream.wait_for(2)
    assert [(one.method, one.path) for one in requests] == [("GET", "/groq/models")] * 2


def test_a_check_tells_what_the_provider_says_without_our_key(world: World) -> None:
    refusal = {"error": {"message": "Invalid key gsk-0123456789", "type": "invalid_request_error"}}
    world.upstream.add(Reply.json(refusal, 401))
    told = ask(world, "/providers/groq/check", "POST")
    assert told.json["ok"] is False
    assert told.json["models"] is None
    assert told.json["error"]["message"]
    assert b"gsk-0123456789" not in told.body


def test_the_doctor_looks_from_the_server_and_tells_no_secret(world: World) -> None:
    world.upstream.add(Reply.json({"error": {"message": "Invalid key gsk-0123456789"}}, 401))
    told = ask(world, "/doctor", "POST")
    assert (told.status, told.json["object"], told.json["ok"]) == (200, "examination", False)
    found = {one["check"]: one for one in told.json["findings"]}
    assert ("fail", "renew the key") in {(one["state"], one["remedy"]) for one in found.values()}
    assert found["database"]["state"] == "ok"
    assert "a gateway answers" in found["port"]["message"]
    assert b"gsk-0123456789" not in told.body
    assert "/groq/models" in {one.path for one in world.upstream.requests}


def test_the_doctor_ends_in_time_and_says_what_it_did_not_see(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(settings: Settings) -> Iterator[Finding]:
        yield Finding("database", "ok", "is sound")
        gevent.sleep(60)

    monkeypatch.setattr(doctor, "examine", endless)
    monkeypatch.setattr(doctor, "_LONGEST", 0.1)
    body = app.test_client().post("/admin/doctor", headers={"authorization": f"Bearer {MASTER}"}).json
    assert body is not None
    assert [(one["check"], one["state"]) for one in body["findings"]] == [
        ("database", "ok"),
        ("time", "warn"),
    ]


def test_a_check_of_nobody_is_not_found(world: World) -> None:
    assert ask(world, "/providers/nobody/check", "POST").status == 404
    assert not world.upstream.requests


def test_providers_show_keys_by_name_and_calls_that_are_open(world: World) -> None:
    gate = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield ROLE + chat_text("begun")
        gate.wait(20)
        yield chat_end()

    world.upstream.add(Reply.sse(pieces()))
    with World(world.gateway, world.upstream, MASTER).open() as stream:
        assert b"begun" in received(stream, b"begun")
        shown = rows(world)["groq"]
        gate.set()
        received(stream, b"[DONE]")
    assert shown["open_calls"] == 1
    assert (shown["object"], shown["state"], shown["lack"]) == ("provider", "ready", None)
    assert shown["base_url"] == f"{world.upstream.url}/groq"
    assert {"chat", "responses"} & set(shown["wires"]) == {"chat"}
    assert len(shown["keys"]) == 1
    assert set(shown["keys"][0]) == {"name", "weight", "models", "limits", "passed_over"}
    assert b"gsk-0123456789" not in ask(world, "/providers").body


def test_a_target_that_asked_for_a_pause_rests(world: World) -> None:
    assert rows(world)["groq"]["resting"] == []
    refusal = {"error": {"message": "slow down", "type": "rate_limit"}}
    world.upstream.add(Reply.json(refusal, 429, headers={"retry-after": "40"}), times=4)
    World(world.gateway, world.upstream, MASTER).ask(model="groq/tired")
    shown = rows(world)["groq"]
    assert shown["state"] == "resting"
    assert [one["model"] for one in shown["resting"]] == ["tired"]
    assert 0 < shown["resting"][0]["seconds"] <= 40


def test_providers_come_in_pages(world: World) -> None:
    whole = ask(world, "/providers").json
    first = ask(world, "/providers?limit=1").json
    assert first["data"] == whole["data"][:1]
    assert first["has_more"] is True
    assert first["last_id"] == first["first_id"] == whole["data"][0]["id"]
    second = ask(world, f"/providers?after={first['last_id']}").json
    assert [row["id"] for row in second["data"]] == [row["id"] for row in whole["data"]][1:]
    assert ask(world, "/providers?after=nobody").error["param"] == "after"


def test_the_queue_is_empty_and_then_counts_what_runs(world: World) -> None:
    idle = ask(world, "/background").json
    assert idle == {"object": "background", "queued": 0, "oldest": None, "running": 0, "workers": []}
    gate = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield ROLE + chat_text("begun")
        gate.wait(20)
        yield chat_end()

    world.upstream.add(Reply.sse(pieces()))
    begun = World(world.gateway, world.upstream, MASTER).ask("responses", background=True)
    assert begun.status == 200, begun.body
    world.upstream.wait_for(1)
    body = ask(world, "/background").json
    gate.set()
    assert (body["queued"], body["oldest"], body["running"]) == (0, None, 1)
    assert [worker["running"] for worker in body["workers"]] == [1]
    assert body["workers"][0]["name"]


def test_settings_show_no_secret(world: World) -> None:
    answer = ask(world, "/settings")
    body = answer.json
    assert body["object"] == "settings"
    assert body["server"]["master_key"] == body["server"]["alert_url"] == "***"
    assert body["server"]["breaker"] is True
    assert body["server"]["timeouts"]["connect"] == 10.0
    assert body["server"]["redis_url"] is None
    assert "SLUICE_ALERT_URL" in [doubt["place"] for doubt in body["doubts"]]
    assert body["models"] == {
        "fast": {
            "targets": [{"target": "groq/x", "weight": 1.0, "price": None}],
            "fallbacks": ["sandbox/echo"],
            "strategy": "weighted",
        }
    }
    for secret in (MASTER, "a secret of this test", "hook-0123456789", "gsk-0123456789"):
        assert secret.encode() not in answer.body


def test_the_version(world: World) -> None:
    body = ask(world, "/version").json
    assert body["object"] == "version"
    assert all(re.match(r"\d+\.\d+", body[name]) for name in ("version", "python", "sqlalchemy"))
