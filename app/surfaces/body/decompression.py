"""Decompress a client's body: gzip (RFC 1952) and Zstandard (RFC 8878), up to a limit.

Work is linear in what comes in and goes out: the members of a body are few, and a window is of
8 MiB at most, which RFC 8878 (3.1.1.1.2) asks every decoder for. Tests:
tests/behaviour/test_compressed_bodies.py.
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
_WINDOW_LOG: Final = 23


@record
class _Coding:
    """A coding: what opens a stream of it, and bytes of which each of its members holds some."""

    open: Callable[[BytesIO], Any]
    marks: tuple[bytes, ...]


def _open_gzip(data: BytesIO) -> Any:
    return gzip.GzipFile(fileobj=data, mode="rb")


def _open_zstd(data: BytesIO) -> Any:
    zstd = _zstd()
    return zstd.ZstdFile(data, options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})


def _zstd() -> Any:
    """Return the library, part of Python from 3.14 on."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


_GZIP: Final = _Coding(_open_gzip, (b"\x1f\x8b\x08",))
_CODINGS: Final[Mapping[str, _Coding]] = {
    "gzip": _GZIP,
    "x-gzip": _GZIP,
    "zstd": _Coding(_open_zstd, (b"\x28\xb5\x2f\xfd", b"\x2a\x4d\x18")),
}


def inflate(data: bytes, coding: str, limit: int) -> bytes | None:
    """Return the content of ``data``, None where it is larger than ``limit`` bytes.

    Raises GatewayError ``unsupported_media`` for a coding that is not read, ``bad_request`` for
    what is not of its coding, not whole, or made of very many members.
    """
    found = _CODINGS.get(coding.strip().lower())
    if found is None:
        raise GatewayError(
            "unsupported_media",
            f"Content-Encoding '{coding[:64]}' is not supported; send the body plain, or as gzip or zstd.",
        )
    if sum(map(data.count, found.marks)) > _MAX_MEMBERS:
        raise GatewayError("bad_request", f"The {coding} body has more than {_MAX_MEMBERS} members.")
    try:
        return _content(found.open(BytesIO(data)), limit)
    except (OSError, EOFError, zlib.error, _zstd().ZstdError) as error:
        raise GatewayError(
            "bad_request",
            f"The request body is not complete and valid {coding}, as its Content-Encoding claims.",
        ) from error


def _content(stream: Any, limit: int) -> bytes | None:
    pieces: list[bytes] = []
    left = limit
    while piece := stream.read(min(_CHUNK, left + 1)):
        left -= len(piece)
        if left < 0:
            return None
        pieces.append(piece)
    return b"".join(pieces)
