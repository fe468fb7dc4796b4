"""Calls that go wrong, over real sockets: the kind of each fault, the clocks, the aborts."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest

from app.errors import GatewayError
from app.wire.clocks import Clocks
from app.wire.egress import Transport
from app.wire.upstream import Abortable, TransportError, Upstream
from tests.wire.servers import Received, Script, always, answer, chunked, serving, soon


def open_call(transport: Transport, url: str, clocks: Clocks, *, stream: bool = True) -> Upstream:
    return transport.open("POST", url, {}, b"{}", clocks=clocks, stream=stream)


@contextmanager
def fault() -> Iterator[list[TransportError]]:
    """Collect the transport's error that the block must raise."""
    found: list[TransportError] = []
    with pytest.raises(TransportError) as caught:
        yield found
    found.append(caught.value)


# --- no answer ------------------------------------------------------------------------------------


def test_a_refused_connection_is_unreachable(transport: Transport, clocks: Clocks) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with fault() as found:
        open_call(transport, f"http://127.0.0.1:{port}/", clocks)
    assert (found[0].kind.name, found[0].maybe_charged) == ("upstream_unreachable", False)
    assert found[0].kind.retryable


def test_a_name_that_does_not_resolve_is_not_revealed(transport: Transport, clocks: Clocks) -> None:
    with fault() as found:
        open_call(transport, "http://secret-name.invalid/", clocks)
    assert (found[0].kind.name, found[0].maybe_charged) == ("upstream_dns", False)
    assert "secret-name" not in str(found[0].body())


