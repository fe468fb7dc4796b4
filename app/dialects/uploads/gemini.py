"""The Gemini API's files: an upload is begun, then its bytes go to the address that was told.

They live for 48 hours, and cannot be downloaded. Post and members: google-genai 3.3 and its
``types.File``; https://ai.google.dev/api/files (read 2026-11-28).
"""

from __future__ import annotations

from typing import Any, Final

from app.canonical.files import FileObject, FileUpload
from app.dialects.base import ClientContext
from app.dialects.gemini.errors import decode_error
from app.dialects.shared.lenient_json import as_dict, as_str, json_text
from app.dialects.uploads.base import FileDialect, FileRequest, Post, nameless, never_ends, unix_time
from app.errors import GatewayError

NAME: Final = "files_gemini"

_UPLOAD: Final = "/upload/files"
_UPLOAD_URL: Final = "x-goog-upload-url"
_STATES: Final = {"PROCESSING": "uploaded", "FAILED": "error"}
_LONGEST_NAME: Final = 512  # characters


def upload(new: FileUpload, context: ClientContext, boundary: str, post: Post) -> FileObject:
    """Begin the upload, then send the bytes; raises ``upstream_invalid`` where no address is told."""
    if new.keeps is not None:
        raise never_ends(context.provider)
    size = str(len(new.content))
    meta = {"displayName": new.filename[:_LONGEST_NAME], "mimeType": new.media_type, "sizeBytes": size}
    begun = post(
        FileRequest(
            json_text({"file": meta}).encode(),
            {
                "x-goog-upload-protocol": "resumable",
                "x-goog-upload-command": "start",
                "x-goog-upload-header-content-length": size,
                "x-goog-upload-header-content-type": new.media_type,
            },
            path=_UPLOAD,
        )
    )
    place = begun.headers.get(_UPLOAD_URL)
    if not place:
        raise GatewayError("upstream_invalid", "The provider told no address for the upload.")
    headers = {
        "x-goog-upload-command": "upload, finalize",
        "x-goog-upload-offset": "0",
        "content-type": new.media_type,
    }
    answer = post(FileRequest(new.content, headers, url=place))
    return decode_file(as_dict(answer.body).get("file"))


def decode_file(body: Any) -> FileObject:
    """Read a file; raises ``upstream_invalid`` for one without name or address."""
    file = as_dict(body)
    name, uri, size = as_str(file.get("name")), as_str(file.get("uri")), as_str(file.get("sizeBytes"))
    if not name or not uri:
        raise nameless()
    return FileObject(
        name.removeprefix("files/"),
        uri,
        int(size) if size.isascii() and size.isdigit() and len(size) < 16 else None,
        unix_time(file.get("createTime")),
        unix_time(file.get("expirationTime")),
        _STATES.get(as_str(file.get("state")), "processed"),
    )


DIALECT: Final = FileDialect(
    name=NAME, decode_error=decode_error, upload=upload, decode_file=decode_file, downloads=False
)
