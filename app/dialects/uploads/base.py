"""What a wire of files offers: the steps of an upload, and how a file is read and addressed.

An upload may take several requests, so it is given what posts one; it opens nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import datetime
from typing import Any

from app.canonical.files import Content, FileObject, FileUpload
from app.canonical.record import record
from app.dialects.base import ClientContext, Row
from app.dialects.media.multipart import MultipartBody
from app.errors import GatewayError


@record
class FileRequest:
    """One POST of an upload. ``path`` stands in the place of the wire's, ``url`` (an answer's own) in
    that of the whole address."""

    body: bytes | MultipartBody | Content
    headers: Mapping[str, str] = field(default_factory=dict)
    path: str | None = None
    url: str | None = None


@record
class FileAnswer:
    """What a provider answered to it: lower-case headers, and JSON (None where there is no body)."""

    headers: Mapping[str, str]
    body: Any


Post = Callable[[FileRequest], FileAnswer]


@record(kw_only=True)
class FileDialect(Row):
    """The row of a wire of files. ``upload`` gets a boundary that occurs in no file. ``downloads``:
    what was uploaded can be read again."""

    upload: Callable[[FileUpload, ClientContext, str, Post], FileObject]
    decode_file: Callable[[Any], FileObject]
    downloads: bool = True


def unix_time(value: Any) -> int | None:
    """Return the Unix seconds of an RFC 3339 text, None for anything else."""
    try:
        return int(datetime.fromisoformat(str(value)).timestamp())
    except (ValueError, OverflowError):
        return None


def nameless() -> GatewayError:
    """Return the error of an answer that names no file."""
    return GatewayError("upstream_invalid", "The provider's answer names no file.")


def never_ends(provider: str) -> GatewayError:
    """Return the refusal of an upload that shall end by itself where files do not."""
    return GatewayError(
        "unsupported_parameter",
        f"'expires_after' is not supported by provider '{provider}'.",
        param="expires_after",
    )
