"""Images of Gemini's generateContent: models that make images answer a prompt with inline data (client half).

They make one image per call. Sources: ``ImageConfig`` of google-genai 3.3, recorded traffic.
"""

from __future__ import annotations

from typing import Any, Final

from app.canonical.images import ImageRequest, ImageResponse, Picture
from app.canonical.request import ImagePart
from app.dialects.base import ClientContext
from app.dialects.gemini.dialect import DIALECT as GENERATION
from app.dialects.media.audio import MediaRequest
from app.dialects.media.images import (
    ImageDialect,
    aspect_of,
    encode_extras,
    image_error,
    no_picture,
    refuse_mask,
    report_count,
)
from app.dialects.media.openai_images import stream_decoder
from app.dialects.media.usage import complete_image_usage
from app.dialects.shared.lenient_json import encode_base64, without_nulls

RATIOS: Final = ("1:1", "2:3", "3:2", "3:4", "4:3", "9:16", "16:9", "21:9")
_TIERS: Final = frozenset({"1K", "2K", "4K"})


def encode_request(request: ImageRequest, context: ClientContext) -> MediaRequest:
    """Return the request; more than one image and a mask are refused."""
    report_count(request, context)
    refuse_mask(request, context)
    encode_extras(request, context, "n", "size")
    images = [
        {"inlineData": {"mimeType": image.media_type, "data": encode_base64(image.data)}}
        for image in request.images
    ]
    aspect, tier = aspect_of(request, RATIOS, context), request.size if request.size in _TIERS else None
    image_config = without_nulls({"aspectRatio": aspect, "imageSize": tier}) or None
    config = without_nulls({"responseModalities": ["TEXT", "IMAGE"], "imageConfig": image_config})
    turn = {"role": "user", "parts": [*images, {"text": request.prompt}]}
    return MediaRequest({"contents": [turn], "generationConfig": config})


def decode_response(body: Any, request: ImageRequest, context: ClientContext) -> ImageResponse:
    """Return the images of a response; texts beside them are dropped."""
    response = GENERATION.decode_response(body, context)
    images = [part for part in response.first.parts if isinstance(part, ImagePart) and part.data]
    if not images:
        finish = response.first.finish
        if finish is not None and finish.reason == "content_filter":
            raise image_error(finish.raw)
        raise no_picture(finish.raw if finish is not None else None)
    return ImageResponse(
        tuple(Picture(image.data) for image in images),
        usage=complete_image_usage(response.usage, request, len(images)),
        members={"output_format": (images[0].media_type or "image/png").rpartition("/")[2]},
    )


DIALECT: Final = ImageDialect(
    name="images_gemini",
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=stream_decoder,
    decode_error=GENERATION.decode_error,
)
