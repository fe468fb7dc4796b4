"""Tenants and keys in the window: made, used, rotated, ended, and shown with what is left."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.behaviour.world import Answer, World, running_world
from tests.lifecycle.house import eventually
from tests.surfaces.visitor import ENV, EVIL, MASTER, Visitor, logged_in, plain_text

CONFIG = """
[keys.ann]
key = "sk-ann-0123456789"
tenant = "file"
budgets = [{ usd = 5, per = "month" }]
"""
LIMITS = '[{"requests": 90, "per": "day"}]'


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world({**ENV, "WEB_CONCURRENCY": "1"}, config=CONFIG) as running:
        yield running


@pytest.fixture(scope="module")
def visitor(world: World) -> Visitor:
    return logged_in(world)


def fill(visitor: Visitor, path: str, **fields: str) -> Answer:
    return visitor.post(f"/ui{path}", {"csrf": visitor.token, **fields})


def secret_of(answer: Answer) -> str:
    match = re.search(r'id="secret"[^>]*>(sk-[^<]+)<', answer.body.decode())
    assert match is not None, answer.body
    return match[1]


def id_of(visitor: Visitor, tenant: str) -> str:
    match = re.search(r'href="/ui/keys/(key_[^"]+)"', visitor.get(f"/ui/keys?tenant={tenant}").body.decode())
    assert match is not None
    return match[1]


def call(world: World, secret: str) -> int:
    return world.ask(model="sandbox/echo", headers={"authorization": f"Bearer {secret}"}).status


def test_a_key_is_offered_once_there_is_a_tenant() -> None:
    with running_world(ENV) as bare:
        visitor = Visitor(bare)
        visitor.log_in()
        page = plain_text(visitor.get("/ui/keys"))
        assert ("make a tenant first" in page, "New key" in page) == (True, False)
        assert fill(visitor, "/tenants", name="team").status == 303
        page = plain_text(visitor.get("/ui/keys"))
        assert ("make a tenant first" in page, "New key" in page) == (False, True)


def test_from_a_tenant_to_the_end_of_its_key(visitor: Visitor, world: World) -> None:
    made = fill(visitor, "/tenants", name="team", models="sandbox/*, groq/*")
    assert made.status == 303
    assert "sandbox/*, groq/*" in plain_text(visitor.get(made.headers["location"]))
    answer = fill(visitor, "/keys", tenant="team", name="bob", operations="chat_completion", limits=LIMITS)
    assert answer.status == 200, plain_text(answer)
    first, key = secret_of(answer), id_of(visitor, "team")
    assert call(world, first) == 200
    page = visitor.get(f"/ui/keys/{key}")
    assert first not in page.body.decode()
    assert "90 requests a day 89" in plain_text(page)
    rotated = secret_of(fill(visitor, f"/keys/{key}/rotate", grace="0"))
    eventually(lambda: (call(world, first), call(world, rotated)) == (401, 200))
    assert fill(visitor, f"/keys/{key}/enable", enabled="no").status == 303
    eventually(lambda: call(world, rotated) == 401)
    assert "disabled or expired" in plain_text(visitor.get(f"/ui/keys/{key}"))
    assert fill(visitor, f"/keys/{key}/enable", enabled="yes").status == 303
    eventually(lambda: call(world, rotated) == 200)
    assert fill(visitor, f"/keys/{key}/revoke").headers["location"] == "/ui/keys"
    eventually(lambda: call(world, rotated) == 401)
    refused = fill(visitor, "/tenants/team/delete", confirm="tema")
    assert refused.status == 400
    assert "confirm=team" in plain_text(refused)
    assert fill(visitor, "/tenants/team/delete", confirm="team").status == 303
    assert visitor.get("/ui/keys?tenant=team").status == 404


def test_a_key_of_the_configuration_is_shown_and_cannot_be_changed(visitor: Visitor) -> None:
    key = re.search(r'href="/ui/keys/(key_config[^"]+)"', visitor.get("/ui/keys").body.decode())
    assert key is not None
    page = visitor.get(f"/ui/keys/{key[1]}")
    assert "key $5.00 a month $0.00 $0.00 $5.00" in plain_text(page)
    assert "Rotate the secret" not in plain_text(page)
    assert fill(visitor, f"/keys/{key[1]}/revoke").status in (400, 409)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "x", "limits": "[{"}, "'limits' is not JSON"),
        ({"name": "x", "limits": '[{"requests": -1, "per": "day"}]'}, "limits[0].requests"),
        ({"name": "x", "budgets": '[{"usd": 1, "per": "second"}]'}, "budgets[0].per"),
        ({"name": EVIL}, "name"),
        ({"name": "x", "operations": "dancing"}, "operations"),
        ({"name": "ann"}, "ann"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_and_is_no_script(visitor: Visitor, fields: dict[str, str], words: str) -> None:
    answer = fill(visitor, "/keys", tenant="file", **fields)
    assert answer.status in (400, 409)
    assert words in plain_text(answer)
    assert EVIL.encode() not in answer.body


def test_a_viewer_sees_all_and_changes_nothing(visitor: Visitor, world: World) -> None:
    answer = world.send(
        "POST", "/admin/admins", {"name": "looker", "role": "viewer"}, {"authorization": f"Bearer {MASTER}"}
    )
    viewer = Visitor(world)
    assert viewer.log_in(answer.json["key"]).status == 303
    page = viewer.get("/ui/keys")
    assert "ann" in plain_text(page)
    assert "New key" not in plain_text(page)
    assert fill(viewer, "/keys", tenant="file", name="mine").status == 403
    assert fill(viewer, "/tenants", name="mine").status == 403
