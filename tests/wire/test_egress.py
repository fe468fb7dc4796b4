"""Calls over real sockets: what goes out, what comes back, what is kept, what never happens."""

from __future__ import annotations

import gzip
import socket
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gevent
import pytest

from app.errors import GatewayError
from app.wire import http_upstream
from app.wire.clocks import Clocks, Quiet
from app.wire.connections import PlainConnection
from app.wire.egress import MAX_WAYS, Egress, Transport
from app.wire.upstream import Abortable, Upstream
from tests.wire.servers import Received, always, answer, chunked, serving


def post(
    transport: Transport,
    url: str,
    clocks: Clocks,
    body: Any = b"{}",
    headers: Mapping[str, str] | None = None,
) -> Upstream:
    return transport.open("POST", url, headers or {}, body, clocks=clocks, stream=False)


def test_a_request_goes_out_as_it_was_given(transport: Transport, clocks: Clocks) -> None:
    given = {"Authorization": "Bearer k", "X-Two": "a b", "content-type": "application/json"}
    with serving(always(answer(b'{"ok":1}', headers=("X-Request-Id: 7", "a: 1", "A: 2")))) as server:
        upstream = post(transport, server.url("/v1/chat?x=%20y&z"), clocks, b'{"model":"m"}', given)
        assert (upstream.status, upstream.read()) == (200, b'{"ok":1}')
    assert dict(upstream.headers) == {"x-request-id": "7", "a": "1, 2", "content-length": "8"}
    request = server.requests[0]
    assert (request.line, request.body) == ("POST /v1/chat?x=%20y&z HTTP/1.1", b'{"model":"m"}')
    headers = dict(request.headers)
    assert headers.pop("user-agent").startswith("python-urllib3/")
    assert headers == {
        "host": f"127.0.0.1:{server.port}",
        "authorization": "Bearer k",
        "x-two": "a b",
        "content-type": "application/json",
        "accept-encoding": "identity",
        "content-length": "13",
    }


@pytest.mark.parametrize(("method", "length"), [("GET", None), ("DELETE", None), ("POST", "0")])
def test_a_call_without_a_body(transport: Transport, clocks: Clocks, method: str, length: str | None) -> None:
    with serving(always(answer())) as server:
        transport.open(method, server.url(""), {}, clocks=clocks, stream=False).read()
    assert server.requests[0].line == f"{method} / HTTP/1.1"
    assert server.requests[0].header("content-length") == length
    assert server.requests[0].header("transfer-encoding") is None


def pieces() -> Iterator[bytes]:
    yield from (b"--x\r\n", b"", b"a" * 100_000, b"\r\n--x--")


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_in_pieces_is_sent_whole(transport: Transport, clocks: Clocks, declared: bool) -> None:
    whole = b"".join(pieces())
    headers = {"content-length": str(len(whole))} if declared else {}
    with serving(always(answer())) as server:
        for _ in range(2):
            post(transport, server.url(), clocks, pieces(), headers).read()
    assert [request.body for request in server.requests] == [whole, whole]
    assert {request.header("transfer-encoding") for request in server.requests} == {
        None if declared else "chunked"
    }
    assert server.connections == 1


@pytest.mark.parametrize("size", [100_000, 100_020])
def test_a_body_of_another_size_than_declared_spoils_no_connection(
    transport: Transport, clocks: Clocks, size: int
) -> None:
    with serving(always(answer())) as server:
        with pytest.raises(GatewayError, match="declared size"):
            post(transport, server.url(), clocks, pieces(), {"content-length": str(size)})
        assert post(transport, server.url(), clocks, b"next").read() == b"{}"
    assert server.requests[-1].body == b"next"


BAD_HEADERS = {
    "A": "x\r\nInjected: 1",
    "B": "x\ny",
    "C": "x\0",
    "D": "snow ☃",
    "E:": "x",
    "F\r\nG": "x",
    "": "x",
}


