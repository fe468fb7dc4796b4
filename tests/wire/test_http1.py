"""HTTP/1.1 answers as bytes: heads read strictly, framing taken off."""

from __future__ import annotations

import gzip
import io
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.wire.content_coding import Inflater, inflater_of
from app.wire.http1 import (
    MAX_HEADERS,
    ChunkedBody,
    Closed,
    Cut,
    Malformed,
    OpenBody,
    SizedBody,
    body_of,
    read_head,
    whole_head,
)


def test_a_head_is_read_up_to_the_body() -> None:
    file = io.BytesIO(b"HTTP/1.1 200 OK\r\nA: b \r\nC:\td:e\nX: caf\xe9\r\nEmpty:\r\n\r\nbody")
    head = read_head(file)
    assert (head.minor, head.status, head.reason) == (1, 200, "OK")
    assert head.headers == {"a": "b", "c": "d:e", "x": "café", "empty": ""}
    assert file.read() == b"body"


@pytest.mark.parametrize("line", ["HTTP/1.0 204", "HTTP/1.1 529 ", "HTTP/1.1 429 Too Many Requests"])
def test_a_status_line_may_lack_its_reason(line: str) -> None:
    assert read_head(io.BytesIO(f"{line}\r\n\r\n".encode())).status == int(line.split()[1])


