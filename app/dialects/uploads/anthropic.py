"""Anthropic's files: a form with the file alone. What was uploaded cannot be downloaded.

Members: ``FileMetadata`` of anthropic 2.10; a file ends between an hour and ninety days, or never.
"""

from __future__ import annotations

from typing import Any, Final

from app.canonical.files import FileObject, FileUpload
from app.dialects.base import ClientContext
from app.dialects.media.multipart import Form
from app.dialects.messages.response import decode_error
from app.dialects.shared.lenient_json import as_dict, count, opt_str
from app.dialects.uploads.base import FileDialect, FileRequest, Post, nameless, unix_time

NAME: Final = "files_anthropic"


def upload(new: FileUpload, context: ClientContext, boundary: str, post: Post) -> FileObject:
    """Send the form; its answer is the file."""
    fields = [] if new.keeps is None else [("expires_in_seconds", str(new.keeps))]
    form = Form(fields).with_file(new, boundary)
    answer = post(FileRequest(form, {"content-type": form.content_type}))
    return decode_file(answer.body)


def decode_file(body: Any) -> FileObject:
    """Read a file's metadata; raises ``upstream_invalid`` for one without an id."""
    file = as_dict(body)
    identity = opt_str(file.get("id"))
    if identity is None:
        raise nameless()
    made, ends = unix_time(file.get("created_at")), unix_time(file.get("expires_at"))
    return FileObject(identity, identity, count(file.get("size_bytes")), made, ends)


DIALECT: Final = FileDialect(
    name=NAME, decode_error=decode_error, upload=upload, decode_file=decode_file, downloads=False
)
