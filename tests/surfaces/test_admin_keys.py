"""Keys, tenants, administrators and the audit by the admin API, and what a key may then do."""

from __future__ import annotations

import re
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.state.key_format import make_key
from app.surfaces.admin.routes import ROUTES
from tests.behaviour.world import (
    ROLE,
    Answer,
    World,
    chat_body,
    chat_end,
    chat_text,
    received,
)
from tests.traffic.replay import Reply

MASTER = "master-0123456789"
CONFIG = """
[tenants.file]
models = ["sandbox/*"]

[keys.ann]
key = "sk-ann-0123456789"
tenant = "file"
operations = ["chat_completion", "list_models"]

[keys.old]
key = "sk-old-0123456789"
expires_at = 1000000000

[models."fast"]
target = "groq/x"
fallbacks = ["sandbox/echo"]
"""
LOOKS = 1.0  # seconds: twice what a process waits before it looks for changed keys
ENV = {"SLUICE_MASTER_KEY": MASTER, "SLUICE_SECRET_KEY": "a secret of this test"}


class AdminClient:
    """An administrator's desk at one gateway."""

    def __init__(self, world: World, key: str = MASTER) -> None:
        self.world = world
        self.key = key

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        return self.world.send(method, f"/admin{path}", body, {"authorization": f"Bearer {self.key}"})

    def tenant(self, name: str, **members: Any) -> None:
        assert self.ask("POST", "/tenants", {"name": name, **members}).status == 201

    def make(self, tenant: str, name: str, **members: Any) -> dict[str, Any]:
        answer = self.ask("POST", "/keys", {"tenant": tenant, "name": name, **members})
        assert answer.status == 201, answer.body
        made: dict[str, Any] = answer.json
        return made

    def call(self, key: str, model: str = "sandbox/echo", **members: Any) -> Answer:
        return self.world.ask(model=model, headers={"authorization": f"Bearer {key}"}, **members)


SETTING = {"env": {**ENV, "WEB_CONCURRENCY": "2"}, "config": CONFIG}


@pytest.fixture
def api(running: World) -> AdminClient:
    return AdminClient(running.fresh())


@pytest.fixture
def team(api: AdminClient, request: pytest.FixtureRequest) -> str:
    """A tenant of this test's own."""
    name = f"team-{zlib.crc32(request.node.name.encode())}"
    api.tenant(name)
    return name


def test_a_key_is_shown_once_and_works_in_every_process(api: AdminClient, team: str) -> None:
    limits = [{"requests": 100, "per": "hour"}]
    made = api.make(team, "bob", models=["sandbox/*"], limits=limits, metadata={"cost": "7"})
    secret = made.pop("key")
    assert secret.startswith("sk-sluice-")
    assert len(secret) == 50
    assert made == {
        "id": made["id"],
        "object": "key",
        "name": "bob",
        "tenant": team,
        "prefix": secret[:14],
        "source": "store",
        "enabled": True,
        "expires_at": None,
        "models": ["sandbox/*"],
        "operations": None,
        "limits": limits,
        "budgets": [],
        "metadata": {"cost": "7"},
        "created_at": made["created_at"],
        "last_used_at": None,
        "rotated_at": None,
    }
    assert api.ask("GET", f"/keys/{made['id']}").json == made
    answers = [api.call(secret) for _ in range(6)]
    assert [(one.status, one.headers["x-ratelimit-limit-requests"]) for one in answers] == [(200, "100")] * 6
    own = api.world.send("GET", "/v1/key", None, {"authorization": f"Bearer {secret}"}).json
    (limit,) = own["limits"]
    assert (limit["requests"], limit["per"], limit["level"]) == (100, "hour", "key")
    assert {**own, "last_used_at": None, "limits": limits} == made


def test_what_is_wrong_with_a_key_is_said(api: AdminClient, team: str) -> None:
    made = api.make(team, "bob")
    other = "b" if made["key"][-1] != "b" else "c"
    api.ask("PATCH", f"/keys/{made['id']}", {"enabled": False})
    until_refused(api, made["key"])
    cases = {
        made["key"][:-1] + other: (
            "malformed_api_key",
            "This API key is mistyped: its check characters do not fit.",
        ),
        made["key"]: ("invalid_api_key", "This API key is disabled."),
        make_key(): ("invalid_api_key", "Incorrect API key provided: no such key exists."),
        "sk-old-0123456789": ("invalid_api_key", "This API key has expired."),
        "nobodys": ("invalid_api_key", "Incorrect API key provided."),
    }
    said = {key: api.call(key) for key in cases}
    assert {key: (answer.error["code"], answer.error["message"]) for key, answer in said.items()} == cases
    assert {answer.status for answer in said.values()} == {401}


