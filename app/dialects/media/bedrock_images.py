"""Images of Bedrock's InvokeModel: Amazon's families (Nova Canvas, Titan) and Stability's (client half).

Each has its own request and answers with ``images`` in base64; neither reports tokens. Sources: AWS's examples of
InvokeModel with Nova Canvas and Titan Image Generator, its pages "Image generation access and usage" (Nova) and
"Stability.ai Stable Diffusion 3.5 Large" (read 2026-11-28), public code that calls Stability's Stable Image models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.images import ImageRequest, ImageResponse, Picture
from app.dialects.base import ClientContext
from app.dialects.converse.response_in import decode_error
from app.dialects.media.audio import MediaRequest
from app.dialects.media.images import (
    ImageDialect,
    aspect_of,
    encode_extras,
    image_error,
    pixels_of,
    refuse_mask,
    report_count,
)
from app.dialects.media.openai_images import stream_decoder
from app.dialects.media.usage import estimate_image_usage
from app.dialects.shared.lenient_json import as_dict, as_list, encode_base64, opt_str, without_nulls
from app.dialects.shared.strict_json import missing

_AMAZON: Final = ("amazon.nova-canvas", "amazon.titan-image")
_STABILITY_EDITS: Final = "stability.sd3"
_STABILITY: Final = ("stability.stable-image", _STABILITY_EDITS)
_MOST_IMAGES: Final = 5
_RATIOS: Final = ("1:1", "2:3", "3:2", "4:5", "5:4", "9:16", "16:9", "9:21", "21:9")
_QUALITIES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("low", "medium", "standard"), "standard"),
    **dict.fromkeys(("high", "hd", "premium"), "premium"),
}
_PROMPT_EXTRAS: Final = frozenset({"seed", "negative_prompt"})
"""Extra members of Stability's models; Amazon's have the seed."""


def draws(model: str) -> bool:
    """Tell whether a model makes images; its id may have a region or an ARN before it."""
    return any(name in model for name in (*_AMAZON, *_STABILITY))


def varies(model: str) -> bool:
    """Tell whether a model makes variations of an image without a prompt."""
    return any(name in model for name in _AMAZON)


def edits(model: str) -> bool:
    """Tell whether a model edits an image by a prompt."""
    return varies(model) or _STABILITY_EDITS in model


def encode_request(request: ImageRequest, context: ClientContext) -> MediaRequest:
    """Return the request of the model's family; the model is part of the URL."""
    refuse_mask(request, context, "Edits by a mask are not supported by this model")
    return MediaRequest((_amazon if varies(context.model) else _stability)(request, context))


def _amazon(request: ImageRequest, context: ClientContext) -> dict[str, Any]:
    extras = encode_extras(request, context, "n", "size", "quality", own=frozenset({"seed"}))
    quality = None if request.quality is None else _QUALITIES.get(request.quality)
    if request.quality not in (None, "auto") and quality is None:
        context.losses.report("quality")
    width, height = pixels_of(request.size) or (None, None)
    if width is None and request.size not in (None, "auto"):
        context.losses.report("size")
    config = {
        "numberOfImages": request.n,
        "width": width,
        "height": height,
        "quality": quality,
        **extras,
    }
    members = without_nulls(config)
    return {**_task(request, context), **({"imageGenerationConfig": members} if members else {})}


def _task(request: ImageRequest, context: ClientContext) -> dict[str, Any]:
    """Return the task: an image of a prompt, or of up to five images and perhaps a prompt."""
    if request.kind == "generation":
        return {"taskType": "TEXT_IMAGE", "textToImageParams": {"text": request.prompt}}
    if len(request.images) > _MOST_IMAGES:
        context.losses.report("image", f"this model takes {_MOST_IMAGES} pictures at most", param="image")
    params: dict[str, Any] = {"images": [encode_base64(image.data) for image in request.images]}
    if request.prompt:
        params["text"] = request.prompt
    return {"taskType": "IMAGE_VARIATION", "imageVariationParams": params}


def _stability(request: ImageRequest, context: ClientContext) -> dict[str, Any]:
    report_count(request, context)
    if request.kind != "generation":
        return _edit(request, context)
    extras = encode_extras(request, context, "n", "size", "output_format", own=_PROMPT_EXTRAS)
    aspect = aspect_of(request, _RATIOS, context)
    if aspect is None and request.size not in (None, "auto"):
        context.losses.report("size")
    members = {"aspect_ratio": aspect, "output_format": request.output_format, **extras}
    return {"prompt": request.prompt, **without_nulls(members)}


def _edit(request: ImageRequest, context: ClientContext) -> dict[str, Any]:
    """Return the request of an edit; ``strength``, how much of the image may change, has no default."""
    extras = encode_extras(request, context, "n", "output_format", own=_PROMPT_EXTRAS | {"strength"})
    if len(request.images) > 1:
        context.losses.report("image", "this model accepts one image", param="image")
    if extras.get("strength") is None:
        raise missing("strength")
    return {
        "prompt": request.prompt,
        "mode": "image-to-image",
        "image": encode_base64(request.images[0].data),
        "strength": _number(extras.pop("strength")),
        **without_nulls({"output_format": request.output_format}),
        **extras,
    }


def _number(value: Any) -> Any:
    """Return a number that a form has as text as a number; any other value unchanged."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def decode_response(body: Any, request: ImageRequest, context: ClientContext) -> ImageResponse:
    """Return the images; Amazon's ``error`` and Stability's ``finish_reasons`` say why there are none."""
    members = as_dict(body)
    images = [data for data in map(opt_str, as_list(members.get("images"))) if data]
    reason = next(filter(None, map(opt_str, as_list(members.get("finish_reasons")))), None)
    if not images or reason:
        raise image_error(opt_str(members.get("error")) or reason)
    return ImageResponse(
        tuple(map(Picture, images)),
        usage=estimate_image_usage(request, len(images)),
        members={"output_format": request.output_format or "png"},
    )


DIALECT: Final = ImageDialect(
    name="images_bedrock",
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=stream_decoder,
    decode_error=decode_error,
)
