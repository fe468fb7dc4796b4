"""Those who leave: clients, slow readers, slow senders, and the gateway itself (reliability.md 3 and 4).

A client that leaves has its provider's connection closed within 3 s, whatever both are doing; a gateway
that is told to leave ends its streams in words.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import gevent
import pytest

from tests.behaviour.doors import DOORS, Door
from tests.behaviour.world import (
    PATHS,
    ROLE,
    SURFACES,
    World,
    chat_body,
    chat_end,
    chat_text,
    good,
    raw_request,
    received,
    running_world,
)
from tests.traffic.replay import NEVER, Reply, Request

LIMIT = 3.0  # seconds until the provider's connection must be closed


@pytest.fixture(scope="module")
def _world() -> Iterator[World]:
    env = {
        "SLUICE_STATUS_AFTER": "60",
        "SLUICE_COMMENT_EVERY": "60",
        "SLUICE_TIMEOUT_IDLE": "1.5",
        "SLUICE_TIMEOUT_FIRST_BYTE": "60",
        "SLUICE_BODY_DEADLINE": "1",
        "SLUICE_KEEPALIVE": "1",
    }
    with running_world(env) as world:
        yield world


@pytest.fixture
def world(_world: World) -> World:
    return _world.fresh()


def flood() -> Iterator[bytes]:
    """Yield a stream that does not end."""
    yield ROLE
    while True:
        yield chat_text("x" * 1000)


def trickle() -> Iterator[bytes]:
    yield ROLE
    while True:
        yield chat_text("x")
        time.sleep(0.05)


REPLIES = {
    "silent before its headers": lambda: Reply(wait=NEVER),
    "silent after its headers": lambda: Reply.sse(b"", hang=0),
    "silent after its opening": lambda: Reply.sse(ROLE, hang=len(ROLE)),
    "busy": lambda: Reply.sse(trickle()),
    "faster than anyone reads": lambda: Reply.sse(flood()),
}


@pytest.mark.parametrize("name", REPLIES)
@pytest.mark.parametrize(
    ("surface", "model", "reset"),
    [("chat", "groq/x", False), ("chat", "openai/x", True), ("responses", "groq/x", False)],
    ids=str,
)
def test_a_client_that_leaves_takes_its_stream_along(
    surface: str, model: str, reset: bool, name: str, world: World
) -> None:
    world.upstream.add(REPLIES[name]())
    connection = world.open(surface, model=model)
    (request,) = world.upstream.wait_for(1)
    if "busy" in name or "faster" in name:
        received(connection, b"xxx" if "faster" in name else b'"x"')

    leave(connection, reset)

    assert request.closed.wait(LIMIT)


@pytest.mark.parametrize("body", ["never", "in the middle"])
@pytest.mark.parametrize("surface", SURFACES)
def test_a_client_that_leaves_takes_its_json_call_along(surface: str, body: str, world: World) -> None:
    world.upstream.add(Reply(wait=NEVER) if body == "never" else Reply.json({"a": "b" * 99}, hang=9))
    connection = world.open(surface, stream=False)
    (request,) = world.upstream.wait_for(1)

    leave(connection)

    assert request.closed.wait(LIMIT)


def test_a_client_that_leaves_is_not_retried_or_fallen_back_for(world: World) -> None:
    world.upstream.add(Reply(wait=NEVER), times=NEVER)
    connection = world.open(fallbacks=["openai/y"])
    (request,) = world.upstream.wait_for(1)

    leave(connection)

    assert request.closed.wait(LIMIT)
    with pytest.raises(TimeoutError):
        world.upstream.wait_for(2, timeout=0.5)


def test_a_client_that_left_is_logged_as_gone_and_its_response_stored_as_cancelled(world: World) -> None:
    world.upstream.add(Reply.sse(ROLE + chat_text("partial"), hang=len(ROLE + chat_text("partial"))))
    connection = world.open("responses")
    seen = received(connection, b"partial")
    response_id = json.loads(seen.partition(b"data: ")[2].partition(b"\n")[0])["response"]["id"]

    leave(connection)

    assert world.upstream.requests[0].closed.wait(LIMIT)
    stored = eventually(lambda: world.send("GET", f"/v1/responses/{response_id}"), 200)
    assert stored["status"] == "cancelled"
    assert stored["output"][0]["content"][0]["text"] == "partial"
    lines = [json.loads(line) for line in world.gateway.log.splitlines() if line.startswith("{")]
    last = [line for line in lines if line["event"] == "call"][-1]
    assert (last["error"], last["status"], last["response_id"]) == ("client_gone", 499, response_id)


def test_a_half_close_counts_as_leaving_and_the_next_caller_is_served(world: World) -> None:
    world.upstream.add(Reply(wait=NEVER))
    connection = world.open()
    (request,) = world.upstream.wait_for(1)

    connection.shutdown(socket.SHUT_WR)

    assert request.closed.wait(LIMIT)
    world.upstream.add(good("chat", "groq/x", stream=False))
    assert world.ask().status == 200


def test_a_client_that_stops_reading_is_let_go_and_others_do_not_notice(world: World) -> None:
    world.upstream.add(Reply.sse(flood()), model="slow")
    world.upstream.add(good("chat", "groq/x", stream=True), model="x", times=9)
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(("127.0.0.1", world.gateway.port))
    body = {"model": "groq/slow", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    slow.sendall(raw_request("POST", PATHS["chat"], json.dumps(body).encode()))
    (request,) = world.upstream.wait_for(1)
    before = resident(world)

    began = time.monotonic()
    assert world.ask(stream=True).text == "good"
    assert time.monotonic() - began < 1.0
    assert request.closed.wait(1.5 + LIMIT)  # the idle clock, then the closing
    assert request.sent < 50_000_000
    assert resident(world) - before < 30_000_000
    assert "Traceback" not in world.gateway.log
    slow.close()


def test_a_client_that_stops_reading_a_whole_answer_is_let_go_too() -> None:
    with running_world({"SLUICE_TIMEOUT_TOTAL": "1", "SLUICE_TIMEOUT_IDLE": "1"}) as world:
        world.upstream.add(Reply.json(chat_body("x" * 20_000_000)), model="x")
        slow = world.connect()
        body = {"model": "groq/x", "messages": [{"role": "user", "content": "hi"}]}
        slow.sendall(raw_request("POST", PATHS["chat"], json.dumps(body).encode()))
        world.upstream.wait_for(1)
        deadline = time.monotonic() + 5
        while "stopped reading" not in world.gateway.log and time.monotonic() < deadline:
            time.sleep(0.1)

        assert "stopped reading" in world.gateway.log
        assert "Traceback" not in world.gateway.log
        slow.close()


def test_a_connection_serves_one_stream_after_the_other(world: World) -> None:
    connection = world.connect()
    body = json.dumps({"model": "groq/x", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
    for _ in range(3):
        world.upstream.add(good("chat", "groq/x", stream=True))
        connection.sendall(raw_request("POST", PATHS["chat"], body.encode()))
        assert received(connection, b"\r\n0\r\n\r\n").endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


def test_a_client_of_http_1_0_gets_a_stream_that_its_end_ends(world: World) -> None:
    world.upstream.add(good("chat", "groq/x", stream=True))
    body = json.dumps({"model": "groq/x", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
    connection = world.connect()
    connection.sendall(raw_request("POST", PATHS["chat"], body.encode()).replace(b"HTTP/1.1", b"HTTP/1.0"))

    answer = received(connection, b"never comes", 5)

    assert b"transfer-encoding" not in answer.lower()
    assert answer.endswith(b"data: [DONE]\n\n")


def test_a_client_that_asks_before_its_body_is_told_to_go_on(world: World) -> None:
    world.upstream.add(good("chat", "groq/x", stream=False))
    body = json.dumps({"model": "groq/x", "messages": [{"role": "user", "content": "hi"}]}).encode()
    connection = world.connect()
    connection.sendall(
        raw_request("POST", PATHS["chat"], body, headers=["Expect: 100-continue"])[: -len(body)]
    )
    assert received(connection, b"\r\n\r\n", 2) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(body)
    assert received(connection, b"}}").startswith(b"HTTP/1.1 200 ")


def test_a_body_without_end_is_refused_and_not_kept(world: World) -> None:
    before = resident(world)
    connection = world.connect()
    connection.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    with suppress(OSError):  # the gateway hangs up
        for _ in range(1000):
            connection.sendall(b"f4240\r\n" + b"x" * 1_000_000 + b"\r\n")

    assert resident(world) - before < 3 * 32 * 1024 * 1024


def resident(world: World) -> int:
    """Return the bytes of memory that the worker holds."""
    with open(f"/proc/{worker_of(world)}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_a_slow_body_is_cut_at_its_deadline_and_others_do_not_notice(world: World) -> None:
    head = raw_request("POST", PATHS["chat"], b"x" * 1000)[:-1000]
    slow = [world.connect() for _ in range(30)]
    for connection in slow:
        connection.sendall(head + b'{"mod')
    began = time.monotonic()
    world.upstream.add(good("chat", "groq/x", stream=False))

    assert world.ask().status == 200
    assert time.monotonic() - began < 1.0
    for connection in slow:
        answer = received(connection, b"}}", 4)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"did not arrive within 1 seconds" in answer
        connection.close()


def test_a_chunked_body_that_drips_is_cut_at_its_deadline(world: World) -> None:
    connection = world.connect()
    connection.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    began = time.monotonic()
    with pytest.raises((TimeoutError, OSError)):
        while time.monotonic() - began < 5:
            connection.sendall(b"1\r\n \r\n")
            connection.settimeout(0.1)
            try:
                if connection.recv(12) == b"HTTP/1.1 408":
                    raise OSError
            except TimeoutError:
                continue
    assert time.monotonic() - began < 3


def test_slow_headers_do_not_keep_others_out(world: World) -> None:
    slow = [world.connect() for _ in range(60)]
    for connection in slow:
        connection.sendall(b"POST /v1/chat/completions HT")
    world.upstream.add(good("chat", "groq/x", stream=False))

    began = time.monotonic()
    assert world.ask().status == 200
    assert time.monotonic() - began < 1.0
    for connection in slow:
        connection.close()


def test_a_hundred_streams_run_side_by_side(world: World) -> None:
    def one_stream() -> Iterator[bytes]:
        yield ROLE
        for number in range(10):
            yield chat_text(f"t{number} ")
            time.sleep(0.05)
        yield chat_end()

    world.upstream.script = lambda request: Reply.sse(one_stream())
    began = time.monotonic()
    streams = [gevent.spawn(world.ask, surface, stream=True) for surface in SURFACES * 50]
    gevent.joinall(streams, raise_error=True)

    wanted = "".join(f"t{number} " for number in range(10))
    for greenlet, surface in zip(streams, SURFACES * 50, strict=True):
        assert (greenlet.value.status, greenlet.value.text) == (200, wanted)
        assert greenlet.value.broken(surface) == []
    assert time.monotonic() - began < 10


def leave(connection: socket.socket, reset: bool = False) -> None:
    """Close, or reset, the client's connection."""
    if reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