def until_refused(api: AdminClient, key: str, *, seconds: float = 30.0) -> None:
    """Wait until every process refuses a key: for as long as one may go on without a look, no call is served."""
    limit = time.monotonic() + seconds
    served = time.monotonic()
    while time.monotonic() - served < LOOKS:
        if api.call(key).status != 401:
            served = time.monotonic()
        assert time.monotonic() < limit


def test_a_key_and_its_tenant_both_limit_models_and_operations(api: AdminClient, team: str) -> None:
    api.ask("PATCH", f"/tenants/{team}", {"models": ["sandbox/*", "fast"]})
    wide = api.make(team, "wide")["key"]
    narrow = api.make(team, "narrow", models=["groq/*", "sandbox/echo"], operations=["chat_completion"])[
        "key"
    ]
    api.world.upstream.add(Reply.json(chat_body("one")))
    assert api.call(wide, "fast").status == 200  # by its name, whatever is behind it
    for key, model in ((wide, "groq/x"), (narrow, "groq/x"), (narrow, "sandbox/other")):
        answer = api.call(key, model)
        assert (answer.status, answer.error["code"], answer.error["param"]) == (
            403,
            "permission_denied",
            "model",
        )
    assert api.call(narrow, "sandbox/echo").status == 200
    assert api.call(narrow, "sandbox/other", fallbacks=["groq/x"]).status == 403
    refused = api.world.ask("responses", model="sandbox/echo", headers={"authorization": f"Bearer {narrow}"})
    assert (refused.status, refused.error["param"]) == (403, None)
    assert api.world.send("GET", "/v1/key", None, {"authorization": f"Bearer {narrow}"}).status == 200


def test_a_key_of_the_file_is_held_to_its_tenant_and_operations(api: AdminClient) -> None:
    ann = "sk-ann-0123456789"
    assert api.call(ann, "sandbox/echo").status == 200
    assert api.call(ann, "groq/x").status == 403
    refused = api.world.ask("responses", model="sandbox/echo", headers={"authorization": f"Bearer {ann}"})
    assert refused.status == 403


def test_a_rotated_key_has_a_grace(api: AdminClient, team: str) -> None:
    made = api.make(team, "bob")
    rotated = api.ask("POST", f"/keys/{made['id']}/rotate", {"grace": 3600}).json
    assert rotated["key"] != made["key"]
    assert rotated["rotated_at"] >= made["created_at"]
    assert api.call(made["key"]).status == api.call(rotated["key"]).status == 200
    again = api.ask("POST", f"/keys/{made['id']}/rotate").json
    until_refused(api, rotated["key"])
    until_refused(api, made["key"])
    assert api.call(again["key"]).status == 200
    assert api.call(made["key"]).error["message"] == "Incorrect API key provided: no such key exists."


@pytest.mark.parametrize("how", ["delete", "disable", "rotate", "tenant"])
def test_revoking_now_ends_the_streams_of_a_key_and_of_no_other(
    api: AdminClient, team: str, how: str
) -> None:
    made, other = api.make(team, "bob"), api.make(team, "other")
    api.tenant(f"{team}-b")
    theirs = api.make(f"{team}-b", "other")
    gate = threading.Event()
    kept = theirs if how == "tenant" else other
    with open_stream(api, made["key"], gate) as ended, open_stream(api, kept["key"], gate) as lasting:
        path = f"/keys/{made['id']}"
        asked = {
            "delete": ("DELETE", f"{path}?now=true", None),
            "disable": ("PATCH", f"{path}?now=true", {"enabled": False}),
            "rotate": ("POST", f"{path}/rotate?now=true", {"grace": 60}),
            "tenant": ("DELETE", f"/tenants/{team}?confirm={team}", None),
        }[how]
        assert api.ask(*asked).status == 200
        assert b"This API key was revoked while the call ran." in received(ended, b"0\r\n\r\n", 5)
        gate.set()
        assert b"[DONE]" in received(lasting, b"[DONE]", 5)


def test_revoking_lets_streams_end(api: AdminClient, team: str) -> None:
    made, gate = api.make(team, "bob"), threading.Event()
    with open_stream(api, made["key"], gate) as stream:
        api.ask("DELETE", f"/keys/{made['id']}")
        until_refused(api, made["key"])
        gate.set()
        assert b"[DONE]" in received(stream, b"[DONE]", 5)


