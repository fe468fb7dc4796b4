"""Those who leave: clients, slow readers, slow senders, and the gateway itself (reliability.md 3 and 4).

A client that leaves has its provider's connection closed within 3 s, whatever both are doing; a gateway
that is told to leave ends its streams in words. What only waits is tried at all surfaces at the same time.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator

import gevent
import pytest

from tests.behaviour.surfaces import CHAT, EVERY, RESPONSES, SURFACES, Surface, at_each
from tests.behaviour.world import (
    HEAD,
    OPERATIONS,
    PATHS,
    ROLE,
    Answer,
    World,
    answer_of,
    chat_body,
    chat_end,
    chat_text,
    good,
    raw_request,
    received,
    running_world,
    to_the_end,
)
from tests.running import running_gateway
from tests.traffic.replay import NEVER, Reply, Request

MAX_BODY = 4_000_000
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
        "SLUICE_MAX_BODY_BYTES": str(MAX_BODY),
    }
    with running_world(env) as world:
        yield world


@pytest.fixture
def world(_world: World) -> World:
    return _world.fresh()


def flood(size: int = 1000) -> Iterator[bytes]:
    """Yield a stream that does not end."""
    yield ROLE
    text = chat_text("x" * size)
    while True:
        yield text


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


def wait_for_request(world: World, model: str, seconds: float = 30.0) -> Request:
    """Wait for the request that asks the provider for a model."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        for request in list(world.upstream.requests):
            if request.json()["model"] == model:
                return request
        time.sleep(0.01)
    raise TimeoutError(f"nobody asked for {model} within {seconds} s")


@pytest.mark.parametrize("name", REPLIES)
@pytest.mark.parametrize(("provider", "reset"), [("groq", False), ("openai", True)], ids=str)
def test_a_client_that_leaves_takes_its_stream_along(
    provider: str, reset: bool, name: str, world: World
) -> None:
    def check(surface: Surface) -> None:
        model = f"groq/{surface.own}" if surface is RESPONSES else f"{provider}/{surface.own}"
        world.upstream.add(REPLIES[name](), model=surface.own)
        connection = surface.open(world, model)
        request = wait_for_request(world, surface.own)
        if "busy" in name or "faster" in name:
            received(connection, b"xxx" if "faster" in name else b'"x"')

        leave(connection, reset)

        assert request.closed.wait(LIMIT)

    at_each(check)


@pytest.mark.parametrize("body", ["never", "in the middle"])
def test_a_client_that_leaves_takes_its_json_call_along(body: str, world: World) -> None:
    reply = Reply(wait=NEVER) if body == "never" else Reply.json({"a": "b" * 99}, hang=9)
    world.upstream.add(reply, times=NEVER)

    def check(surface: Surface) -> None:
        connection = surface.open(world, f"groq/{surface.own}", stream=False)
        request = wait_for_request(world, surface.own)

        leave(connection)

        assert request.closed.wait(LIMIT)

    at_each(check)


def test_a_client_that_leaves_is_not_retried_or_fallen_back_for(world: World) -> None:
    world.upstream.add(Reply(wait=NEVER), times=NEVER)

    def check(surface: Surface) -> None:
        connection = surface.open(world, f"groq/{surface.own}", fallbacks=["openai/y"])
        request = wait_for_request(world, surface.own)

        leave(connection)

        assert request.closed.wait(LIMIT)

    at_each(check)
    with pytest.raises(TimeoutError):
        world.upstream.wait_for(len(EVERY) + 1, timeout=0.5)

    lines = [json.loads(line) for line in world.gateway.log.splitlines() if line.startswith("{")]
    calls = [line for line in lines if line["event"] == "call"]
    assert [(call["error"], call["status"]) for call in calls[-len(EVERY) :]] == [("client_gone", 499)] * len(
        EVERY
    )


