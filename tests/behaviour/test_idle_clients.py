"""Clients that cost without asking: those who never read, HEAD for a stream, paths with a second slash."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import create_app
from app.config_loading import load
from app.surfaces.views.operators import MOST_PAGES
from tests.behaviour.world import World, raw_request, received, running_world


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world({"SLUICE_METRICS": "on"}) as world:
        yield world


def open_calls(world: World) -> int:
    return int(world.send("GET", "/readyz").json["open_calls"])


def test_head_for_a_stream_leaves_no_call_open(world: World) -> None:
    body = world.send(
        "POST", "/v1/responses", {"model": "sandbox/echo", "input": "x", "background": True}
    ).json
    for _ in range(3):
        answer = world.send("HEAD", f"/v1/responses/{body['id']}?stream=true")
        assert (answer.status, answer.body) == (200, b"")
    assert open_calls(world) == 0


@pytest.mark.parametrize("keepalive", ["0", "1"])
def test_a_head_that_never_ends_is_not_waited_for(keepalive: str) -> None:
    with running_world({"SLUICE_KEEPALIVE": keepalive}) as world:
        connection = world.connect()
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")

        assert received(connection, b"\r\n\r\n") == b""  # and no TimeoutError: it was closed


def test_no_connection_is_kept_where_none_shall_be() -> None:
    with running_world({"SLUICE_KEEPALIVE": "0"}) as world:
        connection = world.connect()
        connection.sendall(raw_request("GET", "/health") * 2)
        received_bytes = received(connection, b"HTTP/1.1 200 OK\r\n" * 2)

    assert (received_bytes.count(b"HTTP/1.1 200 "), b"Connection: close\r\n" in received_bytes) == (1, True)


@pytest.mark.parametrize("path", ["//metrics", "//health", "//openapi.json", "/%2Fmetrics"])
def test_a_second_slash_is_another_path(world: World, path: str) -> None:
    assert world.send("GET", path).status in (401, 404)
    assert b"sluice_calls" not in world.send("GET", path).body


def test_a_target_without_a_path_is_the_root(world: World) -> None:
    """A redirect to it would be a page of HTML, with the host that the request names."""
    connection = world.connect()
    connection.sendall(raw_request("GET", "http://elsewhere.example", headers=["Connection: close"]))
    head, _, body = received(connection, b"never", 5).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 ")
    assert json.loads(body) == world.send("GET", "/").json


def test_a_keyless_client_that_never_reads_is_let_go(world: World) -> None:
    """Its answers fill what the kernel holds; then the write that makes no progress ends."""
    client = world.connect()
    client.settimeout(0.5)
    requests, unsent = raw_request("GET", "/openapi.json") * 100, b""
    limit = time.monotonic() + 100
    while "stopped reading" not in world.gateway.log:
        assert time.monotonic() < limit
        unsent = unsent or requests
        try:
            unsent = unsent[client.send(unsent) :]  # no request is cut off, or it would be refused
        except OSError:  # nothing goes out for now, or it was let go
            time.sleep(0.1)
    client.close()
    assert world.send("GET", "/health").status == 200


def test_few_pages_are_written_at_once_to_clients_without_keys(tmp_path: Path) -> None:
    settings = load({"DATABASE_URL": f"sqlite:///{tmp_path}/sluice.db", "SLUICE_METRICS": "1"})
    client = create_app(settings).test_client()
    paths = ("/openapi.json", "/docs", "/metrics")
    unread = [client.get(paths[number % 3]) for number in range(MOST_PAGES)]
    assert {answer.status_code for answer in unread} == {200}
    refused = client.get("/openapi.json")
    assert (refused.status_code, refused.json["error"]["code"]) == (503, "overloaded")
    assert client.get("/healthz").status_code == 200
    unread[0].close()
    assert client.get("/openapi.json").status_code == 200
