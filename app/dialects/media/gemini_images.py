"""Pictures by Gemini's generateContent: models that draw answer a prompt, and pictures to edit, with inline data.

They draw one picture a call. Members: ``ImageConfig`` of google-genai 3.3, recorded answers.
"""

from __future__ import annotations

from typing import Any, Final

from app.canonical.images import ImageRequest, ImageResponse, Picture
from app.canonical.request import ImagePart
from app.canonical.response import Response
from app.dialects.base import ClientContext
from app.dialects.gemini.dialect import DIALECT as GENERATION
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
from app.dialects.shared.lenient_json import without_nulls

RATIOS: Final = ("1:1", "2:3", "3:2", "3:4", "4:3", "9:16", "16:9", "21:9")
_TIERS: Final = frozenset({"1K", "2K", "4K"})


def encode_request(request: ImageRequest, context: ClientContext) -> MediaRequest:
    """Return the body; more than one picture and a mask are refused."""
    if request.count > 1:
        context.losses.report("n", "This model draws one picture a call")
    if request.mask is not None:
        context.losses.report("image", "A mask cannot be given to this model", param="mask")
    report_others(request, context, "n", "size")
    shown = [
        {"inlineData": {"mimeType": image.media_type, "data": base64_of(image)}} for image in request.images
    ]
    config: dict[str, Any] = {"responseModalities": ["TEXT", "IMAGE"]}
    drawn = {
        "aspectRatio": aspect_of(request, RATIOS, context),
        "imageSize": request.size if request.size in _TIERS else None,
    }
    if without_nulls(drawn):
        config["imageConfig"] = without_nulls(drawn)
    turn = {"role": "user", "parts": [*shown, {"text": request.prompt}]}
    return MediaRequest({"contents": [turn], "generationConfig": config})


def decode_response(body: Any, request: ImageRequest, context: ClientContext) -> ImageResponse:
    """Read the pictures of an answer; what the model says beside them is left out."""
    response = GENERATION.decode_response(body, context)
    parts = _pictures(response)
    if not parts:
        finish = response.choices[0].finish if response.choices else None
        if finish is not None and finish.reason == "content_filter":
            raise no_safe_picture(finish.raw)
        raise no_picture(finish.raw if finish is not None else None)
    kind = (parts[0].media_type or "image/png").rpartition("/")[2]
    return ImageResponse(
        tuple(Picture(part.data) for part in parts),
        usage=response.usage or untold_usage(request, len(parts)),
        members={"output_format": kind},
    )


def _pictures(response: Response) -> list[ImagePart]:
    return [
        part
        for choice in response.choices[:1]
        for message in choice.messages
        for part in message.parts
        if isinstance(part, ImagePart) and part.data
    ]


DIALECT: Final = ImageDialect(
    name="images_gemini",
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=stream_decoder,
    decode_error=GENERATION.decode_error,
)
