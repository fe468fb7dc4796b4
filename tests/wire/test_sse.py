"""Event streams: every recorded stream at every chunk size and line end, and the standard's corners."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import GatewayError
from app.wire.sse import RawFrame, SSEDecoder, comment, encode_frame

CHUNK_SIZES = (1, 2, 3, 7, 64, None)
LINE_ENDS = {"LF": b"\n", "CRLF": b"\r\n", "CR": b"\r"}


def feed_all(data: bytes, size: int | None, decoder: SSEDecoder | None = None) -> list[RawFrame]:
    decoder = decoder or SSEDecoder()
    size = size or max(len(data), 1)
    return [frame for at in range(0, len(data), size) for frame in decoder.feed(data[at : at + size])]


def naive(data: bytes) -> list[RawFrame]:
    """Cut a whole stream the slow and obvious way, by regular expressions over one kind of line end."""
    text = re.sub("\r\n?", "\n", data.decode("utf-8").removeprefix("\ufeff"))
    frames = []
    for block in re.findall(r"(?s)(.*?\n)\n+", text.lstrip("\n")):
        fields = [re.fullmatch(r"([^:]*)(?:: ?(.*))?", line, re.S) for line in block.split("\n")[:-1]]
        pairs = [(field[1], field[2] or "") for field in fields if field]
        lines = [value for name, value in pairs if name == "data"]
        if lines:
            names = [value for name, value in pairs if name == "event"]
            ids = [value for name, value in pairs if name == "id"]
            last_name, last_id = ([None, *names][-1] or None), [None, *ids][-1]
            frames.append(RawFrame(last_name, "\n".join(lines).encode(), last_id))
    return frames


@pytest.fixture(scope="module")
def recorded_streams(shared_dir: Path) -> list[tuple[str, bytes, list[RawFrame]]]:
    """Name, body as recorded, and the frames of a naive cut."""
    streams = []
    for file in sorted((shared_dir / "traffic").rglob("*.json")):
        if '"sse"' in (text := file.read_text(encoding="utf-8")):
            response = json.loads(text)["response"]
            if response["body_kind"] == "sse":
                body = response["body"].encode("utf-8")
                streams.append((file.stem, body, naive(body)))
    assert len(streams) > 150
    return streams


@pytest.mark.parametrize("size", CHUNK_SIZES)
@pytest.mark.parametrize("line_end", LINE_ENDS)
def test_every_recorded_stream_gives_the_same_frames_however_it_is_cut(
    recorded_streams: list[tuple[str, bytes, list[RawFrame]]], line_end: str, size: int | None
) -> None:
    small = size is not None and size < 64  # each cut costs; the shorter half has every shape
    shortest = sorted(recorded_streams, key=lambda stream: len(stream[1]))
    for name, body, expected in shortest[: len(shortest) // 2] if small else recorded_streams:
        plain = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        assert feed_all(plain.replace(b"\n", LINE_ENDS[line_end]), size) == expected, name


def test_recorded_streams_are_fed_unchanged_too(
    recorded_streams: list[tuple[str, bytes, list[RawFrame]]],
) -> None:
    frames = comments = 0
    for name, body, expected in recorded_streams:
        assert feed_all(body, 64) == expected, name
        frames += len(expected)
        comments += sum(line.startswith(b":") for line in body.splitlines())
    assert frames > 5000
    assert comments > 100  # OpenRouter's


CASES = {
    "name and id": (b"event: a\nid: 7\ndata: x\n\n", [RawFrame("a", b"x", "7")]),
    "several data lines": (b"data: x\ndata:\ndata:y\n\n", [RawFrame(None, b"x\n\ny")]),
    "one space is taken off": (b"data:  x \n\n", [RawFrame(None, b" x ")]),
    "data without colon": (b"data\n\n", [RawFrame(None, b"")]),
    "no data is no event": (b"event: ping\n\nid: 1\n\ndata: x\n\n", [RawFrame(None, b"x")]),
    "the name lasts one event": (
        b"event: a\ndata: x\n\ndata: y\n\n",
        [RawFrame("a", b"x"), RawFrame(None, b"y")],
    ),
    "the last name counts": (b"event: a\nevent: b\ndata: x\n\n", [RawFrame("b", b"x")]),
    "unknown fields": (b"retry: 5\nfoo: bar\ndata: x\nDATA: y\n data: z\n\n", [RawFrame(None, b"x")]),
    "BOM": (b"\xef\xbb\xbfdata: x\n\n", [RawFrame(None, b"x")]),
    "BOM at the start only": (b"data: x\n\n\xef\xbb\xbfdata: y\n\n", [RawFrame(None, b"x")]),
    "unicode line separators": ("data: a\u2028b\u2029c\x85d\x0b\x0c\x1c\n\n".encode(), None),
    "CR LF CR": (b"data: x\r\n\rdata: y\n\r\n", [RawFrame(None, b"x"), RawFrame(None, b"y")]),
    "NUL": (b"id: a\0b\ndata: x\0y\n\n", [RawFrame(None, b"x\0y")]),
    "leading blank lines": (b"\n\r\n\rdata: x\n\n", [RawFrame(None, b"x")]),
}


@pytest.mark.parametrize("size", CHUNK_SIZES)
@pytest.mark.parametrize("case", CASES)
def test_the_standards_corners(case: str, size: int | None) -> None:
    data, expected = CASES[case]
    if expected is None:
        expected = [RawFrame(None, data[6:-2])]
    assert feed_all(data, size) == expected


@pytest.mark.parametrize("size", CHUNK_SIZES)
def test_comments_are_no_frames(size: int | None) -> None:
    decoder = SSEDecoder()
    assert feed_all(b": one\n\ndata: x\n:two\n\n:\n", size, decoder) == [RawFrame(None, b"x")]
    assert not decoder.pending


@pytest.mark.parametrize(
    ("data", "pending"),
    [
        (b"", False),
        (b"data: x\n\n", False),
        (b"data: x\n", True),
        (b"data: x\n\ndat", True),
        (b"data: x\n\nevent: a\n", False),
        (b"data: x\r\n\r", False),
    ],
)
@pytest.mark.parametrize("size", CHUNK_SIZES)
def test_an_unfinished_last_event_is_dropped_and_reported(
    data: bytes, pending: bool, size: int | None
) -> None:
    decoder = SSEDecoder()
    frames = feed_all(data, size, decoder)
    assert (len(frames), decoder.pending) == (
        data.count(b"data: x\n\n") + data.count(b"data: x\r\n\r"),
        pending,
    )


def test_a_line_feed_after_a_carriage_return_may_come_late() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: x\r") == []
    assert decoder.feed(b"") == []
    assert decoder.feed(b"\n") == []
    assert decoder.feed(b"data: y\r\n") == []
    assert decoder.feed(b"\r") == [RawFrame(None, b"x\ny")]
    assert decoder.feed(b"\n") == []
    assert not decoder.pending


FAULTS = {
    "long line": (b"data: " + b"x" * 200, "a line is longer than 100 bytes"),
    "long comment": (b":" + b"x" * 200, "a line is longer than 100 bytes"),
    "large event": (b"data: 0123456789\n" * 40 + b"\n", "an event is larger than 300 bytes"),
    "not UTF-8": (b'data: {"a":"\xff"}\n\n', "an event is not UTF-8"),
    "name not UTF-8": (b"event: \xff\ndata: x\n\n", "an event is not UTF-8"),
}


@pytest.mark.parametrize("size", CHUNK_SIZES)
@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_comes_after_the_good_frames_and_stays(case: str, size: int | None) -> None:
    data, message = FAULTS[case]
    decoder = SSEDecoder(max_line=100, max_event=300)
    frames: list[RawFrame] = []
    with pytest.raises(GatewayError) as caught:
        for at in range(0, 10_000, size or 10_000):
            frames += decoder.feed((b"data: good\n\n" + data)[at : at + (size or 10_000)])
        decoder.feed(b"")
    assert frames == [RawFrame(None, b"good")]
    assert (caught.value.kind.name, message in caught.value.message) == ("upstream_invalid", True)
    with pytest.raises(GatewayError):
        decoder.feed(b"data: more\n\n")


def test_a_huge_line_in_tiny_chunks_costs_no_square() -> None:
    decoder = SSEDecoder()
    line = b"x" * 300_000
    assert feed_all(b"data: " + line + b"\n\n", 3, decoder) == [RawFrame(None, line)]


LINE = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\r\n"))
NAME = LINE.filter(bool)


@given(
    st.lists(st.tuples(st.none() | NAME, st.lists(LINE, min_size=1).map("\n".join))),
    st.integers(1, 9),
    st.booleans(),
)
@settings(max_examples=100)
def test_what_is_encoded_is_decoded(events: list[tuple[str | None, str]], size: int, commented: bool) -> None:
    frames = [RawFrame(name, data.encode()) for name, data in events]
    separator = comment("still here") if commented else b""
    stream = separator + separator.join(encode_frame(frame.event, frame.data) for frame in frames)
    decoder = SSEDecoder()
    assert feed_all(stream, size, decoder) == frames
    assert not decoder.pending


_PIECES = (b"data: x\n\n", b"event: e\ndata: y\n\n", b"event: \ndata: z\n\n", b"data:", b"data: ", b"event: ")
_PIECES += (
    b"id: 7\n",
    b": c\n",
    b"\n",
    b"\r",
    b"\n\n",
    b"\r\n",
    b"a",
    "é".encode(),
    b"\xc3",
    b"\xef\xbb\xbf",
)


@given(st.lists(st.sampled_from(_PIECES), max_size=12))
@settings(max_examples=500)
def test_a_chunk_that_is_one_event_is_read_as_if_it_came_in_bytes(pieces: list[bytes]) -> None:
    pieces = [b":\n", *pieces]  # a stream that has begun
    whole, bytewise = SSEDecoder(), SSEDecoder()
    for piece in pieces:
        read = [
            _frames_or_fault(whole, [piece]),
            _frames_or_fault(bytewise, [piece[at : at + 1] for at in range(len(piece))]),
        ]
        assert read[0] == read[1]
        if isinstance(read[0], str):
            return
    assert whole.pending == bytewise.pending


def _frames_or_fault(decoder: SSEDecoder, chunks: list[bytes]) -> list[RawFrame] | str:
    try:
        return [frame for chunk in chunks for frame in decoder.feed(chunk)]
    except GatewayError as error:
        return error.message


@given(st.binary(), st.integers(1, 9))
@settings(max_examples=100)
def test_chunks_make_no_difference_to_any_bytes(data: bytes, size: int) -> None:
    results: list[object] = []
    for cut in (size, None):
        frames: list[RawFrame] = []
        decoder = SSEDecoder(max_line=20, max_event=30)
        try:
            for at in range(0, len(data), cut or max(len(data), 1)):
                frames += decoder.feed(data[at : at + (cut or len(data))])
            decoder.feed(b"")
        except GatewayError as error:
            results.append((frames, error.message))
        else:
            results.append((frames, decoder.pending))
    assert results[0] == results[1]


def test_frames_are_written_as_clients_know_them() -> None:
    assert encode_frame("response.created", b"{}") == b"event: response.created\ndata: {}\n\n"
    assert encode_frame(None, b"[DONE]") == b"data: [DONE]\n\n"
    assert encode_frame(None, b"a\nevent: b\r\rdata") == b"data: a\ndata: event: b\ndata: \ndata: data\n\n"
    assert comment("keep-alive") == b": keep-alive\n\n"


@pytest.mark.parametrize("text", ["a\nb", "a\rb"])
def test_a_line_end_cannot_slip_into_a_name(text: str) -> None:
    with pytest.raises(ValueError):
        encode_frame(text, b"{}")
    with pytest.raises(ValueError):
        comment(text)
