"""OpenAI's files, also the format of other providers: an upload is a form with a purpose.

Mistral's purposes are ``fine-tune``, ``batch`` and ``ocr``, the last for files of prompts (its API reference, read
2026-11-28). Source of the members: ``FileObject`` of openai 3.51.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Final

from app.canonical.files import FileObject, FileUpload
from app.canonical.record import record
from app.dialects.base import ClientContext
from app.dialects.chat.errors import decode_error
from app.dialects.shared.lenient_json import as_dict, count
from app.dialects.uploads.base import FileDialect, Post, post_form, refuse_expiry, require_id

NAME: Final = "files_openai"

_STATUSES: Final = frozenset({"uploaded", "processed", "error"})


@record
class FileOptions:
    """``purposes``: the provider's names of OpenAI's purposes. ``expires``: takes ``expires_after``."""

    purposes: Mapping[str, str] = field(default_factory=dict)
    expires: bool = True


MISTRAL: Final = FileOptions(purposes={"user_data": "ocr"}, expires=False)


def upload(new: FileUpload, context: ClientContext, boundary: str, post: Post) -> FileObject:
    """Upload a file."""
    options = context.options_as(FileOptions)
    fields = [("purpose", options.purposes.get(new.purpose, new.purpose))]
    if not options.expires:
        refuse_expiry(new, context)
    if new.expires_in is not None:
        fields += [
            ("expires_after[anchor]", "created_at"),
            ("expires_after[seconds]", str(new.expires_in)),
        ]
    return decode_file(post_form(new, fields, boundary, post))


def decode_file(body: Any) -> FileObject:
    """Return a file; raises ``upstream_invalid`` without an id."""
    file = as_dict(body)
    file_id, status = require_id(file.get("id")), file.get("status")
    return FileObject(
        file_id,
        file_id,
        count(file.get("bytes")),
        count(file.get("created_at")),
        count(file.get("expires_at")),
        status if status in _STATUSES else "processed",
    )


DIALECT: Final = FileDialect(name=NAME, decode_error=decode_error, upload=upload, decode_file=decode_file)