def test_a_connection_that_is_not_taken_times_out(transport: Transport) -> None:
    """A full backlog drops new connections, as a silent firewall does."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        with fault() as found:
            open_call(transport, f"http://127.0.0.1:{address[1]}/", Clocks(connect=0.2))
        for filler in fillers:
            filler.close()
    assert (found[0].kind.name, found[0].maybe_charged) == ("upstream_timeout", False)


def reset(sock: Any, _: Received) -> bool:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


@pytest.mark.parametrize("script", [reset, always(b"", keep=False)], ids=["reset", "close"])
def test_a_connection_that_ends_before_the_answer_may_have_been_charged(
    transport: Transport, clocks: Clocks, script: Script
) -> None:
    with serving(script) as server, fault() as found:
        open_call(transport, server.url(), clocks)
    assert (found[0].kind.name, found[0].maybe_charged) == ("upstream_unreachable", True)
    assert len(server.requests) == 1  # nothing here tries again


HEADS = {
    "junk": (b"\x15\x03\x01\x00\x02\x02\x50", "upstream_cut"),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n", "upstream_invalid"),
    "no status": (b"HTTP/1.1 OK\r\n\r\n", "upstream_invalid"),
    "header junk": (b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n", "upstream_invalid"),
    "huge header": (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 400_000 + b"\r\n\r\n", "upstream_invalid"),
    "3000 headers": (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 3000 + b"\r\n", "upstream_invalid"),
    "cut in the headers": (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n", "upstream_cut"),
    "two lengths": (answer(headers=("Content-Length: 7",)), "upstream_invalid"),
    "unknown coding": (answer(headers=("Content-Encoding: br",)), "upstream_invalid"),
    "switching protocols": (b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n", "upstream_invalid"),
    "status 999": (answer(status="999 Denied"), "upstream_invalid"),
    "hints only": (b"HTTP/1.1 103 Early Hints\r\n\r\n", "upstream_unreachable"),
}


@pytest.mark.parametrize("case", HEADS)
def test_a_head_that_is_none_is_no_answer(transport: Transport, clocks: Clocks, case: str) -> None:
    data, kind = HEADS[case]
    with serving(always(data, keep=False)) as server, fault() as found:
        open_call(transport, server.url(), clocks)
    assert (found[0].kind.name, found[0].maybe_charged) == (kind, True)


# --- half an answer ---------------------------------------------------------------------------------

BODIES = {
    "chunked": (chunked(b"first", b"second", end=False), "upstream_cut"),
    "in a chunk": (chunked(b"first", b"second", end=False)[:-5], "upstream_cut"),
    "in the last chunk": (chunked(b"first")[:-2], "upstream_cut"),
    "sized": (answer(b"first and second")[:-3], "upstream_cut"),
    "malformed chunk": (chunked(b"first", end=False) + b"zz\r\nsecond", "upstream_invalid"),
    "compressed": (
        answer(b"\x1f\x8b\x08\0\0\0\0\0\0\x03K", headers=("Content-Encoding: gzip",)),
        "upstream_cut",
    ),
    "not compressed": (answer(b"plain text", headers=("Content-Encoding: gzip",)), "upstream_invalid"),
}


@pytest.mark.parametrize("case", BODIES)
@pytest.mark.parametrize("stream", [True, False])
def test_a_body_cut_short_is_never_a_whole_one(
    transport: Transport, clocks: Clocks, case: str, stream: bool
) -> None:
    data, kind = BODIES[case]
    with serving(always(data, keep=False)) as server:
        upstream = open_call(transport, server.url(), clocks, stream=stream)
        with fault() as found:
            while upstream.read1():
                pass
    assert (found[0].kind.name, found[0].maybe_charged) == (kind, True)
    with fault() as again:
        upstream.read1()
    assert again == found


def test_a_reset_in_the_body_is_a_cut_after_what_was_good(transport: Transport, clocks: Clocks) -> None:
    def script(sock: Any, request: Received) -> bool:
        sock.sendall(chunked(b"good", end=False))
        gevent.sleep(0.02)
        return reset(sock, request)

    with serving(script) as server:
        upstream = open_call(transport, server.url(), clocks)
        assert upstream.read1() == b"good"
        with fault() as found:
            upstream.read1()
    assert found[0].kind.name == "upstream_cut"


# --- clocks -----------------------------------------------------------------------------------------


def hang_after(data: bytes) -> Script:
    def script(sock: Any, _: Received) -> bool:
        sock.sendall(data)
        gevent.sleep(30)
        return False

    return script


def drip(data: bytes, *, before: bytes = b"") -> Script:
    def script(sock: Any, _: Received) -> bool:
        sock.sendall(before)
        for at in range(len(data)):
            sock.sendall(data[at : at + 1])
            gevent.sleep(0.03)
        return False

    return script


CHUNKED_HEAD = chunked(end=False)
LATE = {
    "before headers": (hang_after(b""), Clocks(first_byte=0.2), "upstream_timeout"),
    "in headers": (hang_after(b"HTTP/1.1 200 OK\r\nA: "), Clocks(first_byte=0.2), "upstream_timeout"),
    "dripping headers": (
        drip(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 1000),
        Clocks(first_byte=0.2),
        "upstream_timeout",
    ),
    "after headers": (hang_after(CHUNKED_HEAD), Clocks(first_byte=0.2), "upstream_timeout"),
    "after data": (hang_after(CHUNKED_HEAD + b"5\r\nfirst\r\n"), Clocks(idle=0.2), "upstream_idle"),
    "dripping body": (
        drip(b"1\r\nx\r\n" * 1000, before=CHUNKED_HEAD),
        Clocks(idle=0.35, total=0.4),  # a chunk takes 0.18 s
        "upstream_timeout",
    ),
}


@pytest.mark.parametrize("case", LATE)
def test_a_clock_ends_the_call(transport: Transport, case: str) -> None:
    script, clocks, kind = LATE[case]
    started = time.monotonic()
    with serving(script) as server, fault() as found:
        open_call(transport, server.url(), clocks, stream=False).read()
    assert (found[0].kind.name, found[0].maybe_charged) == (kind, True)
    assert time.monotonic() - started < 1


def test_comments_are_no_data(transport: Transport) -> None:
    """A stream that sends only keep-alive comments is silent: the caller reports no progress for them."""

    def script(sock: Any, _: Received) -> bool:
        sock.sendall(chunked(b"data: x\n\n", end=False))
        while True:
            sock.sendall(b"d\r\n: PROCESSING\n\r\n")
            gevent.sleep(0.02)

    with serving(script) as server:
        upstream = open_call(transport, server.url(), Clocks(idle=0.2))
        with fault() as found:
            while data := upstream.read1():
                if data.startswith(b"data:"):
                    upstream.progress()
    assert found[0].kind.name == "upstream_idle"


# --- aborts -----------------------------------------------------------------------------------------


def test_an_abort_in_the_middle_of_a_body_ends_it_at_once(transport: Transport, clocks: Clocks) -> None:
    closed = []

    def script(sock: Any, _: Received) -> bool:
        sock.sendall(chunked(b"first", end=False))
        closed.append(sock.recv(1))
        return False

    with serving(script) as server:
        upstream = open_call(transport, server.url(), clocks)
        assert upstream.read1() == b"first"
        reason = GatewayError("client_gone", "gone")
        gevent.spawn_later(0.05, upstream.abort, reason)
        started = time.monotonic()
        with pytest.raises(GatewayError) as caught:
            upstream.read1()
        assert caught.value is reason
        assert time.monotonic() - started < 0.15
        assert soon(lambda: closed == [b""])  # the provider sees it, too
        with pytest.raises(GatewayError, match="gone"):
            upstream.read1()


def test_an_abort_while_headers_are_awaited_ends_the_call(transport: Transport, clocks: Clocks) -> None:
    closed = []

    def script(sock: Any, _: Received) -> bool:
        closed.append(sock.recv(1))
        return False

    def abort_later(call: Abortable) -> None:
        gevent.spawn_later(0.05, call.abort, GatewayError("cancelled", "by the client"))

    started = time.monotonic()
    with serving(script) as server:
        with pytest.raises(GatewayError, match="by the client"):
            transport.open("POST", server.url(), {}, b"", clocks=clocks, stream=True, on_open=abort_later)
        assert time.monotonic() - started < 0.15
        assert soon(lambda: closed == [b""])


def test_an_abort_while_a_large_body_is_stuck_ends_the_call(transport: Transport, clocks: Clocks) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # nobody reads
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"

        def abort_later(call: Abortable) -> None:
            gevent.spawn_later(0.05, call.abort, GatewayError("cancelled", "by the client"))

        with pytest.raises(GatewayError, match="by the client"):
            transport.open(
                "POST", url, {}, b"x" * 50_000_000, clocks=clocks, stream=True, on_open=abort_later
            )


def test_an_abort_while_nobody_reads_closes_the_connection(transport: Transport, clocks: Clocks) -> None:
    closed = []

    def script(sock: Any, _: Received) -> bool:
        sock.sendall(chunked(b"first", end=False))
        closed.append(sock.recv(1))
        return False

    with serving(script) as server:
        upstream = open_call(transport, server.url(), clocks)
        upstream.abort(GatewayError("server_shutdown", "draining"))
        assert soon(lambda: closed == [b""])
        with pytest.raises(GatewayError, match="draining"):
            upstream.read1()
        upstream.close()


def test_a_clock_that_runs_out_while_nobody_reads_closes_the_connection(transport: Transport) -> None:
    closed = []

    def script(sock: Any, _: Received) -> bool:
        sock.sendall(chunked(b"first", end=False))
        closed.append(sock.recv(1))
        return False

    with serving(script) as server:
        upstream = open_call(transport, server.url(), Clocks(total=0.05))
        assert soon(lambda: closed == [b""])
        with fault() as found:
            upstream.read1()
    assert found[0].kind.name == "upstream_timeout"


def test_an_abort_after_the_end_does_nothing(transport: Transport, clocks: Clocks) -> None:
    with serving(always(answer())) as server:
        upstream = open_call(transport, server.url(), clocks)
        assert upstream.read() == b"{}"
        assert not upstream.abort(GatewayError("cancelled", "too late"))
        assert upstream.read1() == b""
        assert open_call(transport, server.url(), clocks).read() == b"{}"
    assert server.connections == 1


def test_many_calls_at_once_do_not_disturb_each_other(transport: Transport, clocks: Clocks) -> None:
    """Half of fifty parallel streams are aborted; the others get every byte."""

    def script(sock: Any, request: Received) -> bool:
        sock.sendall(chunked(end=False))
        for _ in range(20):
            sock.sendall(b"%x\r\n%b\r\n" % (len(request.body), request.body))
            gevent.sleep(0.005)
        sock.sendall(b"0\r\n\r\n")
        return True

    def call(number: int) -> bytes | str:
        upstream = transport.open("POST", server.url(), {}, b"%d," % number, clocks=clocks, stream=True)
        if number % 2:
            gevent.spawn_later(0.04, upstream.abort, GatewayError("cancelled", f"abort {number}"))
        try:
            return upstream.read()
        except GatewayError as error:
            return error.message

    with serving(script) as server:
        for _ in range(2):
            results = [job.get() for job in [gevent.spawn(call, number) for number in range(50)]]
            expected = [f"abort {n}" if n % 2 else b"%d," % n * 20 for n in range(50)]
            assert results == expected
