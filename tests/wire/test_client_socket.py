"""Has the client gone? On real sockets, and for all of them by one sweeper."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import gevent
import pytest
from gevent.event import Event

from app.wire import client_socket
from app.wire.client_socket import ClientWatch, is_closed
from tests.wire.servers import soon

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(params=["tcp info", "peek", "unix"])
def pair(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """Our end and the client's."""
    if request.param == "unix":
        ours, client = socket.socketpair()
    else:
        if request.param == "peek":
            monkeypatch.delattr(socket, "TCP_INFO")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            ours, _ = listener.accept()
    with ours, client:
        yield ours, client


def test_an_open_connection_is_open(pair: Pair) -> None:
    assert not is_closed(pair[0])


def test_a_closed_connection_is_closed(pair: Pair) -> None:
    ours, client = pair
    client.close()
    assert soon(lambda: is_closed(ours))


def test_a_reset_connection_is_closed(pair: Pair) -> None:
    ours, client = pair
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    assert soon(lambda: is_closed(ours))


def test_our_own_closed_socket_is_closed(pair: Pair) -> None:
    pair[0].close()
    assert is_closed(pair[0])


def test_asking_consumes_nothing_and_waits_for_nothing(pair: Pair) -> None:
    ours, client = pair
    client.sendall(b"GET / HTTP/1.1")
    assert soon(lambda: client_socket._peek_closed(ours) is False)
    assert not is_closed(ours)
    assert ours.recv(100) == b"GET / HTTP/1.1"


def test_the_kernel_tells_of_an_end_behind_unread_data() -> None:
    """A client that pipelined its next request and then left: a peek cannot see that."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    client.close()
    with ours:
        assert soon(lambda: is_closed(ours))
        assert not client_socket._peek_closed(ours)


def test_one_sweep_finds_the_clients_that_left(pair: Pair) -> None:
    ours, client = pair
    gone = Event()
    watch = ClientWatch(sleep=lambda _: gevent.sleep(1000))
    watch.register(ours, gone.set)
    assert watch.sweep() == 0
    client.close()
    assert soon(lambda: watch.sweep() == 1)
    assert gone.wait(1)
    assert watch.sweep() == 0  # once


def test_an_unregistered_client_may_leave(pair: Pair) -> None:
    ours, client = pair
    watch = ClientWatch(sleep=lambda _: gevent.sleep(1000))
    token = watch.register(ours, lambda: pytest.fail("called after it was unregistered"))
    watch.unregister(token)
    watch.unregister(token)
    client.close()
    assert soon(lambda: is_closed(ours))
    assert watch.sweep() == 0
    gevent.sleep(0)


def test_the_sweeper_runs_while_it_has_work_and_starts_again() -> None:
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        gevent.sleep(0.001)

    watch = ClientWatch(interval=0.5, sleep=nap)
    for _ in range(2):
        ours, client = socket.socketpair()
        gone = Event()
        watch.register(ours, gone.set)
        client.close()
        assert gone.wait(1)
        gevent.sleep(0.01)
        count = len(naps)
        gevent.sleep(0.02)
        assert len(naps) == count >= 1  # no work, no sweeper
        ours.close()
    assert set(naps) == {0.5}


def test_a_callback_that_fails_does_not_stop_the_sweeper() -> None:
    watch = ClientWatch(interval=0.001)
    (broken, one), (ours, two) = socket.socketpair(), socket.socketpair()
    gone = Event()
    watch.register(broken, lambda: 1 / 0)
    watch.register(ours, gone.set)
    one.close()
    gevent.sleep(0.02)
    two.close()
    assert gone.wait(1)
    broken.close()
    ours.close()
