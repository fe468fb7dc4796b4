"""The fake upstream keeps its promises, seen from a raw socket and from a plain HTTP client."""

import http.client
import json
import socket
import time
from collections.abc import Iterator

import pytest

from tests.traffic.frames import eventstream, sse
from tests.traffic.load import exchange, require
from tests.traffic.replay import FRAME, NEVER, Reply, Request, Upstream

STREAM = b"data: one\n\ndata: two\n\ndata: three\n\n"


def post(upstream: Upstream, path: str = "/v1/x", body: object = None) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=5)
    connection.request("POST", path, json.dumps(body or {}), {"Content-Type": "application/json"})
    return connection.getresponse()


def raw(upstream: Upstream) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", upstream.port), timeout=5)
    client.sendall(b"POST /v1/x?a=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nX-Thing: Yes\r\n\r\n{}")
    return client


def drained(client: socket.socket) -> bytes:
    pieces = []
    while piece := client.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


@pytest.mark.parametrize(
    "identifier",
    [
        "openai-responses_stream-c6c50e37d3a1",
        "openai-chat_completion-9f5d29b25a1c",
        "bedrock-chat_completion_stream-409c7d21336b",
        "gemini-chat_completion_stream-f43c805fedc6",
    ],
)
@pytest.mark.parametrize("chunk", [0, 1, 7, 64, FRAME])
@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
def test_a_recording_comes_byte_for_byte_however_it_is_cut(
    upstream: Upstream, identifier: str, chunk: int, framing: str
) -> None:
    require()
    recording = exchange(identifier)
    upstream.replay(recording, chunk=chunk, framing=framing)
    response = post(upstream, "/prefix" + recording.request["path"])
    assert response.status == recording.status
    assert response.getheader("content-type") == recording.content_type
    assert response.read() == recording.content()


def test_frames_are_written_one_by_one_with_their_delay(upstream: Upstream) -> None:
    upstream.add(Reply.sse(STREAM, delay=0.1))
    started = time.monotonic()
    response = post(upstream)
    came = [(response.read1(), time.monotonic() - started) for _ in range(3)]
    assert [data for data, _ in came] == [b"data: one\n\n", b"data: two\n\n", b"data: three\n\n"]
    assert came[0][1] < 0.1 <= came[1][1]
    assert came[2][1] >= 0.2
    assert response.read() == b""


def test_frames_of_every_kind_are_whole(upstream: Upstream) -> None:
    require()
    for identifier in ("bedrock-chat_completion_stream-409c7d21336b", "openai-responses_stream-c6c50e37d3a1"):
        recording = exchange(identifier)
        pieces = list(Reply.of(recording).pieces())
        assert b"".join(pieces) == recording.content()
        split = eventstream if "eventstream" in recording.content_type else sse
        assert [len(split(piece)) for piece in pieces] == [1] * len(split(recording.content()))
    assert list(Reply.sse(b"a: 1\r\n\r\nb: 2\r\n\r\nrest").pieces()) == [
        b"a: 1\r\n\r\n",
        b"b: 2\r\n\r\n",
        b"rest",
    ]
    assert list(Reply.sse(b"{}\n{}\n").pieces()) == [b"{}\n", b"{}\n"]


def test_requests_are_noted_whole(upstream: Upstream) -> None:
    upstream.add(Reply.json({"ok": True}))
    client = raw(upstream)
    (request,) = upstream.wait_for(1)
    assert (request.method, request.path, request.query) == ("POST", "/v1/x", "a=1")
    assert (request.headers["x-thing"], request.body, request.json()) == ("Yes", b"{}", {})
    client.close()
    assert request.closed.wait(1)


def test_a_chunked_request_body_is_joined(upstream: Upstream) -> None:
    upstream.add(Reply.json({}))
    with socket.create_connection(("127.0.0.1", upstream.port), timeout=5) as client:
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=1\r\nde\r\n0\r\n\r\n"
        )
        assert upstream.wait_for(1)[0].body == b"abcde"