def eventually(ask: object, status: int, seconds: float = 3.0) -> dict[str, object]:
    """Ask until the answer has ``status``; return its body."""
    limit = time.monotonic() + seconds
    while True:
        answer = ask()  # type: ignore[operator]
        if answer.status == status or time.monotonic() > limit:
            assert answer.status == status, answer.body
            return answer.json  # type: ignore[no-any-return]
        time.sleep(0.05)


# --- the gateway leaves -----------------------------------------------------------------------

LAST_WORDS = {
    "anthropic": b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error",',
    "cohere": b'"finish_reason":"ERROR","error":"The server is shutting down',
}


def opened_at(world: World, door: Door) -> socket.socket:
    """Open a stream that goes on for long at another door."""
    world.upstream.add(Reply.sse(trickle()), model="long")
    asked = {} if "{model}" in door.path else {"model": "groq/long", "stream": True}
    body = json.dumps({**asked, **door.prompt}).encode()
    connection = world.connect()
    connection.sendall(raw_request("POST", door.place("groq/long", stream=True), body))
    return connection


DRAIN = {"SLUICE_DRAIN_AFTER": "1", "SLUICE_KEEPALIVE": "1"}


def test_sigterm_ends_open_streams_in_words_and_lets_short_ones_finish() -> None:
    with running_world(DRAIN) as world:
        release = threading.Event()

        def waiting() -> Iterator[bytes]:
            yield ROLE + chat_text("short ")
            release.wait(5)
            yield chat_text("end") + chat_end()

        world.upstream.add(Reply.sse(waiting()), model="short")
        world.upstream.add(Reply.sse(trickle()), model="long")
        world.upstream.add(Reply.sse(trickle()), model="long")
        world.upstream.add(Reply(wait=NEVER), model="json")
        short = world.open("chat", model="groq/short")
        long = {surface: world.open(surface, model="groq/long") for surface in SURFACES}
        world.upstream.add(Reply(wait=NEVER), model="json")
        silent = world.open("chat", model="groq/json", stream=False)
        held = world.open("responses", model="groq/json")
        received(short, b"short ")
        others = {door.name: opened_at(world, door) for door in DOORS}
        for connection in (*long.values(), *others.values()):
            received(connection, b'"x"')
        world.upstream.wait_for(5 + len(DOORS))

        began = time.monotonic()
        world.gateway.terminate()
        time.sleep(0.3)
        release.set()

        assert b"[DONE]" in received(short, b"\r\n0\r\n\r\n")
        endings = {surface: received(connection, b"\r\n0\r\n\r\n") for surface, connection in long.items()}
        last = {name: received(connection, b"\r\n0\r\n\r\n") for name, connection in others.items()}
        answer = received(silent, b"}}")
        refused = received(held, b"}}")
        assert 0.9 < time.monotonic() - began < 4

        for ending in endings.values():
            assert b'"code":"server_shutdown"' in ending
        assert b"[DONE]" not in endings["chat"]
        assert b"event: error\n" in endings["responses"]
        assert b"event: response.failed\n" in endings["responses"]
        for name, words in LAST_WORDS.items():
            assert words in last[name]
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in answer.lower()
        assert b'"code":"server_shutdown"' in answer
        assert world.gateway.process.wait(10) == 0
        assert time.monotonic() - began < 8


