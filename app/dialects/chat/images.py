"""Images by URL, as requests and answers of chat completions have them."""

from __future__ import annotations

from app.canonical.request import ImagePart, Native
from app.dialects.shared.lenient_json import split_data_url


def image_of(url: str, *, detail: str | None = None, native: Native | None = None) -> ImagePart:
    """Return the image of a URL; a ``data:`` URL becomes base64 data with its media type."""
    if (inline := split_data_url(url)) is not None:
        return ImagePart(inline[1], inline[0], detail=detail, native=native)
    return ImagePart(url=url, detail=detail, native=native)
