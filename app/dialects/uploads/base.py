"""What file dialects share: the row, the requests of an upload, their errors.

An upload may take several requests: it gets a function that posts one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from app.canonical.files import Content, FileObject, FileUpload
from app.canonical.record import record
from app.dialects.base import ClientContext, Row
from app.dialects.media.multipart import Form, MultipartBody
from app.errors import GatewayError


@record
class FileRequest:
    """One POST of an upload. ``path`` replaces the provider's path, ``url`` (of an earlier response) the
    whole URL."""

    body: bytes | MultipartBody | Content
    headers: Mapping[str, str] = field(default_factory=dict)
    path: str | None = None
    url: str | None = None


@record
class FileAnswer:
    """The response to a request: headers by lower-case name, and JSON (None without a body)."""

    headers: Mapping[str, str]
    body: Any


Post = Callable[[FileRequest], FileAnswer]


@record(kw_only=True)
class FileDialect(Row):
    """A dialect of files. ``upload`` gets a boundary that no file contains. ``downloads``: uploaded files
    can be downloaded."""

    upload: Callable[[FileUpload, ClientContext, str, Post], FileObject]
    decode_file: Callable[[Any], FileObject]
    downloads: bool = True


def post_form(new: FileUpload, fields: Sequence[tuple[str, str]], boundary: str, post: Post) -> Any:
    """Post a form with a file; returns the JSON of the response."""
    form = Form(fields).with_file(new, boundary)
    return post(FileRequest(form, {"content-type": form.content_type})).body


def require_id(value: Any) -> str:
    """Return the id or address of a file; raises ``upstream_invalid`` for anything but a text."""
    if not isinstance(value, str) or not value:
        raise GatewayError("upstream_invalid", "The provider's answer names no file.")
    return value


def refuse_expiry(new: FileUpload, context: ClientContext) -> None:
    """Refuse an upload with a time after which the file expires."""
    if new.expires_in is not None:
        message = f"'expires_after' is not supported by provider '{context.provider}'."
        raise GatewayError("unsupported_parameter", message, param="expires_after")