def test_a_client_that_left_is_logged_as_gone_and_its_response_stored_as_cancelled(world: World) -> None:
    world.upstream.add(Reply.sse(ROLE + chat_text("partial"), hang=len(ROLE + chat_text("partial"))))
    connection = world.open("responses")
    received_bytes = received(connection, b"partial")
    response_id = json.loads(received_bytes.partition(b"data: ")[2].partition(b"\n")[0])["response"]["id"]

    leave(connection)

    assert world.upstream.requests[0].closed.wait(LIMIT)
    stored = eventually(lambda: world.send("GET", f"/v1/responses/{response_id}"), 200)
    assert stored["status"] == "cancelled"
    assert stored["output"][0]["content"][0]["text"] == "partial"
    lines = [json.loads(line) for line in world.gateway.log.splitlines() if line.startswith("{")]
    last = [line for line in lines if line["event"] == "call"][-1]
    assert (last["error"], last["status"], last["response_id"]) == ("client_gone", 499, response_id)


def test_a_half_close_counts_as_leaving_and_the_next_caller_is_served(world: World) -> None:
    def check(surface: Surface) -> None:
        world.upstream.add(Reply(wait=NEVER), model=surface.own)
        connection = surface.open(world, f"groq/{surface.own}")
        request = wait_for_request(world, surface.own)

        connection.shutdown(socket.SHUT_WR)

        assert request.closed.wait(LIMIT)
        world.upstream.add(good("chat", "groq/x", stream=False), model=surface.own)
        assert surface.ask(world, f"groq/{surface.own}").status == 200

    at_each(check)


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


def test_a_client_that_reads_slowly_gets_all_of_its_stream() -> None:
    texts = [f"{number:05d}" + "x" * 20_000 for number in range(1000)]
    with running_world({"SLUICE_TIMEOUT_TOTAL": "100", "SLUICE_TIMEOUT_IDLE": "20"}) as world:
        world.upstream.add(Reply.sse([ROLE, *map(chat_text, texts), chat_end()]), model="slow")
        slow = slow_reader(world, CHAT, "groq/slow", stream=True)
        request = wait_for_request(world, "slow")
        sent = -1
        while sent < request.sent:  # until nobody on the way takes more
            sent = request.sent
            time.sleep(0.2)
        assert 0 < sent < len(texts) * 20_000
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_000_000)
        answer = answer_of(to_the_end(slow))
        slow.close()
    assert CHAT.text_of(answer) == "".join(texts)
    assert CHAT.ended_well(answer)


def test_a_client_that_stops_reading_is_let_go_at_every_other_surface(world: World) -> None:
    world.upstream.script = lambda request: Reply.sse(flood(20_000))
    before = resident(world)

    def check(surface: Surface) -> None:
        slow = slow_reader(world, surface, f"groq/{surface.own}", stream=True)
        request = wait_for_request(world, surface.own)
        assert request.closed.wait(1.5 + 2 * LIMIT)  # the idle clock, then the closing, five at a time
        assert request.sent < 50_000_000
        slow.close()

    at_each(check, SURFACES)
    assert resident(world) - before < 60_000_000
    assert "Traceback" not in world.gateway.log


def slow_reader(world: World, surface: Surface, model: str, *, stream: bool) -> socket.socket:
    """Put a prompt over a connection that takes little, and whose answer nobody reads."""
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(("127.0.0.1", world.gateway.port))
    body = json.dumps(surface.body(model, stream=stream)).encode()
    slow.sendall(raw_request("POST", surface.place(model, stream=stream), body))
    return slow


def test_a_client_that_stops_reading_a_whole_answer_is_let_go_too() -> None:
    with running_world({"SLUICE_TIMEOUT_TOTAL": "30", "SLUICE_TIMEOUT_IDLE": "1"}) as world:
        world.upstream.add(Reply.json(chat_body("x" * 8_000_000)), times=NEVER)
        slow = [slow_reader(world, surface, "groq/x", stream=False) for surface in EVERY]
        deadline = time.monotonic() + 40
        while (told := world.gateway.log.count("stopped reading")) < len(
            slow
        ) and time.monotonic() < deadline:
            time.sleep(0.1)

        assert told == len(slow)
        assert "Traceback" not in world.gateway.log
        for connection in slow:
            connection.close()


