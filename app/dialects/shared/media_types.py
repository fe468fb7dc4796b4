"""Media types of the file formats that models read and write, by file suffix.

``mimetypes`` of the standard library is not used: it reads files of the machine and so differs by host.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_BY_SUFFIX: Final[Mapping[str, str]] = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "heic": "image/heic",
    "heif": "image/heif",
    "bmp": "image/bmp",
    "svg": "image/svg+xml",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
    "htm": "text/html",
    "xml": "text/xml",
    "css": "text/css",
    "js": "text/javascript",
    "py": "text/x-python",
    "rtf": "text/rtf",
    "json": "application/json",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "mp3": "audio/mp3",
    "mpga": "audio/mpeg",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "aac": "audio/aac",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "m4a": "audio/mp4",
    "aiff": "audio/aiff",
    "mp4": "video/mp4",
    "mpeg": "video/mpeg",
    "mov": "video/mov",
    "webm": "video/webm",
    "avi": "video/avi",
}


def media_type_of(name: str | None) -> str | None:
    """Return the media type of a file name or URL by its suffix, None if it is unknown."""
    suffix = (name or "").partition("?")[0].partition("#")[0].rpartition(".")[2]
    return _BY_SUFFIX.get(suffix.lower())