def test_replies_are_chosen_by_method_path_model_and_stream_in_order(upstream: Upstream) -> None:
    upstream.add(Reply.json("other model"), model="b")
    upstream.add(Reply.json("streamed"), model="a", stream=True)
    upstream.add(Reply.json("first"), path="*/chat", method="POST")
    upstream.add(Reply.json("rest"), times=NEVER, path="/v1/chat")
    asked = [{"model": "a"}, {"model": "a", "stream": True}, {"model": "b"}, {}, {}]
    told = [json.loads(post(upstream, "/v1/chat", body).read()) for body in asked]
    assert told == ["first", "streamed", "other model", "rest", "rest"]
    assert upstream.unmatched == []
    assert post(upstream, "/v1/other").status == 501
    assert [request.path for request in upstream.unmatched] == ["/v1/other"]


def test_a_connection_serves_several_requests(upstream: Upstream) -> None:
    upstream.add(Reply.json({}), times=3)
    connection = http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=5)
    for _ in range(3):
        connection.request("POST", "/", "{}")
        assert connection.getresponse().read() == b"{}"
    connection.close()
    assert upstream.requests[-1].closed.wait(1)
    assert [request.closed.is_set() for request in upstream.requests] == [False, False, True]


def test_the_headers_wait_and_a_client_that_leaves_before_them_is_noted(upstream: Upstream) -> None:
    upstream.add(Reply.json({}, wait=0.15))
    started = time.monotonic()
    assert post(upstream).status == 200
    assert time.monotonic() - started >= 0.15

    upstream.add(Reply.json({}, wait=NEVER))
    client = raw(upstream)
    request = upstream.wait_for(2)[1]
    assert not request.closed.wait(0.1)
    client.close()
    assert request.closed.wait(1)
    assert (request.finished, request.sent) == (False, 0)


def test_an_answer_is_cut_after_so_many_bytes(upstream: Upstream) -> None:
    upstream.add(Reply.sse(STREAM, cut=15))
    response = post(upstream)
    with pytest.raises(http.client.IncompleteRead):
        response.read()
    assert (upstream.requests[0].sent, upstream.requests[0].closed.is_set()) == (15, False)

    upstream.add(Reply(body=STREAM, cut=15))
    with pytest.raises(http.client.IncompleteRead) as cut:
        post(upstream).read()
    assert cut.value.partial == STREAM[:15]

    upstream.add(Reply(body=STREAM, cut=15, framing="close"))
    assert post(upstream).read() == STREAM[:15]


def test_a_cut_can_be_a_reset(upstream: Upstream) -> None:
    upstream.add(Reply(body=STREAM, cut=5, reset=True))
    with pytest.raises(ConnectionResetError):
        drained(raw(upstream))


def test_an_answer_hangs_after_so_many_bytes_until_the_client_leaves(upstream: Upstream) -> None:
    upstream.add(Reply.sse(STREAM, hang=11))
    response = post(upstream)
    assert response.read1() == b"data: one\n\n"
    (request,) = upstream.requests
    assert not request.closed.wait(0.2)
    left = time.monotonic()
    response.close()
    assert request.closed.wait(1)
    assert request.closed_at is not None
    assert request.closed_at - left < 0.5
    assert request.sent == 11


def test_a_client_that_leaves_between_slow_frames_is_noted_at_once(upstream: Upstream) -> None:
    upstream.add(Reply.sse(STREAM, delay=30))
    response = post(upstream)
    assert response.read1() == b"data: one\n\n"
    response.close()
    assert upstream.requests[0].closed.wait(1)


def test_a_script_answers_live_with_pieces_made_while_they_are_sent(upstream: Upstream) -> None:
    def pieces(words: list[str]) -> Iterator[bytes]:
        for word in words:
            yield f"data: {word}\n\n".encode()

    def script(request: Request) -> Reply:
        return Reply.sse(pieces(request.json()["say"]))

    upstream.script = script
    assert post(upstream, body={"say": ["a", "b"]}).read() == b"data: a\n\ndata: b\n\n"
    with pytest.raises(ValueError, match="no length"):
        Reply(body=pieces([]))


def test_many_streams_run_side_by_side(upstream: Upstream) -> None:
    upstream.add(Reply.sse(STREAM, delay=0.2), times=NEVER)
    started = time.monotonic()
    responses = [post(upstream) for _ in range(20)]
    assert [response.read() for response in responses] == [STREAM] * 20
    assert time.monotonic() - started < 4


def test_leaving_the_context_ends_hanging_answers() -> None:
    with Upstream() as server:
        server.add(Reply.sse(STREAM, hang=0))
        client = raw(server)
        server.wait_for(1)
    assert b"data" not in drained(client)