def open_stream(api: AdminClient, key: str, gate: threading.Event) -> socket.socket:
    """Open a stream whose first words have come, and whose rest waits for ``gate``."""

    def pieces() -> Iterator[bytes]:
        yield ROLE + chat_text("begun")
        gate.wait(20)
        yield chat_end()

    api.world.upstream.add(Reply.sse(pieces()))
    stream = World(api.world.gateway, api.world.upstream, key).open()
    assert b"begun" in received(stream, b"begun")
    return stream


def test_every_change_is_in_the_audit_without_secrets(api: AdminClient, team: str) -> None:
    made = api.make(team, "bob")
    api.ask("PATCH", f"/keys/{made['id']}", {"models": ["sandbox/*"], "metadata": None})
    rotated = api.ask("POST", f"/keys/{made['id']}/rotate").json
    api.ask("DELETE", f"/keys/{made['id']}")
    answer = api.ask("GET", "/audit?limit=5")
    rows = answer.json["data"]
    assert [(row["action"], row["subject"], row["admin"], row["role"], row["address"]) for row in rows] == [
        ("key.deleted", made["id"], "master", "admin", "127.0.0.1"),
        ("key.rotated", made["id"], "master", "admin", "127.0.0.1"),
        ("key.changed", made["id"], "master", "admin", "127.0.0.1"),
        ("key.created", made["id"], "master", "admin", "127.0.0.1"),
        ("tenant.created", team, "master", "admin", "127.0.0.1"),
    ]
    assert (rows[2]["before"]["models"], rows[2]["after"]["models"]) == (None, ["sandbox/*"])
    assert rows[0]["after"] is rows[3]["before"] is None
    text = answer.body.decode()
    assert made["key"] not in text
    assert rotated["key"] not in text


def test_a_viewer_looks_and_changes_nothing(api: AdminClient, team: str) -> None:
    viewer = api.ask("POST", "/admins", {"name": f"v-{team}", "role": "viewer"}).json
    admin = api.ask("POST", "/admins", {"name": f"a-{team}", "role": "admin"}).json
    client = api.make(team, "bob")["key"]
    asked: dict[str, list[tuple[str, int]]] = {"viewer": [], "admin": [], "client": []}
    for role, key in (("viewer", viewer["key"]), ("client", client), ("admin", admin["key"])):
        for route in ROUTES:
            path = (
                re.sub("<.*?>", "nobody", route.path)
                .replace("/events", "/events?types=none")
                .replace("/reload", "/reload?not=now")
            )
            body = {} if route.method in ("POST", "PATCH") else None
            answer = AdminClient(api.world, key).ask(route.method, path, body)
            asked[role].append((route.role, answer.status))
    assert {status for _, status in asked["client"]} == {403}
    assert {status == 403 for role, status in asked["viewer"] if role == "admin"} == {True}
    assert {status in (200, 400, 404) for role, status in asked["viewer"] if role == "viewer"} == {True}
    assert {status in (200, 400, 404) for _, status in asked["admin"]} == {True}
    assert api.ask("DELETE", f"/admins/{viewer['id']}").json == {
        "id": viewer["id"],
        "object": "admin.deleted",
        "deleted": True,
    }
    assert AdminClient(api.world, viewer["key"]).ask("GET", "/keys").status == 401
    assert AdminClient(api.world, "wrong").ask("GET", "/keys").error["code"] == "invalid_api_key"
    assert api.world.send("GET", "/admin/keys").status == 401
    assert api.call(admin["key"]).status == 401


def test_a_query_that_no_path_knows_is_refused_with_what_it_knows(api: AdminClient) -> None:
    for route in ROUTES:
        path = re.sub("<.*?>", "nobody", route.path)
        answer = api.ask(route.method, f"{path}?modle=x", {} if route.method in ("POST", "PATCH") else None)
        assert (answer.status, answer.error["param"]) == (400, "modle"), path
        assert answer.error["code"] == "unknown_parameter"
        assert all(name in answer.error["message"] for name in route.query)
    twice = api.ask("GET", "/calls?tenant=a&tenant=b")
    assert (twice.status, twice.error["param"]) == (400, "tenant")


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"name": "b", "tenant": "file", "models": ["x" * 257]}, "models", "must be a list of at most"),
        ({"name": "b", "tenant": "file", "models": "sandbox/*"}, "models", "must be a list of at most"),
        ({"name": "b", "tenant": "file", "operations": ["chat"]}, "operations", "chat_completion"),
        (
            {"name": "b", "tenant": "file", "metadata": {str(n): "" for n in range(17)}},
            "metadata",
            "at most 16",
        ),
        (
            {"name": "b", "tenant": "file", "limits": [{"requests": 1, "per": "week"}]},
            "limits[0].per",
            "'minute'",
        ),
        ({"name": "b", "tenant": "file", "expires_at": 1.5}, "expires_at", "whole Unix seconds"),
        ({"name": "b", "tenant": "file", "expires_at": 1000}, "expires_at", "in the past"),
        ({"name": "b", "tenant": "nobody"}, "tenant", "create it first"),
        ({"name": "b c", "tenant": "file"}, "name", "letters, digits"),
        ({"tenant": "file"}, "name", "Missing required parameter"),
        ({"name": "b", "tenant": "file", "model": []}, "model", "did you mean 'models'?"),
    ],
)
def test_a_bad_member_is_named(api: AdminClient, body: Any, param: str, words: str) -> None:
    answer = api.ask("POST", "/keys", body)
    assert (answer.status, answer.error["param"]) == (400, param)
    assert words in answer.error["message"]
    assert answer.error["message"][-2:] not in ("?.", "..")


