"""Read a client's body with a size limit and a deadline, and parse it with the strict JSON loader."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import gevent
from flask import Request

from app.errors import GatewayError
from app.state.ids import FILE
from app.surfaces.body.decompression import inflate
from app.wire.json import loads
from app.wire.offload import LARGE, aside

JSON: Final = "application/json"
_CHUNK: Final = 65536
_FILE: Final = FILE.encode()
_NAMES_FILES: Final = "sluice.names_files"
_SIZE: Final = "sluice.body_size"
_SMALL: Final = 4096  # bytes of a compressed body that is inflated inline
_KINDS: Final = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}


def read_body(request: Request, *, limit: int, deadline: float) -> bytes:
    """Return the body's bytes, decompressed.

    Raises GatewayError: ``too_large`` past ``limit`` bytes, compressed or not; ``unsupported_media`` for an unknown
    content coding; ``bad_request`` for invalid data, or a body that does not arrive within ``deadline`` seconds.
    """
    data = _read_bytes(request, limit=limit, deadline=deadline)
    if is_encoded(request):
        size = LARGE if len(data) > _SMALL else len(data)
        content = aside(size, partial(inflate, data, request.headers["Content-Encoding"], limit))
        if content is None:
            raise too_large(limit)
        data = content
    request.environ[_SIZE] = len(data)
    return data


def is_encoded(request: Request) -> bool:
    """Tell whether the body has a content coding."""
    coding = request.environ.get("HTTP_CONTENT_ENCODING")
    return coding is not None and coding.strip().lower() not in ("", "identity")


def size_of(request: Request) -> int:
    """Return the body's size in bytes. One that is not read yet has that of its headers, or ``LARGE`` if they do not say."""
    environ = request.environ
    size: int | None = environ.get(_SIZE)
    if size is None:
        unknown = is_encoded(request) or "HTTP_TRANSFER_ENCODING" in environ
        size = LARGE if unknown else _length_of(request) or 0
    return size


def _length_of(request: Request) -> int | None:
    """Return the body's length in bytes, None if it is chunked; a plain header needs none of Werkzeug's look-ups."""
    text = request.environ.get("CONTENT_LENGTH", "")
    is_plain = text.isdecimal() and text.isascii() and "HTTP_TRANSFER_ENCODING" not in request.environ
    return int(text) if is_plain else request.content_length


def _read_bytes(request: Request, *, limit: int, deadline: float) -> bytes:
    length = _length_of(request)
    if length is not None and length > limit:
        raise too_large(limit)
    stream = request.environ["wsgi.input"]
    if length and getattr(stream, "available", 0) >= length:  # all is here, so no deadline is needed
        return stream.read(length)
    chunks: list[bytes] = []
    total = 0
    try:
        with gevent.Timeout(deadline):
            while chunk := stream.read(_CHUNK if length is None else min(_CHUNK, length - total)):
                total += len(chunk)
                if total > limit:
                    raise too_large(limit)
                chunks.append(chunk)
    except gevent.Timeout as late:
        raise GatewayError(
            "bad_request", f"The request body did not arrive within {deadline:g} seconds.", status=408
        ) from late
    except OSError as broken:
        raise GatewayError("bad_request", "The request body could not be read to its end.") from broken
    if length is not None and total < length:
        raise GatewayError("bad_request", f"The request body ended after {total} of {length} bytes.")
    return b"".join(chunks)


def json_body(request: Request, *, limit: int, deadline: float, optional: bool = False) -> dict[str, Any]:
    """Return the body as a JSON object; if ``optional``, an empty body counts as ``{}``.

    Raises GatewayError ``bad_request`` for anything but one strict JSON object, and
    ``unsupported_media`` for another content type.
    """
    mimetype = JSON if request.environ.get("CONTENT_TYPE") == JSON else request.mimetype
    if mimetype and mimetype != JSON and not mimetype.endswith("+json"):
        raise GatewayError(
            "unsupported_media", f"Content-Type '{mimetype}' is not supported here; send application/json."
        )
    data = read_body(request, limit=limit, deadline=deadline)
    if not data or data.isspace():
        if optional:
            return {}
        raise GatewayError("bad_request", "The request body is empty; send a JSON object.")
    note_file_ids(request, data)
    value = aside(len(data), partial(loads, data, strict=True))
    if not isinstance(value, dict):
        kind = _KINDS.get(type(value), "null")
        raise GatewayError("bad_request", f"The request body must be a JSON object, not {kind}.")
    return value


def note_file_ids(request: Request, data: bytes) -> None:
    """Note whether a body may contain ids of our files, for ``names_files``."""
    request.environ[_NAMES_FILES] = _FILE in data


def names_files(request: Request) -> bool:
    """Tell whether the body may contain ids of our files."""
    return bool(request.environ.get(_NAMES_FILES))


def too_large(limit: int) -> GatewayError:
    """Return the error for a body of more than ``limit`` bytes."""
    return GatewayError("too_large", f"The request body is larger than {limit} bytes.")