def test_interim_answers_are_passed_over() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    head = read_head(io.BytesIO(interim + b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"))
    assert (head.status, head.headers) == (200, {"a": "b"})
    assert read_head(io.BytesIO(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")).status == 101


MALFORMED = {
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/0.9": b"<html>hello</html>\n",
    "HTTP/2": b"HTTP/2 200 OK\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "no colon": b"HTTP/1.1 200 OK\r\njunk\r\n\r\n",
    "space before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n",
    "folded header": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
    "carriage return in a value": b"HTTP/1.1 200 OK\r\nA: b\rc: d\r\n\r\n",
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 3000 + b"\r\n",
    "huge header": b"HTTP/1.1 200 OK\r\nA: " + b"x" * 1_000_000 + b"\r\n\r\n",
    "huge headers": b"HTTP/1.1 200 OK\r\n" + (b"A: " + b"x" * 10_000 + b"\r\n") * 100 + b"\r\n",
    "interim answers without end": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000,
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_head_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        read_head(io.BytesIO(data))


WHOLE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"


@pytest.mark.parametrize("size", range(1, len(WHOLE_HEAD) - 1))
def test_a_head_cut_short_is_no_head(size: int) -> None:
    with pytest.raises(Cut):
        read_head(io.BytesIO(WHOLE_HEAD[:size]))


HEADS = st.tuples(
    st.sampled_from(
        [b"HTTP/1.1 200 OK", b"HTTP/1.0 404", b"HTTP/1.1 500 ", b"HTTP/1.1 103 Hints", b"HTTP/2 200"]
    ),
    st.lists(
        st.sampled_from(
            [b"A: b", b"a:\tc ", b"X-Y: caf\xe9", b"E:", b"E:: d", b":x", b"A : b", b" folded", b"no"]
        )
        | st.binary(max_size=12),
        max_size=4,
    ),
    st.sampled_from([b"\r\n", b"\n", b"\r", b"\r\n\n"]),
    st.sampled_from([b"\r\n", b"\n", b"", b"\r"]),
    st.binary(max_size=8),
)


@given(HEADS)
def test_a_head_read_at_once_is_the_one_read_by_lines(
    parts: tuple[bytes, list[bytes], bytes, bytes, bytes],
) -> None:
    start, lines, newline, gap, rest = parts
    data = b"".join(line + newline for line in (start, *lines)) + gap + rest
    file = io.BytesIO(data)
    try:
        head = read_head(file)
    except (Malformed, Cut, Closed):
        assert whole_head(data) is None
    else:
        assert whole_head(data) == (head, file.tell())


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_head_is_not_read_at_once(data: bytes) -> None:
    assert whole_head(data) is None


def test_a_head_at_the_edge_of_a_line_is_left_to_be_read_on() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert [whole_head(WHOLE_HEAD[:size]) for size in range(len(WHOLE_HEAD))] == [None] * len(WHOLE_HEAD)
    assert whole_head(WHOLE_HEAD + b"{}") == (read_head(io.BytesIO(WHOLE_HEAD)), len(WHOLE_HEAD))
    assert whole_head(interim + WHOLE_HEAD) is None
    assert whole_head(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 201 + b"\r\n") is None


def test_a_connection_closed_without_a_byte_is_its_own_case() -> None:
    with pytest.raises(Closed):
        read_head(io.BytesIO(b""))


@pytest.mark.parametrize(
    ("method", "status", "headers", "kind"),
    [
        ("POST", 200, {"content-length": "5"}, SizedBody),
        ("POST", 200, {"content-length": "5, 5"}, SizedBody),
        ("POST", 200, {"transfer-encoding": "Chunked"}, ChunkedBody),
        ("POST", 200, {"transfer-encoding": "chunked", "content-length": "5"}, ChunkedBody),
        ("POST", 200, {}, OpenBody),
        ("HEAD", 200, {"content-length": "5"}, SizedBody),
        ("POST", 204, {"transfer-encoding": "chunked"}, SizedBody),
    ],
)
def test_the_headers_choose_the_framing(
    method: str, status: int, headers: dict[str, str], kind: type
) -> None:
    body = body_of(method, status, headers)
    assert type(body) is kind
    assert body.ended is (method == "HEAD" or status == 204)
    assert body.reusable is (headers != {} and len(headers) == 1)


@pytest.mark.parametrize(
    "headers",
    [{"content-length": "5, 6"}, {"content-length": "-1"}, {"content-length": "+5"}, {"content-length": ""}]
    + [{"content-length": "٥"}, {"content-length": "9" * 20}, {"transfer-encoding": "gzip, chunked"}],
)
def test_an_ambiguous_length_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Malformed):
        body_of("POST", 200, headers)


CHUNKED = b"5;a=b\r\nhello\r\n1\n \n6\r\n\r\n\x00ab\n\r\n0\r\nTrailer: x\r\n\r\n"


@given(st.integers(1, 30))
def test_chunks_come_out_joined_however_they_arrive(size: int) -> None:
    body = ChunkedBody()
    assert (
        b"".join(body.feed(CHUNKED[at : at + size]) for at in range(0, len(CHUNKED), size))
        == b"hello \r\n\0ab\n"
    )
    assert (body.ended, body.reusable) == (True, True)
    body.end()


@given(st.lists(st.binary(min_size=1)), st.integers(1, 20))
@settings(max_examples=100)
def test_any_content_survives_chunking(pieces: list[bytes], size: int) -> None:
    data = b"".join(b"%X\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    body = ChunkedBody()
    assert b"".join(body.feed(data[at : at + size]) for at in range(0, len(data), size)) == b"".join(pieces)
    assert body.ended


@pytest.mark.parametrize("size", range(len(CHUNKED)))
def test_a_chunked_body_cut_anywhere_is_cut(size: int) -> None:
    body = ChunkedBody()
    body.feed(CHUNKED[:size])
    with pytest.raises(Cut):
        body.end()


@pytest.mark.parametrize(
    "data",
    [
        b"xyz\r\n",
        b"-5\r\nhello\r\n",
        b"\r\n",
        b"5\r\nhelloo\r\n",
        b"0x5\r\nhello\r\n",
        b"f" * 17 + b"\r\n",
        b"1" * 5000,
    ]
    + [b"5" + b" " * 4000 + b";" + b"x" * 5000],
)
def test_a_malformed_chunk_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        ChunkedBody().feed(data)


def test_trailers_are_bounded() -> None:
    body = ChunkedBody()
    body.feed(b"0\r\n" + b"a: b\r\n" * MAX_HEADERS)
    with pytest.raises(Malformed, match="too many trailers"):
        body.feed(b"a: b\r\n")


def test_bytes_past_the_end_are_dropped_and_spoil_the_connection() -> None:
    for body, data in ((SizedBody(5), b"hello"), (ChunkedBody(), b"5\r\nhello\r\n0\r\n\r\n")):
        assert body.feed(data + b"HTTP/1.1 200 OK") == b"hello"
        assert (body.ended, body.reusable) == (True, False)


def test_a_sized_body_cut_short_is_cut_and_an_open_one_ended() -> None:
    sized = SizedBody(5)
    sized.feed(b"hell")
    with pytest.raises(Cut):
        sized.end()
    open_body = OpenBody()
    assert open_body.feed(b"hell") == b"hell"
    open_body.end()
    assert (open_body.ended, open_body.reusable) == (True, False)


def inflate(data: bytes, size: int, limit: int) -> bytes:
    inflater = Inflater()
    content = []
    for at in range(0, len(data), size):
        content.append(inflater.feed(data[at : at + size], limit))
        while inflater.holds:
            content.append(inflater.feed(b"", limit))
    inflater.end()
    assert all(len(piece) <= limit for piece in content)
    return b"".join(content)


@given(st.binary(), st.integers(1, 20), st.integers(1, 20))
@settings(max_examples=100)
def test_compressed_bodies_are_inflated_a_little_at_a_time(data: bytes, size: int, limit: int) -> None:
    for packed in (gzip.compress(data), zlib.compress(data), gzip.compress(data) + gzip.compress(b"more")):
        assert inflate(packed, size, limit) in (data, data + b"more")


def test_a_compressed_body_cut_short_or_broken_is_refused() -> None:
    packed = gzip.compress(b"hello" * 100)
    with pytest.raises(Cut):
        inflate(packed[:-9], 7, 100)
    with pytest.raises(Malformed):
        inflate(b"plain text", 7, 100)
    Inflater().end()  # an empty body is whole


def test_only_known_encodings_are_undone() -> None:
    assert inflater_of({}) is None
    for coding in ("Identity", "none", "utf-8", "aws-chunked"):
        assert inflater_of({"content-encoding": coding}) is None
    for coding in ("GZIP", "gzip, identity"):
        assert isinstance(inflater_of({"content-encoding": coding}), Inflater)
    for coding in ("br", "zstd", "gzip, gzip"):
        with pytest.raises(Malformed):
            inflater_of({"content-encoding": coding})


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=6))
@settings(max_examples=100)
def test_a_read_that_is_one_chunk_is_taken_like_any_other(pieces: list[bytes]) -> None:
    body = ChunkedBody()
    for piece in pieces:
        assert body.feed(b"%x\r\n%b\r\n" % (len(piece), piece)) == piece
    assert body.feed(b"0\r\n\r\n") == b""
    assert (body.ended, body.reusable) == (True, True)


def test_a_read_that_only_looks_like_one_chunk_is_none() -> None:
    body = ChunkedBody()
    assert body.feed(b"5\r\nab") == b"ab"
    assert body.feed(b"3\r\n") == b"3\r\n"
    assert body.feed(b"\r\n4\r\nwxyz\r\n") == b"wxyz"