def test_names_are_unique_in_a_tenant_and_the_file_wins(api: AdminClient, team: str) -> None:
    first = api.make(team, "bob")
    for tenant, name in ((team, "bob"), ("file", "ann")):
        answer = api.ask("POST", "/keys", {"tenant": tenant, "name": name})
        assert (answer.status, answer.error["param"]) == (409, "name")
    assert api.ask("POST", "/tenants", {"name": "file"}).status == 409
    assert api.ask("PATCH", "/keys/key_config.ann", {"enabled": False}).error["code"] == "read_only"
    assert api.ask("DELETE", "/tenants/file?confirm=file").error["code"] == "read_only"
    assert api.ask("GET", "/keys/key_config.ann").json["source"] == "config"
    second = api.make(team, "eve")
    answer = api.ask("PATCH", f"/keys/{second['id']}", {"name": "bob"})
    assert (answer.status, first["name"]) == (409, "bob")


def test_lists_are_read_page_by_page(api: AdminClient, team: str) -> None:
    ids = [api.make(team, f"k{number}")["id"] for number in range(3)]
    walked, after = [], ""
    while True:
        page = api.ask("GET", f"/keys?tenant={team}&limit=2{after}").json
        walked += [row["id"] for row in page["data"]]
        if not page["has_more"]:
            break
        after = f"&after={page['last_id']}"
    assert sorted(walked) == sorted(ids)
    all_keys = api.ask("GET", "/keys?limit=2").json
    assert [row["id"] for row in all_keys["data"]] == ["key_config.ann", "key_config.old"]
    assert all_keys["has_more"] is True
    assert api.ask("GET", "/keys?after=key_config.old&limit=1").json["data"][0]["source"] == "store"
    assert api.ask("GET", "/keys?after=nothing").error["param"] == "after"
    assert api.ask("GET", "/keys?limit=101").error["param"] == "limit"


def test_a_tenant_goes_with_what_is_his_once_that_is_confirmed(api: AdminClient, team: str) -> None:
    made = api.make(team, "bob")
    bob = {"authorization": f"Bearer {made['key']}"}
    response = api.world.ask("responses", model="sandbox/echo", headers=bob).json
    asked = api.ask("DELETE", f"/tenants/{team}")
    assert (asked.status, asked.error["code"]) == (400, "confirmation_required")
    assert "1 keys, 1 responses and 0 conversations" in asked.error["message"]
    body = api.ask("DELETE", f"/tenants/{team}?confirm={team}").json
    assert body["stored"] == {"keys": 1, "responses": 1, "conversations": 0}
    until_refused(api, made["key"])
    assert response["id"].startswith("resp_")
    again = api.ask("POST", "/tenants", {"name": team})
    assert (again.status, again.error["param"]) == (409, "name")
    assert api.ask("GET", f"/tenants/{team}").status == 404


def test_errors_of_paths_have_the_form_of_v1(api: AdminClient) -> None:
    assert api.ask("GET", "/nothing").error["code"] is None
    assert api.ask("PUT", "/keys", {}).error["code"] == "method_not_supported"
    assert api.ask("POST", "/keys", b"{").error["type"] == "invalid_request_error"


def test_sixteen_who_make_one_name_at_once_make_one_key(api: AdminClient, team: str) -> None:
    with ThreadPoolExecutor(16) as pool:
        body = {"tenant": team, "name": "one"}
        answers = list(pool.map(lambda _: api.ask("POST", "/keys", body).status, range(16)))
    assert sorted(answers) == [201] + [409] * 15
