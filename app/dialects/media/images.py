"""The row of a wire of pictures, and what all of them share: sizes, file types, a stream of a whole answer."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from app.canonical.images import ImageEvent, ImageKind, ImageRequest, ImageResponse, PictureDone
from app.canonical.media import Upload
from app.canonical.record import record
from app.dialects.base import ClientContext, Frame, Row, ServerContext, not_supported
from app.dialects.media.audio import AudioDecoder, MediaRequest
from app.dialects.shared.strict_json import missing
from app.errors import GatewayError

MAX_SIDE: Final = 16_384
"""Pixels of the longest side that a client may ask for; the largest known model makes 4,096."""
MAX_IMAGES: Final = 16
"""Pictures that one request may send (``ImageEditParams`` of openai-python)."""
_SIZE: Final = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")
_NAMED_SIZES: Final = frozenset({"auto", "1K", "2K", "4K"})
_TYPES: Final[tuple[tuple[bytes, bytes, str], ...]] = (
    # how a file begins, what stands at its ninth byte, its media type
    (b"\x89PNG\r\n\x1a\n", b"", "image/png"),
    (b"\xff\xd8\xff", b"", "image/jpeg"),
    (b"RIFF", b"WEBP", "image/webp"),
)

MEMBERS: Final[Mapping[str, str]] = {
    "n": "n",
    "size": "size",
    "quality": "quality",
    "background": "background",
    "output_format": "output_format",
    "compression": "output_compression",
    "form": "response_format",
    "partial_images": "partial_images",
    "user": "user",
}
"""What a request says of its pictures, and OpenAI's names for it."""

Files = Sequence[tuple[str, Upload]]
"""Files of a form by the names of their fields, in order."""


class ImageEncoder(Protocol):
    """Events to a surface's frames."""

    def feed(self, event: ImageEvent) -> list[Frame]: ...


@record(kw_only=True)
class ImageDialect(Row):
    """A wire of pictures. ``decode_request`` takes the members of a body, or of a form, and its files."""

    encode_request: Callable[[ImageRequest, ClientContext], MediaRequest]
    decode_response: Callable[[Any, ImageRequest, ClientContext], ImageResponse]
    stream_decoder: Callable[[ImageRequest, ClientContext], AudioDecoder[ImageEvent]]
    decode_request: Callable[[ImageKind, Mapping[str, Any], Files, ServerContext], ImageRequest] = (
        not_supported
    )
    encode_response: Callable[[ImageResponse, ImageRequest, ServerContext], dict[str, Any]] = not_supported
    stream_encoder: Callable[[ImageRequest, ServerContext], ImageEncoder] = not_supported


def checked_size(size: str | None) -> str | None:
    """Return a size that some model may make; raises ``bad_request`` for any other."""
    if size is None or size in _NAMED_SIZES:
        return size
    pixels = pixels_of(size)
    if pixels is None or max(pixels) > MAX_SIDE:
        words = ", ".join(f"'{word}'" for word in sorted(_NAMED_SIZES))
        raise GatewayError(
            "bad_request",
            f"Invalid 'size': expected {words} or 'WIDTHxHEIGHT' of at most {MAX_SIDE} pixels a side, "
            f"but got '{size[:40]}' instead.",
            param="size",
            code="invalid_value",
        )
    return size


def pixels_of(size: str | None) -> tuple[int, int] | None:
    """Return width and height of ``1024x1536``; None for what is no such size."""
    found = _SIZE.fullmatch(size or "")
    return (int(found[1]), int(found[2])) if found else None


def checked_image(file: Upload, param: str) -> Upload:
    """Return a file of a form with the media type that its first bytes tell.

    Clients call it ``application/octet-stream``, which providers refuse. Raises ``bad_request`` for
    what is no PNG, JPEG or WebP.
    """
    if not file.data:
        raise GatewayError(
            "bad_request", f"Invalid '{param}': it is empty.", param=param, code="invalid_value"
        )
    for beginning, inside, media_type in _TYPES:
        if file.data.startswith(beginning) and file.data.startswith(inside, 8 if inside else 0):
            return replace(file, media_type=media_type)
    raise GatewayError(
        "bad_request",
        f"Invalid '{param}': it is no picture. Supported are PNG, JPEG and WebP.",
        param=param,
        code="invalid_value",
    )


def images_in(files: Files) -> tuple[Upload, ...]:
    """Return the pictures of a form (``image``, ``image[]``), each checked; raises ``bad_request``."""
    found = [file for name, file in files if name.removesuffix("[]") == "image"]
    if not found:
        raise missing("image")
    if len(found) > MAX_IMAGES:
        raise GatewayError(
            "bad_request",
            f"Invalid 'image': at most {MAX_IMAGES} pictures, but got {len(found)} instead.",
            param="image",
            code="array_above_max_length",
        )
    if len(found) == 1:
        return (checked_image(found[0], "image"),)
    return tuple(checked_image(file, f"image[{at}]") for at, file in enumerate(found))


def mask_in(files: Files) -> Upload | None:
    """Return the mask of a form, None without one; raises ``bad_request`` for what is no picture."""
    found = [file for name, file in files if name == "mask"]
    return checked_image(found[-1], "mask") if found else None


def replay_images(response: ImageResponse) -> Iterator[ImageEvent]:
    """Turn whole pictures into the events of a stream."""
    last = len(response.pictures) - 1
    for at, picture in enumerate(response.pictures):
        usage = response.usage if at == last else None
        yield PictureDone(picture, response.members, usage, last=at == last)


def no_picture(raw: Any = None) -> GatewayError:
    """Return the error of an answer that should hold a picture and does not."""
    return GatewayError("upstream_invalid", "The provider's answer holds no picture.", raw=raw)


def no_safe_picture(why: Any) -> GatewayError:
    """Return the error of a picture that a provider's filter held back."""
    return GatewayError("content_filter", f"The provider refused to draw ({why}).", raw=why)


def base64_of(image: Upload) -> str:
    """Return a file's bytes as base64 text."""
    return base64.b64encode(image.data).decode("ascii")


def report_coded(form: str | None, context: ClientContext) -> None:
    """Report that a picture comes in base64 where its URL was asked for."""
    if form == "url":
        context.losses.report(
            "image_form", "This model answers with pictures in base64, not by URL", param="response_format"
        )


def report_others(
    request: ImageRequest, context: ClientContext, *taken: str, own: frozenset[str] = frozenset()
) -> None:
    """Report what a wire that answers in base64 has no place for: members not ``taken``, extras not its ``own``."""
    report_coded(request.form, context)
    for name, member in MEMBERS.items():
        if name not in (*taken, "form") and getattr(request, name) is not None:
            context.losses.report(member)
    for name in request.extra:
        if name not in own:
            context.losses.report("extra", param=name)


def aspect_of(request: ImageRequest, ratios: Sequence[str], context: ClientContext) -> str | None:
    """Return the ratio (``3:2``) that is nearest to a size in pixels, with a warning that it is what is sent;
    None for ``auto``, a tier or nothing."""
    pixels = pixels_of(request.size)
    if pixels is None:
        return None

    def distance(ratio: str) -> float:
        width, _, height = ratio.partition(":")
        return abs(math.log(pixels[0] / pixels[1] * int(height) / int(width)))

    nearest = min(ratios, key=distance)
    if pixels != (1024, 1024):
        context.losses.report(
            "image_size", f"This model takes no pixels; the ratio {nearest} was sent", param="size"
        )
    return nearest