def test_a_connection_serves_one_stream_after_the_other(world: World) -> None:
    world.upstream.add(good("chat", "groq/x", stream=True), times=NEVER)

    def check(surface: Surface) -> None:
        connection = world.connect()
        body = json.dumps(surface.body("groq/x", stream=True)).encode()
        for _ in range(3):
            connection.sendall(raw_request("POST", surface.place(stream=True), body))
            answer = answer_of(to_the_end(connection))
            assert (surface.text_of(answer), surface.ended_well(answer)) == ("good", True)

    at_each(check)


def test_a_client_of_http_1_0_gets_a_stream_that_its_end_ends(world: World) -> None:
    world.upstream.add(good("chat", "groq/x", stream=True), times=NEVER)

    def check(surface: Surface) -> None:
        body = json.dumps(surface.body("groq/x", stream=True)).encode()
        request = raw_request("POST", surface.place(stream=True), body)
        connection = world.connect()
        connection.sendall(request.replace(b"HTTP/1.1", b"HTTP/1.0"))

        head, _, said = received(connection, b"never comes", 5).partition(HEAD)

        assert b"transfer-encoding" not in head.lower()
        headers = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
        answer = Answer(200, headers, said)
        assert (surface.text_of(answer), surface.ended_well(answer)) == ("good", True)

    at_each(check)


