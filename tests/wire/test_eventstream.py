"""AWS event streams: recorded ones against botocore's decoder, and streams gone wrong."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import GatewayError
from app.wire.eventstream import EventMessage, EventStreamDecoder, encode_event, encode_message

GOOD = encode_message({":event-type": "messageStop", ":message-type": "event"}, b'{"stopReason":"end_turn"}')


def feed_all(data: bytes, size: int, decoder: EventStreamDecoder) -> list[EventMessage]:
    return [message for at in range(0, len(data), size) for message in decoder.feed(data[at : at + size])]


def reference(data: bytes) -> list[tuple[dict[str, Any], bytes]]:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return [(message.headers, message.payload) for message in buffer]


@pytest.mark.parametrize("size", [1, 7, 64, 10**9])
def test_recorded_streams_are_read_as_botocore_reads_them(shared_dir: Path, size: int) -> None:
    total = 0
    for file in sorted((shared_dir / "traffic" / "bedrock").rglob("*.json")):
        response = json.loads(file.read_text(encoding="utf-8"))["response"]
        if response["body_kind"] == "base64":
            data = base64.b64decode(response["body"])
            decoder = EventStreamDecoder()
            messages = [(message.headers, message.payload) for message in feed_all(data, size, decoder)]
            assert messages == reference(data), file.name
            assert not decoder.pending
            total += len(messages)
    assert total > 500


@given(
    st.lists(st.tuples(st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=50)), st.binary())),
    st.integers(1, 50),
)
@settings(max_examples=100)
def test_what_is_encoded_is_decoded(messages: list[tuple[dict[str, str], bytes]], size: int) -> None:
    data = b"".join(encode_message(headers, payload) for headers, payload in messages)
    decoder = EventStreamDecoder()
    assert feed_all(data, size, decoder) == [EventMessage(*message) for message in messages]
    assert not decoder.pending


def with_headers(block: bytes, payload: bytes = b"") -> bytes:
    lengths = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    message = lengths + struct.pack(">I", zlib.crc32(lengths)) + block + payload
    return message + struct.pack(">I", zlib.crc32(message))


def test_every_header_type_becomes_a_text() -> None:
    typed = [
        (b"\x00", "true"),
        (b"\x01", "false"),
        (b"\x02\xff", "-1"),
        (b"\x03\x01\x00", "256"),
        (b"\x04\x00\x00\x00\x07", "7"),
        (b"\x05" + b"\xff" * 8, "-1"),
        (b"\x06\x00\x02\xab\xcd", "abcd"),
        (b"\x07\x00\x02hi", "hi"),
        (b"\x08" + (1_700_000_000_000).to_bytes(8, "big"), "1700000000000"),
        (b"\x09" + bytes(range(16)), "00010203-0405-0607-0809-0a0b0c0d0e0f"),
    ]
    block = b"".join(b"\x01" + bytes([ord("a") + number]) + raw for number, (raw, _) in enumerate(typed))
    message = EventStreamDecoder().feed(with_headers(block, b"x"))[0]
    assert message == EventMessage({chr(ord("a") + n): text for n, (_, text) in enumerate(typed)}, b"x")


def prelude(total: int, headers: int) -> bytes:
    lengths = struct.pack(">II", total, headers)
    return lengths + struct.pack(">I", zlib.crc32(lengths)) + b"\0" * 100


BROKEN = {
    "prelude checksum": GOOD[:8] + bytes([GOOD[8] ^ 1]) + GOOD[9:],
    "payload changed": GOOD[:-10] + bytes([GOOD[-10] ^ 1]) + GOOD[-9:],
    "message checksum": GOOD[:-1] + bytes([GOOD[-1] ^ 1]),
    "prelude checksum of a message to come": struct.pack(">III", 100, 0, 12345),
    "too large": prelude(25 * 1024 * 1024, 0),
    "too many header bytes": prelude(1024 * 1024, 200 * 1024),
    "too short": prelude(15, 0),
    "headers past the message": prelude(50, 60),
    "unknown header type": with_headers(b"\x01a\x0a"),
    "header past its block": with_headers(b"\x01a\x07\x00\x05hi"),
    "header cut in its length": with_headers(b"\x01a\x07\x00"),
    "header without a type": with_headers(b"\x01a"),
    "name not UTF-8": with_headers(b"\x01\xff\x00"),
    "text": b"<html>an error page of some proxy</html>",
}


@pytest.mark.parametrize("size", [1, 7, 10**9])
@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_a_fault_comes_after_the_good_messages_and_stays(data: bytes, size: int) -> None:
    decoder = EventStreamDecoder()
    messages: list[EventMessage] = []
    stream = GOOD + data
    with pytest.raises(GatewayError) as caught:
        for at in range(0, len(stream), size):
            messages += decoder.feed(stream[at : at + size])
        decoder.feed(b"")
    assert [message.payload for message in messages] == [b'{"stopReason":"end_turn"}']
    assert caught.value.kind.name == "upstream_invalid"
    with pytest.raises(GatewayError):
        decoder.feed(GOOD)


def test_an_unfinished_message_is_reported() -> None:
    decoder = EventStreamDecoder()
    assert len(decoder.feed(GOOD + GOOD[:-1])) == 1
    assert decoder.pending


@pytest.mark.parametrize(
    ("event", "kind"), [("messageStop", "event"), ("exception:throttlingException", "exception")]
)
def test_an_event_or_exception_is_written_as_a_service_writes_it(event: str, kind: str) -> None:
    (message,) = EventStreamDecoder().feed(encode_event(event, b"{}"))
    assert message.headers == {
        f":{kind}-type": event.removeprefix("exception:"),
        ":content-type": "application/json",
        ":message-type": kind,
    }
    assert message.payload == b"{}"
