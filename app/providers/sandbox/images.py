"""The sandbox's pictures: from a prompt, or from pictures to edit or vary; whole, or as a stream.

Each is a mosaic whose colours depend on the prompt: a PNG that carries the prompt as its description, in an ``iTXt``
chunk, where any viewer shows it. A PNG is a signature and chunks (length, name, content, CRC-32); its rows hold one byte a
pixel, an index of the palette.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator
from typing import Any, Final

from app.canonical.images import ImageKind, ImageRequest, ImageResponse, Picture, PictureDone, PicturePart
from app.canonical.response import Usage
from app.dialects import dialect_of
from app.dialects.media.images import Files, ImageDialect, pixels_of
from app.dialects.shared.lenient_json import data_url
from app.errors import GatewayError
from app.providers.sandbox.limits import check_size, count_words
from app.providers.sandbox.multipart import read_files
from app.providers.sandbox.playback import schedule
from app.providers.sandbox.scripts import (
    Responder,
    json_object,
    json_script,
    read_directives,
    server_context,
    stream_script,
)
from app.providers.sandbox.transport import HttpRequest, Script

MAX_PIXELS: Final = 16 * 1024 * 1024
"""Pixels in one answer, over all its pictures and the partial ones before them."""

_SIZE: Final = "1024x1024"
_TILE: Final = 64 * 64  # pixels of a token
_NUMBERS: Final = frozenset({"n", "output_compression", "partial_images"})


def image_generation(kind: ImageKind) -> Responder:
    """Return the responder to requests of ``kind``."""

    def respond(http_request: HttpRequest, words_per_second: float) -> Script:
        fields, files = _read(kind, http_request)
        context, wire = server_context(), dialect_of(ImageDialect, "images")
        request = wire.decode_request(kind, fields, files, context)
        directives = read_directives(request.prompt, request.model)
        response = _make_images(request)
        if not request.stream:
            return json_script(wire.encode_response(response, request, context), directives)
        *before, last = _events(request, response)
        moments = schedule([(event,) for event in before], last, words_per_second, directives)
        return stream_script(moments, wire.stream_encoder(request, context).feed, directives)

    return respond


def _read(kind: ImageKind, http_request: HttpRequest) -> tuple[dict[str, Any], Files]:
    if kind == "generation":
        return json_object(http_request), ()
    fields, files = read_files(http_request.body, http_request.headers.get("content-type", ""))
    body: dict[str, Any] = dict(fields)
    numbers = {name: int(value) for name, value in body.items() if name in _NUMBERS and value.isdecimal()}
    return {**body, **numbers, "stream": body.get("stream") == "true"}, files


def _make_images(request: ImageRequest) -> ImageResponse:
    """Return the pictures; raises ``bad_request`` for another format than png and for an invalid size."""
    if request.output_format not in (None, "png"):
        raise GatewayError(
            "bad_request",
            f"Invalid 'output_format': the sandbox draws png, not '{request.output_format}'.",
            param="output_format",
            code="invalid_value",
        )
    size = _SIZE if request.size in (None, "auto") else request.size
    width, height = pixels_of(size) or (0, 0)
    if not width:
        raise GatewayError(
            "bad_request",
            f"Invalid 'size': the sandbox draws 'WIDTHxHEIGHT', not '{size}'.",
            param="size",
            code="invalid_value",
        )
    parts = (request.partial_images or 0) if request.stream else 0
    check_size("pixels", width * height * request.count * (1 + parts), MAX_PIXELS, "size")
    drawings = [_draw(request, at, width, height, CELLS) for at in range(request.count)]
    sources = len(request.images)
    tokens = request.count * max(1, width * height // _TILE)
    usage = Usage(
        count_words(request.prompt) + sources,
        tokens,
        details={
            "input.text_tokens": count_words(request.prompt),
            "input.image_tokens": sources,
            "output.image_tokens": tokens,
        },
    )
    by_url = request.form == "url" and not request.stream
    pictures = tuple(Picture(url=data_url("image/png", one)) if by_url else Picture(one) for one in drawings)
    background = "transparent" if request.background == "transparent" else "opaque"
    settings = {"background": background, "output_format": "png", "quality": "low"}
    return ImageResponse(pictures, usage=usage, members={**settings, "size": size})


def _draw(request: ImageRequest, at: int, width: int, height: int, cells: int) -> str:
    """Return picture number ``at`` in base64. The prompt, the sources and the number decide what it looks like."""
    sources = [f"[{zlib.crc32(image.data):08x}]" for image in request.images]
    text = " ".join([request.prompt, *sources, *([f"({at + 1})"] if at else [])]).strip()
    png = draw(text, width, height, cells=cells, transparent=request.background == "transparent")
    return base64.b64encode(png).decode("ascii")


def _events(request: ImageRequest, response: ImageResponse) -> Iterator[PicturePart | PictureDone]:
    width, height = pixels_of(response.members["size"]) or (1, 1)
    last = len(response.pictures) - 1
    for at, picture in enumerate(response.pictures):
        for part in range(request.partial_images or 0):
            coarse = _draw(request, at, width, height, 2**part)
            yield PicturePart(coarse, part, response.members)
        yield PictureDone(picture, response.members, response.usage if at == last else None, last=at == last)


# --- a mosaic whose colours depend on a prompt, as a PNG that carries the prompt -------------------


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
