"""Draw a mosaic whose colours depend on a prompt, as a PNG that carries the prompt.

A PNG is a signature and chunks (length, name, content, CRC-32). Its rows hold one byte a pixel, an index
of the palette. The prompt is the description in an ``iTXt`` chunk, where any viewer shows it.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
CELLS: Final = 8
"""Cells along a side of a whole mosaic; a partial picture has fewer."""
_COLOURS: Final = 16
_INDEXED: Final = 3  # the PNG's colour type


def draw(text: str, width: int, height: int, *, cells: int = CELLS, transparent: bool = False) -> bytes:
    """Return a PNG of ``width`` by ``height`` pixels; the same text makes the same picture."""
    seed = zlib.crc32(text.encode("utf-8", "replace"))
    palette = b"".join(struct.pack(">I", zlib.crc32(bytes([at]), seed))[1:] for at in range(_COLOURS))
    transparency = _chunk(b"tRNS", b"\x00") if transparent else b""
    rows = b"".join(
        _pixel_line(seed, at, width, cells) * _cell_pixels(at, height, cells) for at in range(cells)
    )
    description = b"Description\0\0\0\0\0" + text.encode("utf-8", "replace")
    return b"".join(
        (
            SIGNATURE,
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, _INDEXED, 0, 0, 0)),
            _chunk(b"PLTE", palette),
            transparency,
            _chunk(b"iTXt", description),
            _chunk(b"IDAT", zlib.compress(rows, 1)),
            _chunk(b"IEND", b""),
        )
    )


def _pixel_line(seed: int, row: int, width: int, cells: int) -> bytes:
    """Return one line of pixels of a row of cells, with its filter byte (0: none)."""
    colours = [zlib.crc32(bytes([row, column]), seed) % _COLOURS for column in range(cells)]
    return b"\0" + b"".join(bytes([c]) * _cell_pixels(at, width, cells) for at, c in enumerate(colours))


def _cell_pixels(at: int, pixels: int, cells: int) -> int:
    """Return how many of ``pixels`` the cell ``at`` has."""
    return (at + 1) * pixels // cells - at * pixels // cells


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
