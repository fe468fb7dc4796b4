"""Connections that were kept and have died meanwhile, all at once, as at a restart of a provider's load balancer."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import gevent
import pytest
from gevent.event import Event

from tests.behaviour.world import Answer, World, chat_body, running_world
from tests.wire.servers import Received, Server, answer, serving

MANY = 6
GOOD = answer(json.dumps(chat_body()).encode())


@dataclass
class Balancer:
    """A server that forgets its connections: ``restart`` makes each one fail at its next request."""

    resets: bool = False
    restarts: int = 0
    began: dict[int, int] = field(default_factory=dict)
    waiting: int = 0
    all_here: Event = field(default_factory=Event)

    def __call__(self, sock: Any, request: Received) -> bool:
        if self.began.setdefault(request.connection, self.restarts) != self.restarts:
            if self.resets:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        self.waiting += 1
        if self.waiting >= MANY:
            self.all_here.set()
        self.all_here.wait(10)
        sock.sendall(GOOD)
        return True

    def restart(self) -> None:
        self.restarts += 1
        self.waiting = 0


@pytest.fixture(scope="module")
def balancer() -> Balancer:
    return Balancer()


@pytest.fixture(scope="module")
def server(balancer: Balancer) -> Iterator[Server]:
    with serving(balancer) as server:
        yield server


@pytest.fixture(scope="module")
def world(server: Server) -> Iterator[World]:
    config = f"""
[providers.direct]
dialect = "chat"
api_key = "k"
base_url = "{server.url("/v1")}"

[providers.proxied]
dialect = "chat"
api_key = "k"
base_url = "http://provider.example/v1"
proxy = "{server.url("")}"
"""
    with running_world(config=config) as world:
        yield world


@pytest.mark.parametrize("resets", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("provider", ["direct", "proxied"])
def test_one_retry_is_enough_however_many_have_died(
    provider: str, resets: bool, world: World, balancer: Balancer, server: Server
) -> None:
    balancer.resets, balancer.all_here = resets, Event()

    def ask() -> Answer:
        return world.ask("chat", model=f"{provider}/x")

    kept = gevent.joinall([gevent.spawn(ask) for _ in range(MANY)])
    assert [one.value.status for one in kept] == [200] * MANY
    balancer.restart()
    before = len(server.requests)

    assert (ask().status, ask().status) == (200, 200)
    assert len(server.requests) == before + 3  # one of the dead was tried
