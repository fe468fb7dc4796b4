"""Where a request ends: direct and behind nginx, one request has one answer.

Every case is sent on a connection of its own, all at once; what belongs to no request would come back
as a second answer, or as somebody else's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import gevent
import pytest

from tests.deploy.conftest import Front
from tests.deploy.raw import Heard, converse

BODY = b'{"model": "sandbox/echo", "input": "say exactly: mine"}'
INNER = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
LENGTH = b"Content-Length: %d" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked"


def _post(
    *lines: bytes, body: bytes = BODY, path: bytes = b"/v1/responses", version: bytes = b"1.1"
) -> tuple[bytes, ...]:
    head = [
        b"POST %b HTTP/%b" % (path, version),
        b"Host: localhost",
        b"Content-Type: application/json",
        *lines,
    ]
    return (b"\r\n".join(head) + b"\r\n\r\n" + body,)


def _chunks(body: bytes) -> tuple[bytes, ...]:
    return _post(CHUNKED, body=body)


def _ended(pieces: tuple[bytes, ...], more: bytes) -> tuple[bytes, ...]:
    """The request, and later on the same connection bytes that must not be read as another one."""
    return (*pieces, more)


SIZE = b"%x" % len(BODY)
REFUSED = (400, 408, 413, 414, 415, 417, 431, 501)


@dataclass(frozen=True)
class Case:
    """What is sent, and the statuses that may answer it, direct and through nginx."""

    pieces: tuple[bytes, ...]
    direct: tuple[int, ...] = (400,)
    nginx: tuple[int, ...] = (400,)
    closes: bool = True  # the direct connection carries nothing more


GOOD = {"direct": (200,), "nginx": (200,), "closes": False}

CASES: Mapping[str, Case] = {
    "a length and chunks": Case(_post(LENGTH, CHUNKED, body=CHUNKS + INNER)),
    "a short length and chunks": Case(_post(b"Content-Length: 5", CHUNKED, body=b"0\r\n\r\n" + INNER)),
    "a list of codings": Case(
        _post(b"Transfer-Encoding: gzip, chunked", body=CHUNKS), direct=(501,), nginx=(501,)
    ),
    "no coding": Case(_post(b"Transfer-Encoding: identity", LENGTH), direct=(501,), nginx=(501,)),
    "chunked, then identity": Case(_post(b"Transfer-Encoding: chunked, identity", body=CHUNKS), nginx=(501,)),
    "an unknown coding": Case(
        _post(b"Transfer-Encoding: xchunked", body=CHUNKS), direct=(400, 501), nginx=(501,)
    ),
    "chunked twice": Case(_post(CHUNKED, CHUNKED, body=CHUNKS)),
    "a blank before the colon": Case(_post(b"Transfer-Encoding : chunked", body=CHUNKS)),
    "a list of lengths": Case(_post(LENGTH + b", %d" % len(BODY))),
    "two lengths": Case(_post(LENGTH, b"Content-Length: 0")),
    "the length twice": Case(_post(LENGTH, LENGTH)),
    "a signed length": Case(_post(b"Content-Length: +%d" % len(BODY))),
    "a negative length": Case(_post(b"Content-Length: -1")),
    "a hexadecimal length": Case(_post(b"Content-Length: 0x10")),
    "line feeds alone": Case((_post(LENGTH)[0].replace(b"\r\n", b"\n"),), nginx=(200,)),
    "a line feed within the head": Case(_post(b"X-A: b\n" + LENGTH), nginx=(200,)),
    "a carriage return within a value": Case(_post(b"X-A: b\rTransfer-Encoding: chunked", LENGTH)),
    "a folded header": Case(_post(b"X-A: b\r\n c", LENGTH)),
    "a folded coding": Case(_post(b"Transfer-Encoding:\r\n chunked", LENGTH), direct=(400, 501)),
    "a folded length": Case(_post(b"Content-Length: 1\r\n 0")),
    "chunk extensions": Case(_chunks(b"%b;a=b\r\n%b\r\n0;c\r\n\r\n" % (SIZE, BODY)), **GOOD),
    "chunks ended by line feeds": Case(
        _chunks(b"%b\n%b\n0\n\n" % (SIZE, BODY)), direct=(400, 408), nginx=(200,)
    ),
    "a line feed within a chunk extension": Case(
        _chunks(b"%b;a\n%b\r\n0\r\n\r\n" % (SIZE, BODY)), nginx=(200,)
    ),
    "a signed chunk size": Case(_ended(_chunks(b"+%b\r\n%b\r\n0\r\n\r\n" % (SIZE, BODY)), INNER)),
    "a prefixed chunk size": Case(_ended(_chunks(b"0x%b\r\n%b\r\n0\r\n\r\n" % (SIZE, BODY)), INNER)),
    "a chunk size with an underscore": Case(
        _ended(_chunks(b"0_%b\r\n%b\r\n0\r\n\r\n" % (SIZE, BODY)), INNER)
    ),
    "a chunk longer than its size": Case(_ended(_chunks(b"5\r\n%b\r\n0\r\n\r\n" % BODY), INNER)),
    "ill-framed chunks nobody reads": Case(
        _ended(_post(CHUNKED, body=b"5\r\n%b\r\n0\r\n\r\n" % BODY, path=b"/nowhere"), INNER), direct=(404,)
    ),
    "framing headers as trailers": Case(
        _ended(_chunks(b"%b\r\n%b\r\n0\r\nContent-Length: 5\r\n\r\n" % (SIZE, BODY)), b""), nginx=(200,)
    ),
    "HTTP/1.0 kept alive": Case(_post(b"Connection: keep-alive", LENGTH, version=b"1.0"), **GOOD),
    "HTTP/1.0 with chunks": Case(_post(b"Connection: keep-alive", CHUNKED, version=b"1.0", body=CHUNKS)),
    "an absolute target": Case(_post(LENGTH, path=b"http://other/v1/responses"), **GOOD),
    "headers with underscores": Case(
        _post(b"Content_Length: 0", b"Transfer_Encoding: chunked", LENGTH), **GOOD
    ),
    "a body that comes too slowly": Case(
        _post(LENGTH, body=BODY[:9]),
        direct=(408,),
        nginx=(),  # nginx waits longer than we do here
    ),
    "no host": Case((b"GET /health HTTP/1.1\r\n\r\n",)),
    "two hosts": Case((b"GET /health HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",)),
    "a host with a blank": Case((b"GET /health HTTP/1.1\r\nHost: a b\r\n\r\n",)),
    "a host with a path": Case((b"GET /health HTTP/1.1\r\nHost: /..@x\r\n\r\n",)),
    "a host with a user, by HTTP/1.0": Case((b"GET /health HTTP/1.0\r\nHost: me@x\r\n\r\n",)),
    "a host of IPv6": Case((b"GET /health HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",), **GOOD),
    "a NUL in a header": Case(_post(b"X-A: a\0b", LENGTH)),
    "HTTP/2's preface": Case((b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",)),
    "no HTTP": Case((b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",)),
    "a megabyte of header": Case(_post(b"X-A: " + b"a" * 2**20, LENGTH), direct=(431,)),
    "a long URL": Case(_post(LENGTH, path=b"/v1/" + b"a" * 20000), direct=(414,), nginx=(414,)),
    "an unknown expectation": Case(_post(b"Expect: tea", LENGTH), direct=(417,), nginx=(200,)),
    "an expectation": Case(_post(b"Expect: 100-continue", LENGTH), **GOOD),
    "a body with GET": Case(
        (b"GET /v1/nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(INNER) + INNER,),
        direct=(404,),
        nginx=(404,),
        closes=False,
    ),
    "a body with the wrong method": Case(
        (
            b"PUT /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(INNER)
            + INNER,
        ),
        direct=(405,),
        nginx=(405,),
        closes=False,
    ),
}


@pytest.fixture(scope="module")
def send_cases(front: Front) -> dict[tuple[str, str], Heard]:
    """What came back for each case, both ways; beside them calls of other clients go on."""
    jobs = {
        (way, name): gevent.spawn(
            converse, front.port(way), *case.pieces, quiet=30.0 if way == "direct" and case.closes else 4.0
        )
        for way in ("direct", "nginx")
        for name, case in CASES.items()
    }
    gevent.joinall(jobs.values(), timeout=40)
    return {key: job.get() for key, job in jobs.items()}


@pytest.mark.parametrize("way", ["direct", "nginx"])
@pytest.mark.parametrize("name", CASES)
def test_one_request_has_one_answer(way: str, name: str, send_cases: dict[tuple[str, str], Heard]) -> None:
    case, got = CASES[name], send_cases[way, name]
    wanted: tuple[int, ...] = getattr(case, way)
    assert len(got.answers) == bool(wanted)
    for answer in got.answers:
        assert answer.status in wanted
        if answer.status in REFUSED:
            assert set(answer.json["error"]) >= {"message", "type", "param", "code"}
    if way == "direct":
        assert got.closed == case.closes


def test_the_next_client_gets_its_own_answer(front: Front, send_cases: dict[tuple[str, str], Heard]) -> None:
    assert send_cases
    texts = []
    for number in range(20):
        body = b'{"model": "sandbox/echo", "input": "say exactly: client %d"}' % number
        (answer,) = converse(
            front.nginx, *_post(b"Connection: close", b"Content-Length: %d" % len(body), body=body)
        ).answers
        texts.append(answer.json["output"][0]["content"][0]["text"])
    assert texts == [f"client {number}" for number in range(20)]


@pytest.mark.parametrize("way", ["direct", "nginx"])
def test_a_connection_serves_one_request_after_another(way: str, front: Front) -> None:
    got = converse(front.port(way), *_post(LENGTH), *_post(LENGTH), INNER, pause=0.5, quiet=1)
    assert [answer.status for answer in got.answers] == [200, 200, 200]


def test_a_refusal_repeats_nothing_of_the_request(front: Front) -> None:
    (answer,) = converse(front.gateway.port, *_post(b"Authorization: Bearer sk-canary\x01", LENGTH)).answers
    assert answer.status == 400
    assert b"canary" not in answer.body
    assert "canary" not in front.gateway.log
    assert answer.headers["x-request-id"].startswith("req_")
