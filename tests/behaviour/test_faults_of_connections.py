"""The fault table, part three: connections that fail, and answers that are no HTTP (reliability.md 3).

The providers here are custom ones of the file, each with an address that fails in its own way.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.surfaces import EVERY, Surface
from tests.behaviour.world import OPERATIONS, World, chat_body, good, running_world
from tests.running import free_port
from tests.traffic.replay import Reply
from tests.wire.certificates import make_authority
from tests.wire.servers import Received, Server, always, answer, serving


def resetting(sock: Any, _request: Received) -> bool:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def silent(_sock: Any, _request: Received) -> bool:
    return False


GOOD = answer(json.dumps(chat_body()).encode())
SCRIPTS: dict[str, Callable[[Any, Received], object]] = {
    "closing": silent,
    "resetting": resetting,
    "noise": always(b"SSH-2.0-OpenSSH_9.9\r\n", keep=False),
    "binary": always(b"\x15\x03\x01\x00\x02\x02\x46" * 9, keep=False),
    "halfhead": always(b"HTTP/1.1 200 OK\r\nContent-Type: appl", keep=False),
    "halfline": always(b"HTTP/1.1 20", keep=False),
    "nocolon": always(b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n{}", keep=False),
    "http2": always(b"HTTP/2 200\r\n\r\n", keep=False),
    "status99": always(b"HTTP/1.1 099 What\r\n\r\n", keep=False),
    "status999": always(b"HTTP/1.1 999 What\r\nContent-Length: 2\r\n\r\n{}", keep=False),
    "endless": always(b"x" * 2_000_000, keep=False),
    "twolengths": always(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}}", keep=False),
    "badlength": always(b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n{}", keep=False),
    "shortbody": always(b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{}", keep=False),
    "badchunk": always(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n", keep=False),
    "upgrade": always(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", keep=False),
    "interim": always(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + GOOD, keep=False),
}

FAULTS = [
    # provider, status, code, tries that reach a server (None: no server)
    ("refused", 502, "upstream_unreachable", None),
    ("nowhere", 502, "upstream_unreachable", None),
    ("plaintls", 502, "upstream_tls", 0),
    ("untrusted", 502, "upstream_tls", 0),
    ("closing", 502, "upstream_unreachable", 2),
    ("resetting", 502, "upstream_unreachable", 2),
    ("noise", 502, "upstream_invalid_response", 1),
    ("binary", 502, "upstream_invalid_response", 1),
    ("halfhead", 502, "upstream_invalid_response", 1),
    ("halfline", 502, "upstream_invalid_response", 1),
    ("nocolon", 502, "upstream_invalid_response", 1),
    ("http2", 502, "upstream_invalid_response", 1),
    ("status99", 502, "upstream_invalid_response", 1),
    ("status999", 502, "upstream_invalid_response", 1),
    ("endless", 502, "upstream_invalid_response", 1),
    ("twolengths", 502, "upstream_invalid_response", 1),
    ("badlength", 502, "upstream_invalid_response", 1),
    ("shortbody", 502, "upstream_invalid_response", 1),
    ("badchunk", 502, "upstream_invalid_response", 1),
    ("upgrade", 502, "upstream_invalid_response", 1),
    ("proxydown", 502, "egress_proxy", None),
    ("proxy407", 502, "egress_proxy", None),
    ("proxyhtml", 502, "egress_proxy", None),
    ("proxytunnel", 502, "egress_proxy", None),
]
ATTEMPTS = {"refused": 2, "closing": 2, "resetting": 2}


EACH = pytest.mark.parametrize("surface", EVERY, ids=lambda surface: surface.name)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(serving(script)) for name, script in SCRIPTS.items()}


@pytest.fixture(scope="module")
def _world(servers: dict[str, Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("authority")
    context = make_authority(folder).server_context("127.0.0.1")
    with (
        serving(always(GOOD), tls=context) as untrusted,
        serving(always(answer(b"denied", status="407 Proxy Authentication Required"))) as proxy407,
        serving(always(answer(b"<html>blocked</html>", headers=("Content-Type: text/html",)))) as html,
    ):
        urls = {name: server.url("/v1") for name, server in servers.items()}
        urls["refused"] = f"http://127.0.0.1:{free_port()}/v1"
        urls["nowhere"] = "http://nowhere.invalid/v1"
        urls["plaintls"] = servers["noise"].url("/v1", scheme="https")
        urls["untrusted"] = untrusted.url("/v1", scheme="https")
        proxies = {
            "proxydown": f"http://127.0.0.1:{free_port()}",
            "proxy407": f"http://127.0.0.1:{proxy407.port}",
            "proxyhtml": f"http://127.0.0.1:{html.port}",
            "proxytunnel": f"http://127.0.0.1:{proxy407.port}",
        }
        urls |= dict.fromkeys(proxies, "http://provider.example/v1")
        urls["proxytunnel"] = "https://provider.example/v1"
        lines = []
        for name, url in urls.items():
            lines += [
                f"[providers.{name}]",
                'dialect = "chat"',
                f'base_url = "{url}"',
                'api_key = "a-key-of-ours"',
            ]
            lines += [f'proxy = "{proxies[name]}"'] if name in proxies else []
        env = {"SLUICE_TIMEOUT_CONNECT": "3", "SLUICE_TIMEOUT_FIRST_BYTE": "5"}
        with running_world(env, config="\n".join(lines)) as world:
            yield world


@pytest.fixture
def world(_world: World, servers: dict[str, Server]) -> World:
    for server in servers.values():
        server.requests.clear()
    return _world.fresh()


@pytest.mark.parametrize(("name", "status", "code", "tries"), FAULTS, ids=[row[0] for row in FAULTS])
@EACH
@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
def test_a_connection_that_fails_is_a_502(
    surface: Surface,
    stream: bool,
    name: str,
    status: int,
    code: str,
    tries: int | None,
    world: World,
    servers: dict[str, Server],
) -> None:
    made = surface.ask(world, f"{name}/m", stream=stream)

    assert (made.status, bool(surface.word(made.json))) == (status, True), made.body
    assert surface.name not in OPERATIONS or made.error["code"] == code
    assert made.headers["x-sluice-attempts"] == str(ATTEMPTS.get(name, 1))
    shown = made.body.decode()
    assert not any(
        word in shown for word in ("127.0.0.1", "invalid/", "provider.example", "<html", "a-key-of-ours")
    )
    if name in servers:
        assert len(servers[name].requests) == tries
    assert made.headers.get("x-should-retry") == ("false" if name in ATTEMPTS else None)


@pytest.mark.parametrize("name", [row[0] for row in FAULTS])
@EACH
@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
def test_a_connection_that_fails_falls_back(surface: Surface, stream: bool, name: str, world: World) -> None:
    world.upstream.add(good(surface.name, "groq/x", stream))

    made = surface.ask(world, f"{name}/m", stream=stream, fallbacks=["groq/x"])

    assert (made.status, surface.text_of(made), made.headers["x-sluice-provider"]) == (200, "good", "groq")


def test_an_interim_answer_is_not_the_answer(world: World) -> None:
    assert world.ask(model="interim/m").text == "good"


def test_a_kept_connection_that_died_is_replaced(world: World) -> None:
    """The second call finds its kept connection closed by the server: a fresh one serves it."""
    for _ in range(3):
        world.upstream.add(Reply.json(chat_body(), headers={"connection": "close"}, framing="close"))
        assert world.ask().text == "good"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_provider_without_key_or_address_names_what_to_set(operation: str, world: World) -> None:
    made = world.ask(operation, model="mistral/x")

    assert (made.status, made.error["code"], made.error["param"]) == (400, "provider_not_configured", "model")
    assert "MISTRAL_API_KEY" in made.error["message"]
    assert world.ask(operation, model="mistral/x", fallbacks=["refused/m"]).status == 400


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_unknown_model_is_400_on_every_operation(operation: str, world: World) -> None:
    made = world.ask(operation, model="no-such-model")

    assert (made.status, made.error["code"], made.error["param"]) == (400, "model_not_found", "model")


def test_an_operation_that_a_provider_cannot_do_names_both(world: World) -> None:
    made = world.send("POST", "/v1/embeddings", {"model": "anthropic/x", "input": "hi"})

    assert (made.status, made.error["code"]) == (400, "unsupported_operation")
    assert "anthropic" in made.error["message"]
    assert "embedding" in made.error["message"]


@pytest.mark.parametrize("status", [101, 204, 301, 307, 407])
def test_a_refused_answer_without_a_body_leaves_no_dead_connection_behind(status: int, world: World) -> None:
    """Its connection is closed; a number of its own must not come back for another call."""
    for _ in range(4):
        world.upstream.add(Reply(status, b"", framing="length"))
        assert world.ask().status == 502
        world.upstream.add(good("chat", "groq/x", stream=False))
        assert world.ask().text == "good"