def test_sigkill_breaks_the_connection_without_a_false_ending() -> None:
    with running_world() as world:
        world.upstream.add(Reply.sse(trickle()))
        world.upstream.add(Reply.sse(trickle()))
        streams = {surface: world.open(surface) for surface in SURFACES}
        for connection in streams.values():
            received(connection, b'"x"')

        os.kill(worker_of(world), signal.SIGKILL)

        for connection in streams.values():
            try:
                rest = received(connection, b"\r\n0\r\n\r\n", 5)
            except ConnectionError:
                rest = b""
            assert b"[DONE]" not in rest
            assert b"response.completed" not in rest
            assert not rest.endswith(b"0\r\n\r\n")
        requests: list[Request] = world.upstream.requests
        assert all(request.closed.wait(LIMIT) for request in requests)
        world.fresh().upstream.add(good("chat", "groq/x", stream=False))
        assert eventually(lambda: retried(world), 200)


def retried(world: World) -> object:
    """Ask again where the old worker's death refused the connection."""
    while True:
        try:
            return world.ask()
        except ConnectionError:
            time.sleep(0.05)


def worker_of(world: World) -> int:
    """Return the pid of the gateway's only worker."""
    parent = world.gateway.process.pid
    with open(f"/proc/{parent}/task/{parent}/children") as file:
        return int(file.read().split()[0])


def test_the_worker_takes_more_connections_than_slow_clients_hold() -> None:
    with running_world({"SLUICE_BODY_DEADLINE": "5"}) as world:
        world.upstream.add(good("chat", "groq/x", stream=False))
        head = raw_request("POST", PATHS["chat"], b"x" * 1000)[:-1000]
        slow = [world.connect() for _ in range(400)]
        for connection in slow:
            connection.sendall(head)

        began = time.monotonic()
        assert world.ask().status == 200
        assert time.monotonic() - began < 2
        for connection in slow:
            connection.close()
