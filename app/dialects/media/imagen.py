"""Pictures by Imagen on Google Cloud: ``:predict`` with one instance, which may hold a picture to edit.

Members: ``_GenerateImagesConfig_to_vertex``, ``_EditImageParameters_to_vertex`` and ``_GeneratedImage_from_vertex`` of
google-genai 3.3, and Google's page "Edit images" (read 2026-11-28). It counts no tokens.
"""

from __future__ import annotations

from typing import Any, Final

from app.canonical.images import ImageRequest, ImageResponse, Picture
from app.dialects.base import ClientContext
from app.dialects.chat.errors import failure_in
from app.dialects.gemini.errors import decode_error
from app.dialects.media.audio import MediaRequest
from app.dialects.media.image_usage import untold_usage
from app.dialects.media.images import (
    ImageDialect,
    aspect_of,
    base64_of,
    no_picture,
    no_safe_picture,
    report_others,
)
from app.dialects.media.openai_images import stream_decoder
from app.dialects.shared.lenient_json import as_dict, dicts, opt_str, without_nulls

RATIOS: Final = ("1:1", "3:4", "4:3", "9:16", "16:9")
_TIERS: Final = frozenset({"1K", "2K"})


def encode_request(request: ImageRequest, context: ClientContext) -> MediaRequest:
    """Return the body; what Imagen lacks is reported."""
    if request.kind == "edit":
        return _edit(request, context)
    report_others(request, context, "n", "size", "output_format", "compression")
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
    """Return the body of an edit without a mask; the picture that comes out is as large as the one that went in."""
    if request.mask is not None:
        context.losses.report("image", "A mask cannot be given to this model", param="mask")
    if len(request.images) > 1:
        context.losses.report("image", "This model edits one picture", param="image")
    report_others(request, context, "n", "output_format", "compression")
    picture = {
        "referenceType": "REFERENCE_TYPE_RAW",
        "referenceId": 1,
        "referenceImage": {"bytesBase64Encoded": base64_of(request.images[0])},
    }
    parameters = {
        "editMode": "EDIT_MODE_DEFAULT",
        "sampleCount": request.count,
        "outputOptions": _output(request),
    }
    instance = {"prompt": request.prompt, "referenceImages": [picture]}
    return MediaRequest({"instances": [instance], "parameters": without_nulls(parameters)})


def _output(request: ImageRequest) -> dict[str, Any] | None:
    output = {
        "mimeType": None if request.output_format is None else f"image/{request.output_format}",
        "compressionQuality": request.compression,
    }
    return without_nulls(output) or None


def decode_response(body: Any, request: ImageRequest, context: ClientContext) -> ImageResponse:
    """Read the predictions; those that a filter held back are left out, unless they are all."""
    failure = failure_in(body)
    if failure is not None:
        raise failure
    predictions = dicts(as_dict(body).get("predictions"))
    drawn = [one for one in predictions if opt_str(one.get("bytesBase64Encoded"))]
    if not drawn:
        why = next((text for one in predictions if (text := opt_str(one.get("raiFilteredReason")))), None)
        raise no_picture() if why is None else no_safe_picture(why)
    pictures = tuple(
        Picture(one["bytesBase64Encoded"], revised_prompt=opt_str(one.get("prompt"))) for one in drawn
    )
    kind = (opt_str(drawn[0].get("mimeType")) or "image/png").rpartition("/")[2]
    return ImageResponse(
        pictures, usage=untold_usage(request, len(pictures)), members={"output_format": kind}
    )


DIALECT: Final = ImageDialect(
    name="images_imagen",
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=stream_decoder,
    decode_error=decode_error,
)
