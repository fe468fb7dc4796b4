"""Our short way through a request's head comes to what gunicorn's own way does; an answer goes out in one packet."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Any

import gevent
import gevent.socket
import pytest
from gunicorn.config import Config
from gunicorn.http import message, wsgi
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import Parser
from hypothesis import given, settings
from hypothesis import strategies as st

from app.server.environ import Request, addresses_environ, environ_of, name_host
from app.server.reader import Unreader
from app.server.response import Answer
from app.server.short_way import PlainRequest, Requests
from tests.wire.certificates import make_authority

_PEER, _LISTENER = ("127.0.0.1", 4711), ("127.0.0.1", 8080)
_STRANGER = ("203.0.113.9", 4711)
_PLAIN = b"POST /v1/chat/completions?a=1&b=%20 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"

HEADS = {
    "plain": _PLAIN,
    "no body": b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
    "old": b"GET / HTTP/1.0\r\n\r\n",
    "old that stays": b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "closes": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n\r\n",
    "closes, of two options": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close, TE\r\n\r\n",
    "closes, by a second header": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: TE\r\nConnection: close\r\n\r\n",
    "old that stays, of two options": b"GET / HTTP/1.0\r\nConnection: TE,\tKeep-Alive\r\n\r\n",
    "escapes": b"GET /v1/models/a%2Fb%C3%A4%zz?q=%26 HTTP/1.1\r\nHost: x\r\n\r\n",
    "bytes in the path": b"GET /v1/\xc3\xa4 HTTP/1.1\r\nHost: x\r\n\r\n",
    "fragment": b"GET /v1/models#top HTTP/1.1\r\nHost: x\r\n\r\n",
    "two slashes": b"GET //evil/v1?x#y HTTP/1.1\r\nHost: x\r\n\r\n",
    "absolute": b"GET http://other/v1/models?x=1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "question marks": b"GET /a?b?c HTTP/1.1\r\nHost: x\r\n\r\n",
    "headers twice": b"GET / HTTP/1.1\r\nHost: x\r\nX-One: 1\r\nX-One: 2\r\n\r\n",
    "host twice": b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "length twice": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "length and chunks": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    "chunks": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a coding unknown": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: zip\r\n\r\n",
    "asks first": b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n{}",
    "expects more": b"POST / HTTP/1.1\r\nHost: x\r\nExpect: a-miracle\r\n\r\n",
    "https": b"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-Proto: https\r\n\r\n",
    "http": b"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-Proto: http\r\n\r\n",
    "both": b"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n\r\n",
    "below a path": b"GET /api/v1/models HTTP/1.1\r\nHost: x\r\nScript_Name: /api\r\n\r\n",
    "below no path": b"GET /api/v1/models HTTP/1.1\r\nHost: x\r\nScript-Name: /api\r\n\r\n",
    "beside its path": b"GET /v1/models HTTP/1.1\r\nHost: x\r\nScript_Name: /api\r\n\r\n",
    "underscores": b"GET / HTTP/1.1\r\nHost: x\r\nX_Forwarded_For: 1\r\nX-Forwarded-For: 2\r\n\r\n",
    "type by underscore": b"GET / HTTP/1.1\r\nHost: x\r\nContent_Type: a/b\r\nContent_Length: 9\r\n\r\n",
    "bytes in a value": b"GET / HTTP/1.1\r\nHost: x\r\nX-One: \xe4\r\n\r\n",
    "empty value": b"GET / HTTP/1.1\r\nHost: x\r\nX-One:\r\n\r\n",
    "no name": b"GET / HTTP/1.1\r\nHost: x\r\n: 1\r\n\r\n",
    "space in a name": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "folded": b"GET / HTTP/1.1\r\nHost: x\r\nX-One: 1\r\n 2\r\n\r\n",
    "a method of ours": b"Get / HTTP/1.1\r\nHost: x\r\n\r\n",
    "no version": b"GET /\r\nHost: x\r\n\r\n",
    "version 2": b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
    "nothing": b"\r\n\r\n",
}


def config() -> Config:
    return Config()


class Theirs(Parser):
    mesg_class = message.Request


class Ours(Requests):
    mesg_class = Request

    def __init__(self, cfg: Config, sock: Any, peer: Any) -> None:
        super().__init__(cfg, sock, peer)
        self.unreader = Unreader(sock)


def parse_pieces(kind: type[Parser], packet: bytes, peer: Any, pieces: int, listener: Any = _LISTENER) -> Any:
    """Return all that a parser makes of a packet that comes in so many pieces, or the kind of its refusal."""
    size = -(-len(packet) // pieces)
    sock = _Sock([packet[at : at + size] for at in range(0, len(packet), size)])
    parser = kind(config(), sock, peer)
    try:
        request = next(parser)
        if kind is Theirs:
            environ = wsgi.create(request, sock, peer, listener, config())[1]
        else:
            environ = _environ_of(request, sock, peer, listener)
        body = environ["wsgi.input"].read()
    except ParseException as error:
        return type(error).__name__
    plain = {name: value for name, value in environ.items() if not name.startswith(("wsgi.", "gunicorn."))}
    rest = parser.unreader.take_buffered() + b"".join(sock.parts)
    closes = _closes(request) if kind is Theirs else request.should_close()
    return plain, environ["wsgi.url_scheme"], closes, request.version, body, rest


def _closes(request: Any) -> bool:
    """Tell what gunicorn would if it read ``Connection`` as the list that it is."""
    options = re.findall(
        r"(?:^|,)[ \t]*(close|keep-alive)[ \t]*(?=,|$)",
        ",".join(value.lower() for name, value in request.headers if name == "CONNECTION"),
    )
    return request.must_close or "close" in options or (not options and request.version <= (1, 0))


def _environ_of(request: Any, sock: Any, peer: Any, listener: Any) -> dict[str, Any]:
    base = wsgi.base_environ(config()) | {"SCRIPT_NAME": "", "wsgi.url_scheme": "http"}
    base |= {**addresses_environ(peer, listener), "gunicorn.socket": sock}
    if not isinstance(request, PlainRequest):
        return environ_of(base, request)
    environ = base | request.environ
    if "SERVER_NAME" not in environ:
        name_host(environ)
    return environ


@pytest.mark.parametrize("pieces", [1, 3, 40])
@pytest.mark.parametrize("peer", [_PEER, _STRANGER], ids=["proxy", "stranger"])
@pytest.mark.parametrize("name", HEADS)
def test_a_head_is_read_as_gunicorn_reads_it(name: str, peer: tuple[str, int], pieces: int) -> None:
    packet = HEADS[name]
    assert parse_pieces(Ours, packet, peer, pieces) == parse_pieces(Theirs, packet, peer, pieces)


_NAMES = st.sampled_from(
    """Host host Content-Type content-length Content-Length Transfer-Encoding Expect Connection X-Forwarded-Proto
    X-Forwarded-Ssl X-Forwarded_Ssl Script_Name Script-Name X-One x-one X_One Authorization Upgrade Cookie""".split()
)
_VALUES = st.one_of(
    st.sampled_from(
        """x 0 2 02 +2 -1 2,2 99 1_0 \xb2 chunked identity gzip,chunked 100-continue close Close keep-alive upgrade
        https http on off ssl /api a,b""".split()
    ),
    st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=8),
)
_URIS = st.one_of(
    st.sampled_from("/ /v1/models?x=1 //a/b?c#d /%2f%zz /api/x * http://h/p?q /a?b?c /\xe4 ?a h:80".split()),
    st.text(st.characters(codec="latin-1", exclude_characters="\r\n "), min_size=1, max_size=8),
)


@settings(max_examples=400)
@given(
    st.sampled_from(["GET", "POST", "HEAD", "Get", "OPTIONS", "CONNECT", "P#"]),
    _URIS,
    st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0"]),
    st.lists(st.tuples(_NAMES, _VALUES), max_size=5),
    st.sampled_from(["", "{}", "2\r\n{}\r\n0\r\n\r\n", "{}GET / HTTP/1.1\r\n\r\n"]),
    st.sampled_from([_PEER, _STRANGER, b"", ""]),
    st.sampled_from([_LISTENER, "/run/sluice.sock"]),
    st.integers(1, 4),
)
def test_any_head_is_read_as_gunicorn_reads_it(
    method: str,
    uri: str,
    version: str,
    headers: list[tuple[str, str]],
    body: str,
    peer: Any,
    listener: Any,
    pieces: int,
) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in [("Host", "h:81"), *headers])
    packet = f"{method} {uri} {version}\r\n{lines}\r\n{body}".encode("latin-1")
    assert parse_pieces(Ours, packet, peer, pieces, listener) == parse_pieces(
        Theirs, packet, peer, pieces, listener
    )


def test_a_plain_head_takes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message.Message, "__init__", _never)
    assert parse_pieces(Ours, _PLAIN, _PEER, 1)[0]["PATH_INFO"] == "/v1/chat/completions"
    assert parse_pieces(Ours, HEADS["https"], _PEER, 1)[1] == "https"


def test_a_body_that_is_not_all_here_takes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message.Message, "__init__", _never)
    assert parse_pieces(Ours, _PLAIN + b" " * len(_PLAIN), _PEER, 2)[4] == b"{}"
    head, _, _ = _PLAIN.partition(b"{}")
    sock = _Sock([head, b"{", b"}"])
    assert next(Ours(config(), sock, _PEER)).body.read() == b"{}"


def test_another_client_than_a_proxy_moves_nothing() -> None:
    assert parse_pieces(Ours, HEADS["below a path"], _STRANGER, 1)[0]["SCRIPT_NAME"] == ""
    assert parse_pieces(Ours, HEADS["https"], _STRANGER, 1)[1] == "http"


HEADERS = [("content-type", "application/json"), ("content-length", "2"), ("x-request-id", "req_1")]


def answered(packet: bytes, headers: list[tuple[str, str]], *pieces: bytes) -> list[bytes]:
    sock = _Sock([packet])
    answer = Answer(next(Ours(config(), sock, _PEER)), sock)
    answer.start_response("200 OK", headers)
    for piece in pieces:
        answer.write(piece)
    answer.close()
    return sock.sent


def test_a_whole_answer_is_one_packet() -> None:
    (packet,) = answered(_PLAIN, HEADERS, b"{}")
    head, _, body = packet.partition(b"\r\n\r\n")
    assert body == b"{}"
    assert b"x-request-id: req_1" in head.split(b"\r\n")


def test_the_head_of_a_stream_goes_out_with_its_first_piece_and_by_an_empty_one() -> None:
    streamed = [("content-type", "text/event-stream")]
    first, second, end = answered(_PLAIN, streamed, b"one", b"two")
    assert first.endswith(b"\r\n\r\n3\r\none\r\n")
    assert (second, end) == (b"3\r\ntwo\r\n", b"0\r\n\r\n")
    head, piece, _ = answered(_PLAIN, streamed, b"", b"one")
    assert (head[-4:], piece) == (b"\r\n\r\n", b"3\r\none\r\n")


@pytest.mark.parametrize("room", [0, 1, 4, 10, 11, 21, 22])
def test_what_a_client_does_not_take_at_once_goes_before_what_follows(room: int) -> None:
    sock = _Full([_PLAIN])
    answer = Answer(next(Ours(config(), sock, _PEER)), sock)
    answer.start_response("200 OK", [("content-type", "text/event-stream")])
    answer.write(b"")
    head, sock.room = len(b"".join(sock.sent)), room
    took = [answer.write_now(b"first"), answer.write_now(b"other")]
    assert took == [room >= 10, room >= 20]
    assert len(b"".join(sock.sent)) - head == min(room, 20)
    answer.write(b"")
    answer.close()
    assert b"".join(sock.sent)[head:] == b"5\r\nfirst\r\n5\r\nother\r\n0\r\n\r\n"


def test_the_hub_never_waits_for_a_client_over_tls(tmp_path: Path) -> None:
    authority, (ours, theirs) = make_authority(tmp_path), gevent.socket.socketpair()
    trusting = ssl.create_default_context(cafile=authority.ca)
    wrapping = gevent.spawn(authority.server_context("localhost").wrap_socket, ours, server_side=True)
    client = trusting.wrap_socket(theirs, server_hostname="localhost")
    answer = Answer(next(Ours(config(), _Sock([_PLAIN]), _PEER)), wrapping.get())
    answer.start_response("200 OK", [("content-type", "text/event-stream")])
    answer.write(b"")
    took: list[Any] = []

    def write() -> None:
        try:
            while not took or took[-1] is True:
                took.append(answer.write_now(b"~" * 100_000))
        except BaseException as error:
            took.append(error)

    gevent.get_hub().loop.run_callback(write)
    gevent.sleep(0.1)
    assert took[-1] is False
    reading = gevent.spawn(lambda: sum(piece.count(b"~") for piece in iter(lambda: client.recv(65536), b"")))
    answer.close()
    answer._sock.close()
    assert reading.get(timeout=10) == 100_000 * len(took)


def test_an_answer_without_a_body_is_its_head() -> None:
    (packet,) = answered(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", HEADERS, b"{}")
    assert packet.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "header", [("x-one", "a\r\nx-two: b"), ("x one", "a"), ("x-one", "a\x00"), ("", "a"), ("x-one:", "a")]
)
def test_a_header_that_would_be_two_is_refused(header: tuple[str, str]) -> None:
    with pytest.raises(ParseException):
        answered(_PLAIN, [*HEADERS, header], b"{}")


def test_headers_of_the_connection_are_the_servers() -> None:
    (packet,) = answered(_PLAIN, [*HEADERS, ("Connection", "close"), ("Transfer-Encoding", "chunked")], b"{}")
    assert b"Transfer-Encoding" not in packet
    assert b"Connection: keep-alive" in packet


class _Sock:
    """A socket that brings parts and takes all."""

    def __init__(self, parts: list[bytes]) -> None:
        self.parts = parts
        self.sent: list[bytes] = []

    def recv(self, size: int) -> bytes:
        return self.parts.pop(0) if self.parts else b""

    def send(self, data: bytes) -> int:
        self.sent.append(bytes(data))
        return len(data)

    def sendall(self, data: bytes) -> None:
        self.send(data)


class _Full(_Sock):
    """Takes ``room`` bytes at once, then as many as it is told to."""

    room = 10_000

    def send(self, data: bytes, flags: int = 0, timeout: float | None = None) -> int:
        if not self.room and timeout == 0.0:
            raise BlockingIOError
        taken = bytes(data[: self.room]) if timeout == 0.0 else bytes(data)
        self.room -= len(taken)
        self.sent.append(taken)
        return len(taken)


def _never(*args: Any) -> None:
    raise AssertionError("gunicorn's own way was taken")
