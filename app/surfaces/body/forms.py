"""Multipart bodies (RFC 7578): fields and files, with a size limit and a deadline."""

from __future__ import annotations

import logging
import os
from io import BytesIO
from typing import IO, Any, Final, cast

import gevent
import werkzeug.formparser
from flask import Request, request
from werkzeug.datastructures import FileStorage, Headers, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser, MultiPartParser
from werkzeug.sansio.multipart import MultipartDecoder

from app.canonical.media import Upload
from app.errors import GatewayError
from app.surfaces.body.reader import is_encoded, read_body, too_large
from app.surfaces.calls import current_gateway
from app.surfaces.idempotency import claim_form
from app.wire.json import loads

_LOG: Final = logging.getLogger(__name__)
_CODINGS: Final = frozenset({"HTTP_CONTENT_ENCODING", "HTTP_TRANSFER_ENCODING", "werkzeug.request"})
_FORM_ROOM: Final = 1024 * 1024  # bytes of a form without its file
_FIELDS: Final = 1_000  # with the file
_HEAD: Final = 16 * 1024  # bytes of the headers of one part, which are parsed in one piece
_SINGLE: Final = ("model", "stream")  # fields that may occur once


def read_form(limit: int, deadline: float) -> tuple[list[tuple[str, str]], Upload | None]:
    """Return the fields in order and the file of a multipart form; raise what ``open_form`` raises."""
    fields, file = open_form(limit, deadline)
    return fields, None if file is None else _read_file(file)


def read_files(
    limit: int, deadline: float, *, most: int
) -> tuple[list[tuple[str, str]], list[tuple[str, Upload]]]:
    """Return the fields in order, and up to ``most`` files with their fields' names, of a multipart form.

    Raises what ``open_form`` raises, and ``too_large`` for more files."""
    form, fields = _parse_form(limit, deadline)
    files = list(form.files.items(multi=True))
    if len(files) > most:
        raise GatewayError("too_large", f"The form has more than {most} files.")
    return fields, [(name, _read_file(file)) for name, file in files]


def _read_file(file: FileStorage) -> Upload:
    return Upload(file.filename or "file", file.mimetype or "application/octet-stream", file.read())


def open_form(limit: int, deadline: float) -> tuple[list[tuple[str, str]], FileStorage | None]:
    """Return the fields in order and the unread file of a multipart form; a large file is on disk.

    Raises GatewayError: ``unsupported_media`` for another content type, ``too_large`` past
    ``limit`` bytes of files, ``bad_request`` when it does not arrive within ``deadline`` seconds.
    """
    form, fields = _parse_form(limit, deadline)
    files = form.files.getlist("file")
    if len(files) > 1:
        raise GatewayError("bad_request", "The form has more than one file; send one.", param="file")
    return fields, files[0] if files else None


def _parse_form(limit: int, deadline: float) -> tuple[Request, list[tuple[str, str]]]:
    """Return the request with its form parsed, and the fields in order; claim its idempotency key, if it has one."""
    if request.mimetype != "multipart/form-data":
        raise GatewayError(
            "unsupported_media",
            f"Content-Type '{request.mimetype or 'none'}' is not supported here; send multipart/form-data.",
        )
    form = _decompress(request, limit + _FORM_ROOM, deadline)
    form.max_content_length = limit + _FORM_ROOM
    form.max_form_memory_size = _FORM_ROOM
    form.max_form_parts = _FIELDS
    form.form_data_parser_class = _StrictParser
    fields = _read_fields(form, limit, deadline)
    _check_parts(form, fields, limit)
    claim_form(current_gateway(), fields, form.files.items(multi=True))
    return form, fields


def _read_fields(form: Request, limit: int, deadline: float) -> list[tuple[str, str]]:
    """Read the whole form; return its fields in order."""
    try:
        with gevent.Timeout(deadline):
            return [(name, value) for name, values in form.form.lists() for value in values]
    except gevent.Timeout as late:
        raise GatewayError(
            "bad_request", f"The request body did not arrive within {deadline:g} seconds.", status=408
        ) from late
    except RequestEntityTooLarge as error:
        raise _too_large(form.content_length, limit) from error
    except OSError as error:
        raise _read_error(error) from error
    except ValueError as error:
        raise GatewayError("bad_request", f"The form cannot be parsed: {error}.") from error


def _check_parts(form: Request, fields: list[tuple[str, str]], limit: int) -> None:
    """Refuse a part without a name, a field that may occur only once, and files that are too large together."""
    if None in form.form or None in form.files:
        raise GatewayError("bad_request", "The form has a part without a name.")
    for name in _SINGLE:
        if sum(field == name for field, _ in fields) > 1:
            raise GatewayError(
                "bad_request", f"The field '{name}' occurs more than once in the form.", param=name
            )
    if sum(size_of_file(file) for _, file in form.files.items(multi=True)) > limit:
        raise too_large(limit)