@pytest.mark.parametrize("name", BAD_HEADERS)
def test_a_header_that_would_split_is_a_bad_request_and_nothing_is_sent(
    transport: Transport, clocks: Clocks, name: str
) -> None:
    with serving(always(answer())) as server:
        with pytest.raises(GatewayError) as caught:
            post(transport, server.url(), clocks, headers={name: BAD_HEADERS[name]})
    assert (caught.value.kind.name, server.connections) == ("bad_request", 0)
    assert BAD_HEADERS[name] not in caught.value.message


@pytest.mark.parametrize(
    "path", ["/a/../b", "/a/..", "/./b", "/a b", "/a\r\nX: y", "/é", "/a\0", "/a/..?x", "/a/..#x"]
)
def test_a_url_that_would_change_is_a_bad_request_and_nothing_is_sent(
    transport: Transport, clocks: Clocks, path: str
) -> None:
    with serving(always(answer())) as server:
        with pytest.raises(GatewayError) as caught:
            post(transport, server.url(path), clocks)
    assert (caught.value.kind.name, server.connections) == ("bad_request", 0)


def test_where_urls_lead_is_remembered_of_some_and_never_what_is_refused(
    transport: Transport, clocks: Clocks
) -> None:
    with serving(always(answer())) as server:
        for _ in range(2):
            post(transport, server.url("/a"), clocks).read()
            for path, headers in (("/a/../b", {}), ("/a", {"E:": "x"})):
                with pytest.raises(GatewayError):
                    post(transport, server.url(path), clocks, headers=headers)
        for number in range(MAX_WAYS):
            post(transport, server.url(f"/{number}?x"), clocks).read()
    assert [request.line.split()[1] for request in server.requests[2:]] == [
        f"/{n}?x" for n in range(MAX_WAYS)
    ]
    assert (server.connections, len(transport._routes)) == (1, 1)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/x",
        "file:///etc/passwd",
        "gopher://x",
        "/v1/chat",
        "http:///x",
        "x",
        "http://[::1",
        "http://x:port/",
    ],
)
def test_only_http_leaves_by_a_socket(transport: Transport, clocks: Clocks, url: str) -> None:
    with pytest.raises(GatewayError) as caught:
        post(transport, url, clocks)
    assert caught.value.kind.name == "provider_not_configured"


def test_framing_and_proxy_headers_of_the_caller_are_not_sent(transport: Transport, clocks: Clocks) -> None:
    with serving(always(answer())) as server:
        ours = {"Transfer-Encoding": "chunked", "Content-Length": "99", "Connection": "x", "TE": "trailers"}
        post(
            transport, server.url(), clocks, b"ab", {**ours, "Proxy-Authorization": "y", "Upgrade": "h2c"}
        ).read()
    names = {name for name, _ in server.requests[0].headers}
    assert names == {"host", "user-agent", "accept-encoding", "content-length"}
    assert server.requests[0].body == b"ab"


# --- what never happens -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"]
)
def test_a_redirect_is_not_followed(transport: Transport, clocks: Clocks, status: str) -> None:
    with serving(always(answer())) as other:
        location = f"Location: {other.url()}"
        with serving(always(answer(b"", status=status, headers=(location,)))) as server:
            with pytest.raises(GatewayError) as caught:
                post(transport, server.url(), clocks, headers={"api-key": "secret"})
    assert (caught.value.kind.name, other.connections) == ("upstream_invalid", 0)
    assert "redirect" in caught.value.message


def test_no_cookie_comes_back(transport: Transport, clocks: Clocks) -> None:
    with serving(always(answer(headers=("Set-Cookie: tenant=a; Path=/",)))) as server:
        for _ in range(2):
            post(transport, server.url(), clocks).read()
    assert [request.header("cookie") for request in server.requests] == [None, None]


