"""Decompress a client's body: gzip (RFC 1952) and Zstandard (RFC 8878), up to a limit.

The work is linear in the sizes of input and output: a body has at most 1,000 members, and a Zstandard window at most
8 MiB, which every decoder must support (RFC 8878, 3.1.1.1.2). Tests: tests/behaviour/test_compressed_bodies.py.
"""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, Final

from app.canonical.record import record
from app.errors import GatewayError

_CHUNK: Final = 65536
_MAX_MEMBERS: Final = 1000
_WINDOW_LOG: Final = 23  # 8 MiB


@record
class _Coding:
    """A content coding: what opens a stream of it, and the byte sequences one of which begins each member."""

    open: Callable[[BytesIO], Any]
    marks: tuple[bytes, ...]


def _open_zstd(data: BytesIO) -> Any:
    zstd = _zstd()
    return zstd.ZstdFile(data, options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})


def _zstd() -> Any:
    """Return the module, which is part of Python from 3.14 on."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


_GZIP: Final = _Coding(lambda data: gzip.GzipFile(fileobj=data, mode="rb"), (b"\x1f\x8b\x08",))
_CODINGS: Final[Mapping[str, _Coding]] = {
    "gzip": _GZIP,
    "x-gzip": _GZIP,
    "zstd": _Coding(_open_zstd, (b"\x28\xb5\x2f\xfd", b"\x2a\x4d\x18")),
}


def inflate(data: bytes, coding: str, limit: int) -> bytes | None:
    """Return the content of ``data``, or None if it is larger than ``limit`` bytes.

    Raises GatewayError ``unsupported_media`` for an unknown coding, ``bad_request`` for data that is invalid, cut off
    or made of more than 1,000 members.
    """
    row = _CODINGS.get(coding.strip().lower())
    if row is None:
        raise GatewayError(
            "unsupported_media",
            f"Content-Encoding '{coding[:64]}' is not supported; send the body plain, or as gzip or zstd.",
        )
    if sum(map(data.count, row.marks)) > _MAX_MEMBERS:
        raise GatewayError("bad_request", f"The {coding} body has more than {_MAX_MEMBERS} members.")
    try:
        return _content(row.open(BytesIO(data)), limit)
    except (OSError, EOFError, zlib.error, _zstd().ZstdError) as error:
        raise GatewayError(
            "bad_request",
            f"The request body is not complete and valid {coding}, as its Content-Encoding claims.",
        ) from error


def _content(stream: Any, limit: int) -> bytes | None:
    chunks: list[bytes] = []
    room = limit
    while chunk := stream.read(min(_CHUNK, room + 1)):
        room -= len(chunk)
        if room < 0:
            return None
        chunks.append(chunk)
    return b"".join(chunks)