class _StrictParser(FormDataParser):
    """Parses multipart forms as Werkzeug does, but refuses what Werkzeug passes over or replaces."""

    def parse(
        self,
        stream: IO[bytes],
        mimetype: str,
        content_length: int | None,
        options: dict[str, str] | None = None,
    ) -> tuple[IO[bytes], MultiDict[str, str], MultiDict[str, FileStorage]]:
        """Parse a form; raise ValueError for a malformed one, and ``bad_request`` for text that is not in its charset."""
        boundary = (options or {}).get("boundary", "").encode("ascii")
        if not boundary:
            raise ValueError("Missing boundary")
        limits = {"max_form_memory_size": self.max_form_memory_size, "max_form_parts": self.max_form_parts}
        parser = _UndecodedParser(self.stream_factory, cls=list, **limits)
        values, files = parser.parse(stream, boundary, content_length)
        parts = cast(list[tuple[str, str]], values)  # parse makes both of ``cls``
        fields = [
            (name, _decode(name, value.encode("latin-1"), charset))
            for (name, value), charset in zip(parts, parser.charsets, strict=True)
        ]
        return stream, MultiDict(fields), MultiDict(files)


class _Decoder(MultipartDecoder):
    """Refuses a part with a huge head, such as a file name of a megabyte."""

    def _parse_headers(self, data: bytes | bytearray) -> Headers:
        if len(data) > _HEAD:
            raise ValueError(f"The headers of part {self._parts_decoded + 1} have more than {_HEAD} bytes")
        return super()._parse_headers(data)


werkzeug.formparser.MultipartDecoder = _Decoder  # type: ignore[attr-defined]  # Werkzeug's parser takes no other


class _UndecodedParser(MultiPartParser):
    """Leaves the bytes of each field as they are, as characters of Latin-1, and collects the ``charsets`` of the fields."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.charsets: list[str] = []

    def get_part_charset(self, headers: Headers) -> str:
        """Return a charset that decodes every byte, because Werkzeug would replace those that it cannot decode."""
        self.charsets.append(super().get_part_charset(headers))
        return "latin-1"


def _decode(name: str, value: bytes, charset: str) -> str:
    try:
        return value.decode(charset)
    except UnicodeDecodeError as error:
        raise GatewayError(
            "bad_request",
            f"The field '{name}' of the form is not valid {charset.upper()}: byte {error.start} is 0x{value[error.start]:02x}.",
            param=name,
        ) from error


def size_of_file(file: FileStorage) -> int:
    """Return the size of an uploaded file in bytes and rewind it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size


def _too_large(length: int | None, limit: int) -> GatewayError:
    """Return the error for a form that is too long or whose fields are too large."""
    if length is None or length > limit + _FORM_ROOM:
        return too_large(limit)
    return GatewayError(
        "too_large",
        f"The form has more than {_FIELDS} fields, or more than {_FORM_ROOM} bytes besides its file.",
    )


def _decompress(request: Request, limit: int, deadline: float) -> Request:
    """Return the request with its body decompressed."""
    if not is_encoded(request):
        return request
    data = read_body(request, limit=limit, deadline=deadline)
    environ = {**request.environ, "wsgi.input": BytesIO(data), "CONTENT_LENGTH": str(len(data))}
    return Request({name: value for name, value in environ.items() if name not in _CODINGS})


def _read_error(error: OSError) -> GatewayError:
    """Return the error for a form that could not be read: the client's fault, or a full disk here."""
    if error.errno is None or isinstance(error, ConnectionError):
        return GatewayError("bad_request", "The request body could not be read to its end.")
    _LOG.error("an upload cannot be kept in the folder for temporary files: %s", error.strerror)
    return GatewayError("overloaded", "The gateway has no room for this upload now; try again later.")


def to_members(fields: list[tuple[str, str]]) -> dict[str, Any]:
    """Return the fields as the members of a body; ``fallbacks`` is a list."""
    body: dict[str, Any] = {name: value for name, value in fields if name not in _LISTS}
    models = [model for name, value in fields if name in _LISTS for model in _models(value)]
    return {**body, "fallbacks": models} if models else body


def _models(value: str) -> list[Any]:
    """Return the models of a form field: a JSON array or comma-separated names."""
    if value.lstrip().startswith("["):
        models = loads(value.encode(), strict=True)
        return models if isinstance(models, list) else [models]
    return [model.strip() for model in value.split(",") if model.strip()]


_LISTS: Final = frozenset({"fallbacks", "fallbacks[]"})
