"""A NUL in a query or a path, which PostgreSQL takes nowhere: refused by each path, never a fault of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from app.operations import OPERATIONS
from app.surfaces.admin.routes import ROUTES
from app.surfaces.mounts import MOUNTS
from tests.behaviour.world import World, running_world
from tests.services import new_postgres

MASTER = "sk-master-0123456789abcdef"
ANN = "sk-ann-0123456789abcdef"
PLACE = re.compile("<[^>]+>")
LISTS = ("after", "limit", "order", "purpose", "provider", "include", "before")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with new_postgres() as url:
        env = {"DATABASE_URL": url, "SLUICE_SECRET_KEY": "0123456789abcdef0123456789abcdef"}
        keys = {"SLUICE_MASTER_KEY": MASTER, "SLUICE_KEYS": f"ann:{ANN}"}
        with running_world({**env, **keys}, key=ANN) as world:
            yield world


def test_a_filter_of_the_admin_api_holds_no_nul(world: World) -> None:
    asked = [
        (PLACE.sub("x", route.path), name)
        for route in ROUTES
        if route.method == "GET"
        for name in route.query
    ]
    assert len(asked) > 50
    for path, name in asked:
        answer = world.send("GET", f"/admin{path}?{name}=a%00", None, {"authorization": f"Bearer {MASTER}"})
        assert (answer.status, answer.error["param"]) == (400, name), path


def test_a_query_of_a_surface_holds_no_nul(world: World) -> None:
    paths = {route.path for rows in MOUNTS[0].operations.values() for route in rows if route.method == "GET"}
    for path in (MOUNTS[0].prefixes[0] + PLACE.sub("x", path) for path in paths):
        for name in LISTS:
            assert world.send("GET", f"{path}?{name}=a%00").status == 400, (path, name)


def test_an_id_with_a_nul_is_a_missing_one(world: World) -> None:
    paths_with_ids = {route.path for name in MOUNTS[0].operations for route in OPERATIONS[name].routes}
    for path in paths_with_ids:
        if "<" in path and path.startswith(("/responses", "/conversations", "/files", "/batches")):
            answer = world.send("GET", MOUNTS[0].prefixes[0] + PLACE.sub("a%00b", path))
            assert answer.status in (404, 405), path
    for route in ROUTES:
        if "<" in route.path and route.method == "GET":
            path = f"/admin{PLACE.sub('a%00b', route.path)}"
            assert world.send("GET", path, None, {"authorization": f"Bearer {MASTER}"}).status == 404, path
