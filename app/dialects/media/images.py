"""The row of image dialects, and what they share: sizes, file types, errors, reports of losses."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from app.canonical.images import ImageEvent, ImageKind, ImageRequest, ImageResponse, PictureDone
from app.canonical.media import Upload
from app.canonical.record import record
from app.dialects.base import ClientContext, Frame, Row, ServerContext, not_supported
from app.dialects.media.audio import MediaDecoder, MediaRequest
from app.dialects.shared.strict_json import invalid, missing
from app.dialects.shared.unmapped_members import known_extras
from app.errors import GatewayError

MAX_SIDE: Final = 16_384
"""Longest side, in pixels, that a client may request; the largest known model makes 4,096."""
MAX_IMAGES: Final = 16
"""Images in one request (``ImageEditParams`` of openai-python)."""
_SIZE: Final = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")
_NAMED_SIZES: Final = frozenset({"auto", "1K", "2K", "4K"})
_TYPES: Final[tuple[tuple[bytes, bytes, str], ...]] = (
    # first bytes of a file, bytes from the ninth, media type
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
"""Fields of an image request, and OpenAI's names for them."""

Files = Sequence[tuple[str, Upload]]
"""Files of a form with the names of their fields, in order."""


class ImageEncoder(Protocol):
    """Encodes events as the frames of a surface."""

    def feed(self, event: ImageEvent) -> list[Frame]: ...


@record(kw_only=True)
class ImageDialect(Row):
    """A dialect of images. ``decode_request`` takes the members of a body or form, and the form's files."""

    encode_request: Callable[[ImageRequest, ClientContext], MediaRequest]
    decode_response: Callable[[Any, ImageRequest, ClientContext], ImageResponse]
    stream_decoder: Callable[[ImageRequest, ClientContext], MediaDecoder[ImageEvent]]
    decode_request: Callable[[ImageKind, Mapping[str, Any], Files, ServerContext], ImageRequest] = (
        not_supported
    )
    encode_response: Callable[[ImageResponse, ImageRequest, ServerContext], dict[str, Any]] = not_supported
    stream_encoder: Callable[[ImageRequest, ServerContext], ImageEncoder] = not_supported


def validate_size(size: str | None) -> str | None:
    """Return a size that some model may support; raises ``bad_request`` for any other."""
    if size is not None and size not in _NAMED_SIZES and max(pixels_of(size) or (MAX_SIDE + 1,)) > MAX_SIDE:
        words = ", ".join(f"'{word}'" for word in sorted(_NAMED_SIZES))
        allowed_sizes = f"{words} or 'WIDTHxHEIGHT' of at most {MAX_SIDE} pixels a side"
        raise invalid("size", f"expected {allowed_sizes}, but got '{size[:40]}' instead.")
    return size


def pixels_of(size: str | None) -> tuple[int, int] | None:
    """Return width and height of a size such as ``1024x1536``, None for any other size."""
    match = _SIZE.fullmatch(size or "")
    return (int(match[1]), int(match[2])) if match else None


def validate_image(file: Upload, param: str) -> Upload:
    """Return a file of a form with the media type of its first bytes.

    Clients send ``application/octet-stream``, which providers refuse. Raises ``bad_request`` for
    anything but PNG, JPEG and WebP.
    """
    if not file.data:
        raise invalid(param, "it is empty.")
    for beginning, inside, media_type in _TYPES:
        if file.data.startswith(beginning) and file.data.startswith(inside, 8 if inside else 0):
            return replace(file, media_type=media_type)
    raise invalid(param, "it is not an image. Supported are PNG, JPEG and WebP.")


def images_in(files: Files) -> tuple[Upload, ...]:
    """Return the images of a form (``image``, ``image[]``); raises ``bad_request`` for anything else."""
    images = [file for name, file in files if name.removesuffix("[]") == "image"]
    if not images:
        raise missing("image")
    if len(images) > MAX_IMAGES:
        message = f"Invalid 'image': at most {MAX_IMAGES} images, but got {len(images)} instead."
        raise GatewayError("bad_request", message, param="image", code="array_above_max_length")
    names = ["image"] if len(images) == 1 else [f"image[{at}]" for at in range(len(images))]
    return tuple(map(validate_image, images, names))


def mask_in(files: Files) -> Upload | None:
    """Return the mask of a form, None without one; raises ``bad_request`` unless it is an image."""
    masks = [file for name, file in files if name == "mask"]
    return validate_image(masks[-1], "mask") if masks else None


def replay_images(response: ImageResponse) -> Iterator[ImageEvent]:
    """Yield the events of a stream with complete images."""
    last = len(response.pictures) - 1
    for at, picture in enumerate(response.pictures):
        usage = response.usage if at == last else None
        yield PictureDone(picture, response.members, usage, last=at == last)


def no_picture(raw: Any = None) -> GatewayError:
    """Return the error of a response without an image."""
    return GatewayError("upstream_invalid", "The provider's answer contains no image.", raw=raw)


def image_error(reason: Any) -> GatewayError:
    """Return the error of a response without an image; ``reason`` is that of a content filter, if any."""
    if reason is None:
        return no_picture()
    return GatewayError(
        "content_filter", f"The provider refused to generate the image ({reason}).", raw=reason
    )


def report_url(request: ImageRequest, context: ClientContext) -> None:
    """Report that an image comes in base64 if the client requested its URL."""
    if request.form == "url":
        warning = "This model answers with pictures in base64, not by URL"
        context.losses.report("image_form", warning, param="response_format")


def encode_extras(
    request: ImageRequest, context: ClientContext, *supported: str, own: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Return the provider's ``own`` extra members, for providers that answer in base64.

    Fields that are not ``supported`` and other extra members are reported.
    """
    report_url(request, context)
    for name, member in MEMBERS.items():
        if name not in (*supported, "form") and getattr(request, name) is not None:
            context.losses.report(member)
    return known_extras(request.extra, own, context.losses)


def report_count(request: ImageRequest, context: ClientContext) -> None:
    """Report that the model makes one image per call."""
    if request.count > 1:
        context.losses.report("n", "This model makes one image per request")


def refuse_mask(
    request: ImageRequest, context: ClientContext, message: str = "This model does not accept a mask"
) -> None:
    """Refuse an edit with a mask."""
    if request.mask is not None:
        context.losses.report("image", message, param="mask")


def aspect_of(request: ImageRequest, ratios: Sequence[str], context: ClientContext) -> str | None:
    """Return the ratio (``3:2``) that is nearest to a size in pixels, and report it; None for any other size."""
    pixels = pixels_of(request.size)
    if pixels is None:
        return None

    def distance(ratio: str) -> float:
        width, _, height = ratio.partition(":")
        return abs(math.log(pixels[0] / pixels[1] * int(height) / int(width)))

    nearest = min(ratios, key=distance)
    if pixels != (1024, 1024):
        warning = f"This model takes no pixels; the ratio {nearest} was sent"
        context.losses.report("image_size", warning, param="size")
    return nearest
