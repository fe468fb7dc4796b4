"""OpenAI's files, and those of its likes: a form with a purpose.

Members: ``FileObject`` of openai 3.51; Mistral's purposes are ``fine-tune``, ``batch`` and ``ocr``, the
last for what a prompt may name (its API reference, read 2026-11-28).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Final

from app.canonical.files import FileObject, FileUpload
from app.canonical.record import record
from app.dialects.base import ClientContext
from app.dialects.chat.errors import decode_error
from app.dialects.media.multipart import Form
from app.dialects.shared.lenient_json import as_dict, count, opt_str
from app.dialects.uploads.base import FileDialect, FileRequest, Post, nameless, never_ends

NAME: Final = "files_openai"

_STATUSES: Final = frozenset({"uploaded", "processed", "error"})


@record
class FileOptions:
    """``purposes`` are a wire's words for OpenAI's; ``expires``: it takes ``expires_after``."""

    purposes: Mapping[str, str] = field(default_factory=dict)
    expires: bool = True


MISTRAL: Final = FileOptions(purposes={"user_data": "ocr"}, expires=False)


def upload(new: FileUpload, context: ClientContext, boundary: str, post: Post) -> FileObject:
    """Send the form; its answer is the file."""
    options = context.options if isinstance(context.options, FileOptions) else FileOptions()
    fields = [("purpose", options.purposes.get(new.purpose, new.purpose))]
    if new.keeps is not None and not options.expires:
        raise never_ends(context.provider)
    if new.keeps is not None:
        fields += [("expires_after[anchor]", "created_at"), ("expires_after[seconds]", str(new.keeps))]
    form = Form(fields).with_file(new, boundary)
    answer = post(FileRequest(form, {"content-type": form.content_type}))
    return decode_file(answer.body)


def decode_file(body: Any) -> FileObject:
    """Read a file object; raises ``upstream_invalid`` for one without an id."""
    file = as_dict(body)
    identity, status = opt_str(file.get("id")), file.get("status")
    if identity is None:
        raise nameless()
    return FileObject(
        identity,
        identity,
        count(file.get("bytes")),
        count(file.get("created_at")),
        count(file.get("expires_at")),
        status if status in _STATUSES else "processed",
    )


DIALECT: Final = FileDialect(name=NAME, decode_error=decode_error, upload=upload, decode_file=decode_file)