def test_no_netrc_and_no_environment_is_read(
    clocks: Clocks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with serving(always(answer())) as server:
        post(Egress().transport(), server.url(), clocks, headers={"Authorization": "Bearer ours"}).read()
    assert server.requests[0].header("authorization") == "Bearer ours"


# --- connections --------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [answer(b"x"), chunked(b"x", b"y"), answer(b"", status="204 No Content")])
def test_a_connection_read_to_its_end_is_used_again(
    transport: Transport, clocks: Clocks, data: bytes
) -> None:
    with serving(always(data)) as server:
        for _ in range(3):
            post(transport, server.url(), clocks).read()
    assert [request.connection for request in server.requests] == [1, 1, 1]


def test_a_stream_left_at_its_last_event_gives_its_connection_back(
    transport: Transport, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_upstream, "LINGER", 10.0)  # whatever a busy machine does in between

    def script(sock: Any, _: Received) -> bool:
        sock.sendall(chunked(b"data: [DONE]\n\n", end=False))
        gevent.sleep(0.002)
        sock.sendall(b"0\r\n\r\n")
        return True

    with serving(script) as server:
        for _ in range(2):
            upstream = post(transport, server.url(), clocks)
            assert upstream.read1() == b"data: [DONE]\n\n"
            upstream.close()
    assert server.connections == 1


def test_an_answer_closed_half_read_gives_no_connection_back(transport: Transport, clocks: Clocks) -> None:
    with serving(always(answer(b"x" * 300_000))) as server:
        for _ in range(2):
            upstream = post(transport, server.url(), clocks)
            upstream.read1(10)
            upstream.close()
            upstream.close()
            assert upstream.read1() == b""
    assert server.connections == 2


@pytest.mark.parametrize(
    "data",
    [
        answer(headers=("Connection: close",)),
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        answer() + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        chunked(b"{}") + b"HTTP/1.1 200 OK\r\n",
        chunked(b"{}").replace(b"\r\n", b"\r\nContent-Length: 2\r\n", 1),
    ],
    ids=["close", "HTTP/1.0", "bytes past a length", "bytes past the last chunk", "length and chunks"],
)
def test_a_connection_that_may_be_out_of_step_is_not_used_again(
    transport: Transport, clocks: Clocks, data: bytes
) -> None:
    with serving(always(data)) as server:
        for _ in range(2):
            assert post(transport, server.url(), clocks).read() == b"{}"
    assert [request.connection for request in server.requests] == [1, 2]


@pytest.mark.parametrize("unasked", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"])
def test_a_kept_connection_that_closed_or_spoke_is_replaced(
    transport: Transport, clocks: Clocks, unasked: bytes
) -> None:
    def script(sock: Any, request: Received) -> bool:
        sock.sendall(answer(b"%d" % request.connection))
        gevent.sleep(0.01)
        sock.sendall(unasked)
        return bool(unasked)

    with serving(script) as server:
        for number in (b"1", b"2"):
            assert post(transport, server.url(), clocks).read() == number
            gevent.sleep(0.03)


@pytest.mark.parametrize(("size", "sends"), [(0, 1), (100, 1), (16_384, 1), (16_385, 2), (5_000_000, 2)])
def test_a_head_and_its_small_body_go_out_by_one_call(size: int, sends: int) -> None:
    sent: list[bytes] = []

    class Socket:
        sendall = staticmethod(sent.append)

        def settimeout(self, seconds: float | None) -> None: ...

    connection = PlainConnection("host.example")
    connection.sock = Socket()
    connection.request("POST", "/x", body=b"b" * size, headers={"Content-Length": str(size)})
    assert len(sent) == sends
    assert b"".join(sent).endswith(b"\r\n\r\n" + b"b" * size)


# --- bodies ---------------------------------------------------------------------------------------


def test_all_that_one_read_brought_comes_joined(transport: Transport, clocks: Clocks) -> None:
    events = [b"data: %d\n\n" % number for number in range(100)]
    with serving(always(chunked(*events))) as server:
        upstream = transport.open("POST", server.url(), {}, b"", clocks=clocks, stream=True)
        reads = []
        while data := upstream.read1():
            reads.append(data)
    assert b"".join(reads) == b"".join(events)
    assert len(reads) < 10


@pytest.mark.parametrize("framing", ["chunked", "sized", "open"])
def test_events_come_through_as_they_are_sent(transport: Transport, clocks: Clocks, framing: str) -> None:
    heads = {
        "chunked": chunked(end=False),
        "sized": b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n",
        "open": b"HTTP/1.0 200 OK\r\n\r\n",
    }

    def script(sock: Any, _: Received) -> bool:
        sock.sendall(heads[framing])
        for _ in range(10):
            sock.sendall(b"4\r\nabcd\r\n" if framing == "chunked" else b"abcd")
            gevent.sleep(0.01)
        sock.sendall(b"0\r\n\r\n" if framing == "chunked" else b"")
        return False

    with serving(script) as server:
        upstream = transport.open("POST", server.url(), {}, b"", clocks=clocks, stream=True)
        reads = []
        while data := upstream.read1():
            reads.append(data)
    assert b"".join(reads) == b"abcd" * 10
    assert len(reads) >= 9


def _one_by_one(*pieces: bytes) -> Any:
    """Return a script that sends each piece for itself."""

    def script(sock: Any, _: Received) -> bool:
        sock.sendall(chunked(end=False))
        for piece in pieces:
            gevent.sleep(0.02)
            sock.sendall(piece)
        return False

    return script


def test_what_is_taken_on_arrival_is_not_read(transport: Transport, clocks: Clocks) -> None:
    taken: list[bytes] = []

    def take(content: bytes) -> bool:
        taken.append(content)
        return content != b"c"

    halves = (b"1\r\na\r\n", b"1\r\nb\r\n", b"1\r\nc\r\n", b"1\r\nd", b"\r\n1\r\ne\r\n", b"0\r\n\r\n")
    with serving(_one_by_one(*halves)) as server:
        upstream = transport.open("POST", server.url(), {}, b"", clocks=clocks, stream=True)
        reads = []
        while data := upstream.read_within(None, take):
            reads.append(data)
    assert taken == [b"a", b"b", b"c"]  # of half a chunk, and after it, nothing can be taken
    assert reads == [b"c", b"d", b"e"]


def test_who_takes_on_arrival_may_wake_the_reader(transport: Transport, clocks: Clocks) -> None:
    def take(content: bytes) -> bool:
        raise Quiet if content == b"a" else ZeroDivisionError(content)

    with serving(_one_by_one(b"1\r\na\r\n", b"1\r\nb\r\n", b"1\r\nc\r\n")) as server:
        upstream = transport.open("POST", server.url(), {}, b"", clocks=clocks, stream=True)
        assert upstream.read_within(None, take) is None
        with pytest.raises(ZeroDivisionError):
            upstream.read_within(None, take)


def test_what_is_taken_on_arrival_starts_the_idle_clock_by_progress_alone(transport: Transport) -> None:
    pieces = [b"1\r\na\r\n"] * 30
    for counts, kind in ((True, "upstream_cut"), (False, "upstream_idle")):
        with serving(_one_by_one(*pieces)) as server:
            upstream = transport.open("POST", server.url(), {}, b"", clocks=Clocks(idle=0.3), stream=True)
            upstream.progress()
            note = upstream.progress if counts else list

            def take(content: bytes, note: Any = note) -> bool:
                note()
                return True

            with pytest.raises(GatewayError) as raised:
                upstream.read_within(None, take)
        assert raised.value.kind.name == kind


def test_a_body_ended_by_the_connection_is_a_normal_end(transport: Transport, clocks: Clocks) -> None:
    with serving(always(b"HTTP/1.1 200 OK\r\n\r\ndata: x\n\n", keep=False)) as server:
        assert post(transport, server.url(), clocks).read() == b"data: x\n\n"


def test_an_interim_answer_is_not_the_answer(transport: Transport, clocks: Clocks) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
    with serving(always(hints + answer(b"real"))) as server:
        for _ in range(2):
            upstream = post(transport, server.url(), clocks)
            assert (upstream.status, upstream.read()) == (200, b"real")
    assert server.connections == 1


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_compression_nobody_asked_for_is_undone(transport: Transport, clocks: Clocks, coding: str) -> None:
    packed = gzip.compress(b"hello " * 1000) if coding == "gzip" else zlib.compress(b"hello " * 1000)
    with serving(always(answer(packed, headers=(f"Content-Encoding: {coding}",)))) as server:
        for _ in range(2):
            assert post(transport, server.url(), clocks).read() == b"hello " * 1000
    assert server.connections == 1
    assert server.requests[0].header("accept-encoding") == "identity"


def test_a_body_past_its_cap_is_refused_before_it_is_held(transport: Transport, clocks: Clocks) -> None:
    bomb = gzip.compress(b"\0" * 20_000_000)
    assert len(bomb) < 25_000
    with serving(always(answer(bomb, headers=("Content-Encoding: gzip",)))) as server:
        for _ in range(2):
            upstream = post(transport, server.url(), clocks)
            with pytest.raises(GatewayError, match="larger than 1000000 bytes") as caught:
                upstream.read(1_000_000)
            assert caught.value.kind.name == "upstream_invalid"
            with pytest.raises(GatewayError):
                upstream.read1()
            upstream.close()
    with serving(always(answer(b"x" * 101))) as server:
        with pytest.raises(GatewayError, match="larger than 100 bytes"):
            post(transport, server.url(), clocks).read(100)


def test_a_stream_is_bounded_by_what_it_inflates_to(
    transport: Transport, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider that sends a kilobyte could keep a worker at a megabyte's work, a thousand times longer than it sends."""
    monkeypatch.setattr("app.wire.http_upstream.MAX_STREAM", 1_000_000)
    bomb = gzip.compress(b":\n" * 1_000_000)
    size = 0
    with serving(always(answer(bomb, headers=("Content-Encoding: gzip",)))) as server:
        upstream = post(transport, server.url(), clocks)
        with pytest.raises(GatewayError, match="larger than 1000000 bytes"):
            while piece := upstream.read1():
                size += len(piece)
    assert 900_000 < size < 1_000_000


@pytest.mark.parametrize("status", ["400 Bad Request", "429 Too Many", "500 Oops", "529 Overloaded"])
def test_an_error_status_is_an_answer_like_any_other(
    transport: Transport, clocks: Clocks, status: str
) -> None:
    with serving(always(answer(b'{"error":1}', status=status))) as server:
        upstream = post(transport, server.url(), clocks)
        assert (upstream.status, upstream.read()) == (int(status.split()[0]), b'{"error":1}')


# --- other schemes --------------------------------------------------------------------------------


def test_a_registered_scheme_is_served_in_process(clocks: Clocks) -> None:
    calls: list[tuple[Any, ...]] = []

    class Answer:
        status = 200
        headers: Mapping[str, str] = {}

        def read1(self, n: int = 65536) -> bytes:
            return b""

        def read(self, limit: int = 0) -> bytes:
            return b"from inside"

        def progress(self) -> None: ...

        def abort(self, reason: GatewayError) -> bool:
            return False

        def close(self) -> None: ...

    def opener(
        method: str, url: str, headers: Any, body: Any, *, clocks: Any, stream: bool, on_open: Any
    ) -> Upstream:
        calls.append((method, url, dict(headers), body, stream))
        return Answer()

    egress = Egress()
    transport = egress.transport()
    egress.register("sandbox", opener)
    assert transport.open(
        "POST", "sandbox://local/v1", {"a": "b"}, b"{}", clocks=clocks, stream=True
    ).read() == (b"from inside")
    assert calls == [("POST", "sandbox://local/v1", {"a": "b"}, b"{}", True)]


def test_the_abort_is_announced_before_anything_is_sent(transport: Transport, clocks: Clocks) -> None:
    """A call that was aborted before its turn is not made at all."""

    def announce(call: Abortable) -> None:
        call.abort(GatewayError("client_gone", "gone before it began"))

    with serving(always(answer())) as server:
        with pytest.raises(GatewayError, match="gone before it began"):
            transport.open("POST", server.url(), {}, b"", clocks=clocks, stream=False, on_open=announce)
    assert server.connections == 0


def test_the_kernel_asks_whether_a_silent_peer_is_there() -> None:
    with serving(always(answer())) as server:
        connection = PlainConnection("127.0.0.1", server.port, timeout=5)
        connection.connect()
        is_asked = connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        silence = connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        connection.close()
    assert (bool(is_asked), silence) == (True, 60)
