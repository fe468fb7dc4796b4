"""Pictures without a painter: a mosaic in colours of the prompt, as a PNG that carries its words.

A PNG is a signature and chunks (length, name, content, CRC-32); its rows of one byte a pixel name colours of a
palette. The words stand in an ``iTXt`` chunk as a description, where any viewer shows them.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
CELLS: Final = 8
"""Cells of a mosaic along a side; a picture that is not finished has fewer."""
_COLOURS: Final = 16
_INDEXED: Final = 3  # the PNG's colour type


def draw(text: str, width: int, height: int, *, cells: int = CELLS, transparent: bool = False) -> bytes:
    """Return a PNG of so many pixels; the same text makes the same picture."""
    seed = zlib.crc32(text.encode("utf-8", "replace"))
    palette = b"".join(struct.pack(">I", zlib.crc32(bytes([at]), seed))[1:] for at in range(_COLOURS))
    clear = _chunk(b"tRNS", b"\x00") if transparent else b""
    rows = b"".join(_band(seed, at, width, cells) * _share(at, height, cells) for at in range(cells))
    description = b"Description\0\0\0\0\0" + text.encode("utf-8", "replace")
    return b"".join(
        (
            SIGNATURE,
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, _INDEXED, 0, 0, 0)),
            _chunk(b"PLTE", palette),
            clear,
            _chunk(b"iTXt", description),
            _chunk(b"IDAT", zlib.compress(rows, 1)),
            _chunk(b"IEND", b""),
        )
    )


def _band(seed: int, row: int, width: int, cells: int) -> bytes:
    """Return one line of pixels of a row of cells, with its filter byte (0: none)."""
    colours = [zlib.crc32(bytes([row, column]), seed) % _COLOURS for column in range(cells)]
    return b"\0" + b"".join(bytes([c]) * _share(at, width, cells) for at, c in enumerate(colours))


def _share(at: int, pixels: int, cells: int) -> int:
    """Return how many of ``pixels`` the cell ``at`` has."""
    return (at + 1) * pixels // cells - at * pixels // cells


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
