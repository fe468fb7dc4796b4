"""Read a multipart form: the counterpart of ``app.dialects.media.multipart`` for the sandbox."""

from __future__ import annotations

import re
from typing import Final

from app.canonical.media import Upload
from app.errors import GatewayError

_BOUNDARY: Final = re.compile(r"boundary=\"?([^\";,]{1,200})", re.IGNORECASE)
_NAME: Final = re.compile(rb"[; ]name=\"([^\"]*)\"")
_FILENAME: Final = re.compile(rb"filename=\"([^\"]*)\"")
_TYPE: Final = re.compile(rb"^content-type:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_ESCAPES: Final = (("%22", '"'), ("%0D", "\r"), ("%0A", "\n"))


def read_form(body: bytes, content_type: str) -> tuple[list[tuple[str, str]], Upload | None]:
    """Return the fields in order and the last file, if there is one; raises ``bad_request`` as ``read_files``."""
    fields, files = read_files(body, content_type)
    return fields, files[-1][1] if files else None


def read_files(body: bytes, content_type: str) -> tuple[list[tuple[str, str]], list[tuple[str, Upload]]]:
    """Return the fields in order and the files by the names of their fields.

    Raises ``bad_request`` for a body that is no form.
    """
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise GatewayError("bad_request", "The body is not a multipart form.")
    mark = b"\r\n--" + boundary[1].encode("latin-1", "replace")
    fields: list[tuple[str, str]] = []
    files: list[tuple[str, Upload]] = []
    for part in (b"\r\n" + body).split(mark)[1:]:
        head, blank, content = part.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if not blank or name is None:
            continue
        filename, kind = _FILENAME.search(head), _TYPE.search(head)
        if filename is None:
            fields.append((_text(name[1]), content.decode("utf-8", "replace")))
        else:
            media_type = kind[1].decode("latin-1") if kind else "application/octet-stream"
            files.append((_text(name[1]), Upload(_text(filename[1]), media_type, content)))
    return fields, files


def _text(name: bytes) -> str:
    text = name.decode("utf-8", "replace")
    for escape, plain in _ESCAPES:
        text = text.replace(escape, plain)
    return text
