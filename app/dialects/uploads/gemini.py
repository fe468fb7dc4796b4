"""The Gemini API's files: one request starts an upload, another sends the bytes to the URL in its response.

Files expire after 48 hours, and cannot be downloaded. Sources: google-genai 3.3 and its ``types.File``,
https://ai.google.dev/api/files (read 2026-11-28).
"""

from __future__ import annotations

from typing import Any, Final

from app.canonical.files import FileObject, FileUpload
from app.dialects.base import ClientContext
from app.dialects.gemini.response_in import decode_error
from app.dialects.shared.lenient_json import as_dict, as_str, json_text, small_integer, unix_time
from app.dialects.uploads.base import FileDialect, FileRequest, Post, refuse_expiry, require_id
from app.errors import GatewayError

NAME: Final = "files_gemini"

_UPLOAD: Final = "/upload/files"
_UPLOAD_URL: Final = "x-goog-upload-url"
_STATES: Final = {"PROCESSING": "uploaded", "FAILED": "error"}
_MAX_NAME: Final = 512  # characters


def upload(new: FileUpload, context: ClientContext, boundary: str, post: Post) -> FileObject:
    """Upload a file; raises ``upstream_invalid`` if the first response has no URL."""
    refuse_expiry(new, context)
    size = str(len(new.content))
    meta = {"displayName": new.filename[:_MAX_NAME], "mimeType": new.media_type, "sizeBytes": size}
    session = post(
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
    url = session.headers.get(_UPLOAD_URL)
    if not url:
        raise GatewayError("upstream_invalid", "The provider sent no URL for the upload.")
    headers = {
        "x-goog-upload-command": "upload, finalize",
        "x-goog-upload-offset": "0",
        "content-type": new.media_type,
    }
    answer = post(FileRequest(new.content, headers, url=url))
    return decode_file(as_dict(answer.body).get("file"))


def decode_file(body: Any) -> FileObject:
    """Return a file; raises ``upstream_invalid`` without name or address."""
    file = as_dict(body)
    return FileObject(
        require_id(file.get("name")).removeprefix("files/"),
        require_id(file.get("uri")),
        small_integer(file.get("sizeBytes"), digits=15),
        unix_time(file.get("createTime")),
        unix_time(file.get("expirationTime")),
        _STATES.get(as_str(file.get("state")), "processed"),
    )


DIALECT: Final = FileDialect(
    name=NAME, decode_error=decode_error, upload=upload, decode_file=decode_file, downloads=False
)
