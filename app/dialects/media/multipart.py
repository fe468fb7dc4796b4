"""Multipart form bodies (RFC 7578), written without copying the files.

The boundary is given from outside. The body is an iterable of pieces whose length
is known beforehand, so it can be sent with a Content-Length and iterated again on a retry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from app.canonical.files import Content, FileUpload
from app.canonical.media import Upload
from app.canonical.record import record

_ESCAPES: Final = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
"""How browsers write names inside Content-Disposition (WHATWG HTML, form submission)."""


@record
class Form:
    """Fields in order, then the file as field ``file``, then ``files`` with the names of their fields."""

    fields: Sequence[tuple[str, str]]
    file: Upload | None = None
    files: Sequence[tuple[str, Upload]] = ()

    def encode(self, boundary: str) -> MultipartBody:
        """Return the body; ``boundary`` must not occur in a file or any field."""
        head = bytearray()
        for name, value in self.fields:
            head += _disposition(boundary, name) + b"\r\n" + value.encode() + b"\r\n"
        pieces: list[bytes | Content] = []
        for name, file in [*([] if self.file is None else [("file", self.file)]), *self.files]:
            head += _disposition(boundary, name, file.filename)
            head += b"Content-Type: " + _one_line(file.media_type) + b"\r\n\r\n"
            pieces += [bytes(head), file.data]
            head = bytearray(b"\r\n")
        return MultipartBody([*pieces, bytes(head) + f"--{boundary}--\r\n".encode()], boundary)

    def with_file(self, file: FileUpload, boundary: str) -> MultipartBody:
        """Return the body of the fields and a file that need not lie in memory."""
        head = b"".join(
            _disposition(boundary, name) + b"\r\n" + value.encode() + b"\r\n" for name, value in self.fields
        )
        head += _disposition(boundary, "file", file.filename)
        head += b"Content-Type: " + _one_line(file.media_type) + b"\r\n\r\n"
        return MultipartBody([head, file.content, f"\r\n--{boundary}--\r\n".encode()], boundary)


class MultipartBody:
    """A multipart body: iterable, of known length, sent as ``content_type``."""

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
