"""AWS event streams: length-prefixed binary messages with two checksums.

Layout (Amazon "Event stream encoding", application/vnd.amazon.eventstream), all
numbers big-endian: total length u32, header length u32, CRC-32 of those 8 bytes,
headers, payload, CRC-32 of all before it. A header is its name (u8 length), a type
byte and a value.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from app.errors import GatewayError

MAX_MESSAGE: Final = 24 * 1024 * 1024  # bytes; the service's own limit
MAX_HEADERS: Final = 128 * 1024

EXCEPTION: Final = "exception:"  # begins the name of a frame that is an exception message

_PRELUDE: Final = struct.Struct(">III")
_CRC: Final = struct.Struct(">I")
_OVERHEAD: Final = _PRELUDE.size + _CRC.size
_STRING: Final = 7


class EventMessage(NamedTuple):
    """One message. Header values are texts, whatever type they had on the wire."""

    headers: dict[str, str]
    payload: bytes


class EventStreamDecoder:
    """Cuts a byte stream into messages, however it is cut into chunks.

    ``pending`` tells that bytes of an unfinished message are held.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._fault: GatewayError | None = None

    @property
    def pending(self) -> bool:
        """Whether the stream, if it ended now, would lose a message it had begun."""
        return bool(self._buffer)

    def feed(self, chunk: bytes) -> list[EventMessage]:
        """Return the messages that ``chunk`` completes.

        Raises ``upstream_invalid`` for a bad checksum, an impossible length or a
        header that cannot be read. Good messages before a fault are returned first:
        then the next call raises, with whatever chunk.
        """
        if self._fault is not None:
            raise self._fault
        self._buffer += chunk
        messages: list[EventMessage] = []
        try:
            while (total := self._next_length()) and len(self._buffer) >= total:
                messages.append(_read_message(bytes(self._buffer[:total])))
                del self._buffer[:total]
        except GatewayError as fault:
            self._fault = fault
        if self._fault is not None and not messages:
            raise self._fault
        return messages

    def _next_length(self) -> int:
        """Return the length of the message at the front, 0 while its prelude is incomplete."""
        if len(self._buffer) < _PRELUDE.size:
            return 0
        total, headers, checksum = _PRELUDE.unpack_from(self._buffer)
        if zlib.crc32(self._buffer[:8]) != checksum:
            raise _invalid("the checksum of a prelude is wrong")
        if not _OVERHEAD + headers <= total <= MAX_MESSAGE or headers > MAX_HEADERS:
            raise _invalid("a message has an impossible length")
        return int(total)


def encode_message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Return one message with string headers, as a service would send it."""
    block = b"".join(
        bytes([len(name.encode())]) + name.encode() + struct.pack(">BH", _STRING, len(value)) + value
        for name, value in ((name, value.encode()) for name, value in headers.items())
    )
    lengths = struct.pack(">II", _OVERHEAD + len(block) + len(payload), len(block))
    message = lengths + _CRC.pack(zlib.crc32(lengths)) + block + payload
    return message + _CRC.pack(zlib.crc32(message))


def encode_event(event: str, payload: bytes) -> bytes:
    """Return one event of JSON; a name that begins with ``exception:`` makes it an exception."""
    name = event.removeprefix(EXCEPTION)
    kind = "event" if name == event else "exception"
    headers = {f":{kind}-type": name, ":content-type": "application/json", ":message-type": kind}
    return encode_message(headers, payload)


def _read_message(message: bytes) -> EventMessage:
    if zlib.crc32(message[:-4]) != _CRC.unpack(message[-4:])[0]:
        raise _invalid("the checksum of a message is wrong")
    end = _PRELUDE.size + _PRELUDE.unpack_from(message)[1]
    try:
        headers = _read_headers(message[_PRELUDE.size : end])
    except (struct.error, IndexError, KeyError, ValueError) as error:
        raise _invalid("the headers of a message cannot be read") from error
    return EventMessage(headers, message[end:-4])


def _read_headers(block: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    at = 0
    while at < len(block):
        name, at = _take(block, at + 1, block[at])
        kind = block[at]
        if kind in _SIZED:
            value, at = _take(block, at + 3, struct.unpack_from(">H", block, at + 1)[0])
            headers[name.decode()] = _SIZED[kind](value)
        else:
            size, parse = _FIXED[kind]
            value, at = _take(block, at + 1, size)
            headers[name.decode()] = parse(value)
    return headers


def _take(block: bytes, at: int, size: int) -> tuple[bytes, int]:
    if at + size > len(block):
        raise ValueError("a header runs past its block")
    return block[at : at + size], at + size


def _whole_number(value: bytes) -> str:
    return str(int.from_bytes(value, "big", signed=True))


# Header types by their number: those with a u16 length, and those of a fixed size.
_SIZED: Final[Mapping[int, Callable[[bytes], str]]] = {6: bytes.hex, _STRING: bytes.decode}
_FIXED: Final[Mapping[int, tuple[int, Callable[[bytes], str]]]] = {
    0: (0, lambda value: "true"),
    1: (0, lambda value: "false"),
    2: (1, _whole_number),
    3: (2, _whole_number),
    4: (4, _whole_number),
    5: (8, _whole_number),
    8: (8, _whole_number),  # a time, in milliseconds since 1970
    9: (16, lambda value: str(uuid.UUID(bytes=value))),
}


def _invalid(what: str) -> GatewayError:
    return GatewayError("upstream_invalid", f"The provider's event stream is broken: {what}.")
