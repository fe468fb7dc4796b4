"""Files of a caller, as every provider that keeps files understands them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from app.canonical.record import record


class Content(Protocol):
    """Bytes that need not lie in memory: of known length, and read from their start each time."""

    def __len__(self) -> int:
        """Return their number."""
        ...

    def __iter__(self) -> Iterator[bytes]:
        """Yield them piece by piece."""
        ...


@record
class FileUpload:
    """A file to be kept. ``purpose`` is OpenAI's word for what it is for; ``keeps`` the seconds after
    which it shall go, None for the provider's own time."""

    filename: str
    media_type: str
    content: Content
    purpose: str
    keeps: int | None = None


@record
class FileObject:
    """A file as its provider tells it; None for what it does not tell. ``id`` names it in paths,
    ``reference`` in prompts. Times are Unix seconds. ``status``: uploaded, processed or error."""

    id: str
    reference: str
    bytes: int | None = None
    created_at: int | None = None
    expires_at: int | None = None
    status: str = "processed"
