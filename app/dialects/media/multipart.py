"""Multipart form bodies (RFC 7578), which are sent without copying their files.

The boundary is an argument. A body is an iterable of pieces of known length: it has a
Content-Length, and a retry can iterate it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from app.canonical.files import Content, FileUpload
from app.canonical.media import Upload
from app.canonical.record import record

_ESCAPES: Final = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
"""The escapes of names in Content-Disposition (WHATWG HTML, form submission)."""


@record
class Form:
    """A form: its fields in order, a file of the field ``file``, and ``files`` with the names of their fields."""

    fields: Sequence[tuple[str, str]]
    file: Upload | None = None
    files: Sequence[tuple[str, Upload]] = ()

    def encode(self, boundary: str) -> MultipartBody:
        """Return the body; ``boundary`` must not occur in a file or any field."""
        files = [("file", self.file)] if self.file is not None else []
        return self._body(boundary, [(name, file, file.data) for name, file in [*files, *self.files]])

    def with_file(self, file: FileUpload, boundary: str) -> MultipartBody:
        """Return the body of the fields and a file that may be larger than memory."""
        return self._body(boundary, [("file", file, file.content)])

    def _body(
        self, boundary: str, files: Iterable[tuple[str, Upload | FileUpload, bytes | Content]]
    ) -> MultipartBody:
        head = b"".join(
            _disposition(boundary, name) + b"\r\n" + value.encode() + b"\r\n" for name, value in self.fields
        )
        pieces: list[bytes | Content] = []
        for name, file, content in files:
            head += _disposition(boundary, name, file.filename)
            head += b"Content-Type: " + _one_line(file.media_type) + b"\r\n\r\n"
            pieces += [head, content]
            head = b"\r\n"
        return MultipartBody([*pieces, head + f"--{boundary}--\r\n".encode()], boundary)


class MultipartBody:
    """A multipart body: an iterable of known length with its ``content_type``."""

    __slots__ = ("_pieces", "content_type")

    def __init__(self, pieces: Sequence[bytes | Content], boundary: str) -> None:
        self._pieces = pieces
        self.content_type = f"multipart/form-data; boundary={boundary}"

    def __len__(self) -> int:
        return sum(map(len, self._pieces))

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if not isinstance(piece, bytes):
                yield from piece
            elif piece:
                yield piece


def _disposition(boundary: str, name: str, filename: str | None = None) -> bytes:
    line = f'--{boundary}\r\nContent-Disposition: form-data; name="{name.translate(_ESCAPES)}"'
    if filename is not None:
        line += f'; filename="{filename.translate(_ESCAPES)}"'
    return line.encode() + b"\r\n"


def _one_line(value: str) -> bytes:
    return value.replace("\r", "").replace("\n", "").encode("latin-1", "replace")
