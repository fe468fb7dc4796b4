"""Files of a caller, in the form that all providers with files share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from app.canonical.record import record


class Content(Protocol):
    """Bytes of known length, perhaps not in memory; each iteration reads them from their start."""

    def __len__(self) -> int:
        """Return the number of bytes."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes in chunks."""


@record
class FileUpload:
    """A file to store. ``purpose`` is OpenAI's word; ``expires_in`` are the seconds after which it expires, None for the
    provider's own time."""

    filename: str
    media_type: str
    content: Content
    purpose: str
    expires_in: int | None = None


@record
class FileObject:
    """A file at its provider; None for what the provider does not say. ``id`` names it in paths, ``reference`` in
    prompts. Times are Unix seconds. ``status``: uploaded, processed or error."""

    id: str
    reference: str
    bytes: int | None = None
    created_at: int | None = None
    expires_at: int | None = None
    status: str = "processed"
