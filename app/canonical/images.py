"""Canonical requests, answers and events of pictures: made of a prompt, of other pictures, or of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from app.canonical.events import Failed
from app.canonical.media import Upload
from app.canonical.record import record
from app.canonical.request import Origin
from app.canonical.response import Usage

ImageKind = Literal["generation", "edit", "variation"]


@record
class ImageRequest:
    """Pictures to make. ``size`` is ``WIDTHxHEIGHT`` in pixels, ``auto`` or a tier (``2K``); None where the
    client does not say. ``form``: ``url`` or ``b64_json``. ``compression`` is a percentage. ``images`` are
    those to edit or vary, ``mask`` shows with its transparent parts where to edit the first."""

    model: str
    kind: ImageKind
    prompt: str = ""
    n: int | None = None
    size: str | None = None
    quality: str | None = None
    background: str | None = None
    output_format: str | None = None
    compression: int | None = None
    form: str | None = None
    partial_images: int | None = None
    stream: bool = False
    user: str | None = None
    images: tuple[Upload, ...] = ()
    mask: Upload | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin | None = None

    @property
    def count(self) -> int:
        """Return how many pictures are asked for."""
        return self.n or 1


@record
class Picture:
    """One picture: base64 ``data``, or the ``url`` where it lies for a while."""

    data: str | None = None
    url: str | None = None
    revised_prompt: str | None = None


@record
class ImageResponse:
    """Whole pictures. ``members`` are what the answer says of them all (``size``, ``quality``,
    ``background``, ``output_format`` …), ``created`` is Unix seconds or None."""

    pictures: tuple[Picture, ...]
    created: int | None = None
    usage: Usage | None = None
    members: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class PicturePart:
    """A picture that is not finished, the one of ``index`` of those that come on the way."""

    data: str
    index: int
    members: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class PictureDone:
    """A picture that is whole; ``last``: no other comes, and ``usage`` is that of the whole call."""

    picture: Picture
    members: Mapping[str, Any] = field(default_factory=dict)
    usage: Usage | None = None
    last: bool = False


ImageEvent = PicturePart | PictureDone | Failed
"""A stream of pictures: parts and pictures, the last of which ends it, or one Failed."""