def test_a_client_that_asks_before_its_body_is_told_to_go_on(world: World) -> None:
    world.upstream.add(good("chat", "groq/x", stream=False), times=NEVER)

    def check(surface: Surface) -> None:
        body = json.dumps(surface.body("groq/x")).encode()
        request = raw_request("POST", surface.place(), body, headers=["Expect: 100-continue"])
        connection = world.connect()
        connection.sendall(request[: -len(body)])
        assert received(connection, HEAD, 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert received(connection, b"}}").startswith(b"HTTP/1.1 200 ")

    at_each(check)


def chunked_head(surface: Surface) -> bytes:
    """Return the head of a request whose body comes in chunks."""
    return raw_request("POST", surface.place()).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")


def test_a_body_without_end_is_refused_and_not_kept(world: World) -> None:
    before = resident(world)

    def check(surface: Surface) -> None:
        connection = world.connect()
        connection.sendall(chunked_head(surface))
        began = time.monotonic()
        with pytest.raises(OSError):  # the gateway hangs up
            while time.monotonic() - began < 30:
                connection.sendall(b"7a120\r\n" + b"x" * 500_000 + b"\r\n")
                time.sleep(0.02)

    at_each(check)
    assert resident(world) - before < 3 * len(EVERY) * MAX_BODY


def resident(world: World) -> int:
    """Return the bytes of memory that the worker holds."""
    with open(f"/proc/{worker_of(world)}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_a_slow_body_is_cut_at_its_deadline_and_others_do_not_notice(world: World) -> None:
    slow = [(surface, world.connect()) for surface in EVERY * 5]
    for surface, connection in slow:
        connection.sendall(raw_request("POST", surface.place(), b"x" * 1000)[:-1000] + b'{"mod')
    began = time.monotonic()
    world.upstream.add(good("chat", "groq/x", stream=False))

    assert world.ask().status == 200
    assert time.monotonic() - began < 1.0
    for _, connection in slow:
        head, _, body = received(connection, b"}", 4).partition(HEAD)
        assert head.startswith(b"HTTP/1.1 408 ")
        assert b"did not arrive within 1 seconds" in body
        connection.close()


def test_a_chunked_body_that_drips_is_cut_at_its_deadline(world: World) -> None:
    def check(surface: Surface) -> None:
        connection = world.connect()
        connection.sendall(chunked_head(surface))
        began = time.monotonic()
        with pytest.raises((TimeoutError, OSError)):
            while time.monotonic() - began < 30:
                connection.sendall(b"1\r\n \r\n")
                connection.settimeout(0.1)
                try:
                    if connection.recv(12) == b"HTTP/1.1 408":
                        raise OSError
                except TimeoutError:
                    continue
        assert time.monotonic() - began < 20

    at_each(check)


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
    streams = [(surface, gevent.spawn(surface.ask, world, "groq/x", stream=True)) for surface in EVERY * 15]
    gevent.joinall([greenlet for _, greenlet in streams], raise_error=True)

    text = "".join(f"t{number} " for number in range(10))
    for surface, greenlet in streams:
        answer = greenlet.value
        assert (answer.status, surface.text_of(answer), surface.ended_well(answer)) == (200, text, True)
    assert time.monotonic() - began < 40


def leave(connection: socket.socket, reset: bool = False) -> None:
    """Close, or reset, the client's connection."""
    if reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


def eventually(ask: object, status: int, seconds: float = 30.0) -> dict[str, object]:
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
    "cohere": b'"finish_reason":"ERROR","usage":{},"error":"The server is shutting down',
}


DRAIN = {"SLUICE_DRAIN_AFTER": "1", "SLUICE_KEEPALIVE": "1"}


def test_sigterm_is_noticed_at_once_not_at_the_next_look() -> None:
    """The worker gives a sign of life at each whole second; three starts give a busy machine its chance."""
    seconds = []
    while len(seconds) < 3 and not any(taken < 0.9 for taken in seconds):
        with running_gateway() as gateway:
            time.sleep(1.02 - time.monotonic() % 1)
            began = time.monotonic()
            assert gateway.stop() == 0
            seconds.append(time.monotonic() - began)
    assert min(seconds) < 0.9, seconds


def test_sigterm_ends_open_streams_in_words_and_lets_short_ones_finish() -> None:
    with running_world(DRAIN) as world:
        release = threading.Event()

        def waiting() -> Iterator[bytes]:
            yield ROLE + chat_text("short ")
            release.wait(5)
            yield chat_text("end") + chat_end()

        world.upstream.add(Reply.sse(waiting()), model="short")
        world.upstream.add(Reply(wait=NEVER), model="json", times=NEVER)
        world.upstream.script = lambda request: Reply.sse(trickle())
        short = CHAT.open(world, "groq/short")
        long = [(surface, surface.open(world, "groq/long")) for surface in EVERY]
        whole = [(surface, surface.open(world, "groq/json", stream=False)) for surface in EVERY]
        held = [(surface, surface.open(world, "groq/json")) for surface in EVERY]
        received(short, b"short ")
        for _, connection in long:
            received(connection, b'"x"')
        world.upstream.wait_for(1 + 3 * len(EVERY))

        began = time.monotonic()
        world.gateway.terminate()
        time.sleep(0.3)
        release.set()

        assert b"[DONE]" in to_the_end(short)
        endings = {surface.name: to_the_end(connection) for surface, connection in long}
        refused = [(surface, received(connection, b"}")) for surface, connection in whole + held]
        assert 0.9 < time.monotonic() - began < 15

        for operation in OPERATIONS:
            assert b'"code":"server_shutdown"' in endings[operation]
        assert b"event: error\n" in endings["responses"]
        assert b"event: response.failed\n" in endings["responses"]
        for name, words in LAST_WORDS.items():
            assert words in endings[name]
        for surface in EVERY:
            assert surface.ending not in endings[surface.name]
            assert b"shutting down" in endings[surface.name]
        for surface, answer in refused:
            assert answer.startswith(b"HTTP/1.1 %d " % surface.statuses.get(503, 503))
            assert b"retry-after: 1" in answer.lower()
            assert surface.name not in OPERATIONS or b'"code":"server_shutdown"' in answer
        assert world.gateway.process.wait(10) == 0
        assert time.monotonic() - began < 30


def test_sigkill_breaks_the_connection_without_a_false_ending() -> None:
    with running_world() as world:
        world.upstream.script = lambda request: Reply.sse(trickle())
        streams = [(surface, surface.open(world, "groq/x")) for surface in EVERY]
        for _, connection in streams:
            received(connection, b'"x"')

        os.kill(worker_of(world), signal.SIGKILL)

        for surface, connection in streams:
            try:
                rest = received(connection, b"\r\n0\r\n\r\n", 5)
            except ConnectionError:
                rest = b""
            assert surface.ending not in rest
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
        assert time.monotonic() - began < 5
        for connection in slow:
            connection.close()
