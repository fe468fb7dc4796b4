"""Canonical requests, answers and events of image generation, from a prompt, from other images, or both."""

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
    """Images to generate. ``size`` is ``WIDTHxHEIGHT`` in pixels, ``auto`` or a tier (``2K``), None if the client does not
    say. ``form``: ``url`` or ``b64_json``. ``compression`` is a percentage. ``images`` are those to edit or vary; the
    transparent parts of ``mask`` show where to edit the first of them."""

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
        """Return the number of images, by default 1."""
        return self.n or 1


@record
class Picture:
    """One image: base64 ``data``, or a ``url`` that is valid for a while."""

    data: str | None = None
    url: str | None = None
    revised_prompt: str | None = None


@record
class ImageResponse:
    """Finished images. ``members`` describe all of them (``size``, ``quality``, ``background``, ``output_format`` …);
    ``created`` is Unix seconds or None."""

    pictures: tuple[Picture, ...]
    created: int | None = None
    usage: Usage | None = None
    members: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class PicturePart:
    """A partial image, base64 in ``data``; ``index`` counts them."""

    data: str
    index: int
    members: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class PictureDone:
    """A finished image; ``last``: no other follows, and ``usage`` is that of the whole call."""

    picture: Picture
    members: Mapping[str, Any] = field(default_factory=dict)
    usage: Usage | None = None
    last: bool = False


ImageEvent = PicturePart | PictureDone | Failed
"""A stream of images: partial and finished ones, ended by the last finished one or by one Failed."""
