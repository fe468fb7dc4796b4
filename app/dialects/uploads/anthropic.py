"""Anthropic's files: an upload is a form with a file; uploaded files cannot be downloaded.

A file expires after an hour to ninety days, or never. Source: ``FileMetadata`` of anthropic 2.10.
"""

from __future__ import annotations

from typing import Any, Final

from app.canonical.files import FileObject, FileUpload
from app.dialects.base import ClientContext
from app.dialects.messages.response import decode_error
from app.dialects.shared.lenient_json import as_dict, count, unix_time
from app.dialects.uploads.base import FileDialect, Post, post_form, require_id

NAME: Final = "files_anthropic"


def upload(new: FileUpload, context: ClientContext, boundary: str, post: Post) -> FileObject:
    """Upload a file."""
    fields = [] if new.expires_in is None else [("expires_in_seconds", str(new.expires_in))]
    return decode_file(post_form(new, fields, boundary, post))


def decode_file(body: Any) -> FileObject:
    """Return a file; raises ``upstream_invalid`` without an id."""
    file = as_dict(body)
    file_id = require_id(file.get("id"))
    created_at, expires = unix_time(file.get("created_at")), unix_time(file.get("expires_at"))
    return FileObject(file_id, file_id, count(file.get("size_bytes")), created_at, expires)


DIALECT: Final = FileDialect(
    name=NAME, decode_error=decode_error, upload=upload, decode_file=decode_file, downloads=False
)
