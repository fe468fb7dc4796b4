"""Peers that are always faster than the gateway reads: who floods one connection holds up nobody else.

A read that finds bytes gives the hub no turn, so each flood goes on for seconds, and another client asks
meanwhile.
"""

from __future__ import annotations

import base64
import gzip
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest

from tests.behaviour.world import PATHS, World, chat_chunk, event_frame, raw_request, received
from tests.lifecycle.house import cpu_seconds
from tests.traffic.replay import Reply

FLOOD = 5.0  # seconds
BLOCK = 65536
HEAD = raw_request("POST", PATHS["chat"]).partition(b"Content-Length")[0]
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
UPGRADE = (
    b"GET /v1/responses HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + base64.b64encode(b"k" * 16) + b"\r\n\r\n"
)


PING = struct.pack(">BBI", 0x89, 0x80, 0)  # masked, as a client's frames are


CLIENTS = {
    # what floods: what opens the connection, what comes for ever
    "chunks of one byte": (CHUNKED, b"1\r\nx\r\n"),
    "requests": (b"", b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "refused requests": (b"", raw_request("POST", PATHS["chat"], b"{}")),
    "pings": (UPGRADE, PING),
}


def _asks_meanwhile(world: World, flood: Callable[[threading.Event], None]) -> float:
    """Ask something while ``flood`` goes on, until that is answered; return what it took in seconds."""
    over = threading.Event()
    flooder = threading.Thread(target=flood, args=(over,))
    flooder.start()
    time.sleep(0.5)
    limit = threading.Timer(FLOOD, over.set)
    limit.start()
    began = time.monotonic()
    answer = world.ask(model="sandbox/echo")
    seconds = time.monotonic() - began
    limit.cancel()
    over.set()
    flooder.join()
    assert answer.status == 200
    return seconds


@pytest.mark.parametrize("kind", CLIENTS)
def test_a_client_that_floods_holds_up_nobody(kind: str, world: World) -> None:
    opening, piece = CLIENTS[kind]
    connection = world.connect()
    connection.settimeout(0.5)
    connection.sendall(opening)

    def flood(over: threading.Event) -> None:
        block = piece * (BLOCK // len(piece))
        with suppress(OSError):  # whoever is sent too much may close
            while not over.is_set():
                connection.sendall(block)

    reader = threading.Thread(target=_read_all, args=(connection,), daemon=True)
    reader.start()
    spent = _asks_meanwhile(world, flood)
    connection.close()

    assert spent < FLOOD / 2


def _read_all(connection: socket.socket) -> None:
    while True:
        try:
            if not connection.recv(BLOCK):
                return
        except TimeoutError:
            continue
        except OSError:
            return


def _until(over: threading.Event, piece: bytes) -> Iterator[bytes]:
    block = piece * (BLOCK // len(piece))
    while not over.is_set():
        yield block


PROVIDERS = {
    # what floods: what comes for ever
    "comments": b":\n",
    "ids": b"id: x\n",
    "empty lines": b"\r",
    "events without content": b"data: {}\n\n",
    "content": chat_chunk({"content": "a"}),
}


@pytest.mark.parametrize("kind", PROVIDERS)
def test_a_provider_that_floods_holds_up_nobody(kind: str, world: World) -> None:
    def flood(over: threading.Event) -> None:
        body = _until(over, PROVIDERS[kind])
        world.upstream.script = lambda request: Reply.sse(body, framing="close", chunk=0)
        world.ask(stream=True)

    assert _asks_meanwhile(world, flood) < FLOOD / 2


def test_a_stream_that_unpacks_for_ever_holds_up_nobody(world: World) -> None:
    packed = gzip.compress(b":\n" * 20_000_000)
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}

    def flood(over: threading.Event) -> None:
        world.upstream.script = lambda request: Reply(200, packed, headers)
        world.ask(stream=True)

    assert _asks_meanwhile(world, flood) < FLOOD / 2


def _choices(count: int) -> dict[str, Any]:
    one = {"delta": {"content": "a"}, "message": {"content": "a"}, "finish_reason": "stop"}
    return {"id": "x", "object": "x", "created": 1, "model": "up", "choices": [one] * count}


LARGE = {
    # what comes at once: with which type
    "an event": (b"data: %b\n\n", "text/event-stream"),
    "a whole answer": (b"%b", "application/json"),
}


@pytest.mark.parametrize("operation", PATHS)
@pytest.mark.parametrize("kind", LARGE)
def test_a_large_piece_of_a_stream_holds_up_nobody(kind: str, operation: str, world: World) -> None:
    form, media_type = LARGE[kind]
    sent, over = threading.Event(), threading.Event()
    answered: list[float] = []

    def body() -> Iterator[bytes]:
        yield form % json.dumps(_choices(50_000)).encode()
        sent.set()
        over.wait(60)

    def ask_meanwhile() -> None:
        sent.wait(60)
        answered.append(cpu_seconds(world.gateway.process))
        while not over.is_set():
            world.send("GET", "/health")
            answered.append(cpu_seconds(world.gateway.process))

    size = len(form % json.dumps(_choices(50_000)).encode())
    headers = {"content-type": media_type, "content-length": str(size)}
    world.upstream.script = lambda request: Reply(200, body(), headers, framing="close", chunk=0)
    other = threading.Thread(target=ask_meanwhile)
    other.start()
    answer = received(
        world.open(operation), b"data: ", 60
    )  # what is written first waits for all of the piece
    over.set()
    other.join()

    assert answer.startswith(b"HTTP/1.1 200 ")
    longest = max(after - before for before, after in pairwise(answered))
    assert longest < 2 / 3 * (answered[-1] - answered[0])  # without turns it is all of it


@pytest.mark.parametrize(
    "endless",
    [b"0" * BLOCK, b"1;" + b"a" * BLOCK, b"1\r\nx\r\n0\r\n" + b"a: b\r\n" * BLOCK],
    ids=["size", "extension", "trailers"],
)
def test_what_frames_a_chunked_body_is_bounded(endless: bytes, world: World) -> None:
    """It is looked through again after each read, so without a bound its cost grows with the square."""
    connection = world.connect()
    with suppress(OSError):  # it is refused before all of it is sent
        connection.sendall(CHUNKED + endless)

    answer = received(connection, b"}}", 5)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"type":"invalid_request_error"' in answer


@pytest.mark.parametrize("model", ["groq/x", "anthropic/x"])
@pytest.mark.parametrize("operation", PATHS)
def test_a_stream_of_very_many_parts_ends_in_an_error(operation: str, model: str, world: World) -> None:
    """Each becomes an item of the answer, with six events at the Responses API."""
    if model.startswith("groq"):
        body = b"".join(chat_chunk({"reasoning_content": "a", "content": "b"}) for _ in range(5_050))
    else:
        body = event_frame({"type": "message_start", "message": {"id": "m", "usage": {}}}) + b"".join(
            event_frame({"type": "content_block_start", "index": i, "content_block": block})
            + event_frame({"type": "content_block_stop", "index": i})
            for i in range(10_100)
            for block in [{"type": "tool_use", "id": f"t{i}", "name": "f", "input": {}}]
        )
    world.upstream.add(Reply.sse(body, chunk=0, framing="close"))

    answer = world.ask(operation, model=model, stream=True)

    assert answer.stream_error is not None
    assert "more than 10000 choices and parts" in answer.stream_error["message"]
