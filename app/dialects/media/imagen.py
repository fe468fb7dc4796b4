"""Images of Imagen on Google Cloud: ``:predict`` with one instance, which may have an image to edit (client half).

It reports no tokens. Sources: ``_GenerateImagesConfig_to_vertex``, ``_EditImageParameters_to_vertex`` and
``_GeneratedImage_from_vertex`` of google-genai 3.3, Google's page "Edit images" (read 2026-11-28).
"""

from __future__ import annotations

from typing import Any, Final

from app.canonical.images import ImageRequest, ImageResponse, Picture
from app.dialects.base import ClientContext
from app.dialects.chat.errors import failure_in
from app.dialects.gemini.response_in import decode_error
from app.dialects.media.audio import MediaRequest
from app.dialects.media.images import (
    ImageDialect,
    aspect_of,
    encode_extras,
    image_error,
    refuse_mask,
)
from app.dialects.media.openai_images import stream_decoder
from app.dialects.media.usage import estimate_image_usage
from app.dialects.shared.lenient_json import as_dict, dicts, encode_base64, opt_str, without_nulls

RATIOS: Final = ("1:1", "3:4", "4:3", "9:16", "16:9")
_TIERS: Final = frozenset({"1K", "2K"})


def encode_request(request: ImageRequest, context: ClientContext) -> MediaRequest:
    """Return the request; what Imagen does not support is reported."""
    if request.kind == "edit":
        return _edit(request, context)
    encode_extras(request, context, "n", "size", "output_format", "compression")
    parameters = {
        "sampleCount": request.count,
        "aspectRatio": aspect_of(request, RATIOS, context),
        "sampleImageSize": request.size if request.size in _TIERS else None,
        "outputOptions": _output(request),
    }
    if request.size == "4K":
        context.losses.report("size")
    return MediaRequest({"instances": [{"prompt": request.prompt}], "parameters": without_nulls(parameters)})


def _edit(request: ImageRequest, context: ClientContext) -> MediaRequest:
    """Return the request of an edit without a mask; the image keeps its size."""
    refuse_mask(request, context)
    if len(request.images) > 1:
        context.losses.report("image", "This model edits one image", param="image")
    encode_extras(request, context, "n", "output_format", "compression")
    image = {
        "referenceType": "REFERENCE_TYPE_RAW",
        "referenceId": 1,
        "referenceImage": {"bytesBase64Encoded": encode_base64(request.images[0].data)},
    }
    parameters = {
        "editMode": "EDIT_MODE_DEFAULT",
        "sampleCount": request.count,
        "outputOptions": _output(request),
    }
    instance = {"prompt": request.prompt, "referenceImages": [image]}
    return MediaRequest({"instances": [instance], "parameters": without_nulls(parameters)})


def _output(request: ImageRequest) -> dict[str, Any] | None:
    output = {
        "mimeType": None if request.output_format is None else f"image/{request.output_format}",
        "compressionQuality": request.compression,
    }
    return without_nulls(output) or None


def decode_response(body: Any, request: ImageRequest, context: ClientContext) -> ImageResponse:
    """Return the images; those that the content filter withheld are left out, unless there is no other."""
    if (failure := failure_in(body)) is not None:
        raise failure
    predictions = dicts(as_dict(body).get("predictions"))
    images = [one for one in predictions if opt_str(one.get("bytesBase64Encoded"))]
    if not images:
        raise image_error(
            next(filter(None, (opt_str(one.get("raiFilteredReason")) for one in predictions)), None)
        )
    return ImageResponse(
        tuple(Picture(one["bytesBase64Encoded"], None, opt_str(one.get("prompt"))) for one in images),
        usage=estimate_image_usage(request, len(images)),
        members={"output_format": (opt_str(images[0].get("mimeType")) or "image/png").rpartition("/")[2]},
    )


DIALECT: Final = ImageDialect(
    name="images_imagen",
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=stream_decoder,
    decode_error=decode_error,
)
