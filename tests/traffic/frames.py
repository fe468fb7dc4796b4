"""Splits recorded bodies into frames: SSE, NDJSON and AWS event streams. Knows no wire's words."""

import json
import re
import struct
import zlib
from typing import Any, NamedTuple

LINE_END = re.compile(r"\r\n|\n|\r")


class Frame(NamedTuple):
    """One SSE message: its event name (``""`` when unnamed) and its data lines joined."""

    event: str
    data: str


def sse(body: bytes) -> list[Frame]:
    """Split a whole SSE body; comments are dropped, a last message without blank line counts."""
    frames: list[Frame] = []
    event = ""
    data: list[str] = []
    for line in [*LINE_END.split(body.decode("utf-8-sig")), ""]:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line and data:
            frames.append(Frame(event, "\n".join(data)))
        if not line:
            event, data = "", []
        elif name == "event":
            event = value
        elif name == "data":
            data.append(value)
    return frames


def ndjson(body: bytes) -> list[dict[str, Any]]:
    """Parse a body of one JSON object a line."""
    return [json.loads(line) for line in body.split(b"\n") if line.strip()]


def payloads(body: bytes) -> list[dict[str, Any]]:
    """The JSON data of every SSE message; ``[DONE]`` is left out."""
    return [json.loads(frame.data) for frame in sse(body) if frame.data.strip() != "[DONE]"]


class Message(NamedTuple):
    """One AWS event-stream message: its string headers and its payload."""

    headers: dict[str, str]
    payload: bytes


def eventstream(body: bytes) -> list[Message]:
    """Split an AWS event stream and check both checksums of every message.

    A message is: total length, header length, CRC of these eight bytes, headers, payload, CRC of
    all before it; all numbers are big-endian unsigned 32 bit.
    """
    messages, at = [], 0
    while at < len(body):
        total, header_length, prelude_crc = struct.unpack_from(">III", body, at)
        if zlib.crc32(body[at : at + 8]) != prelude_crc:
            raise ValueError(f"prelude checksum at byte {at}")
        (message_crc,) = struct.unpack_from(">I", body, at + total - 4)
        if zlib.crc32(body[at : at + total - 4]) != message_crc:
            raise ValueError(f"message checksum at byte {at}")
        start = at + 12 + header_length
        messages.append(Message(_headers(body[at + 12 : start]), body[start : at + total - 4]))
        at += total
    return messages


def _headers(block: bytes) -> dict[str, str]:
    """Name length (1 byte), name, type (7 = string), value length (2 bytes), value; repeated."""
    headers, at = {}, 0
    while at < len(block):
        end = at + 1 + block[at]
        name = block[at + 1 : end].decode()
        kind, length = struct.unpack_from(">BH", block, end)
        if kind != 7:
            raise ValueError(f"header {name} has type {kind}, not string")
        headers[name] = block[end + 3 : end + 3 + length].decode()
        at = end + 3 + length
    return headers
