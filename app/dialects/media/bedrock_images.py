"""Pictures by Bedrock's InvokeModel: Amazon's families (Nova Canvas, Titan) and Stability's.

Each has a body of its own and answers with ``images`` in base64; neither counts tokens. Sources: AWS's examples of
InvokeModel with Nova Canvas and Titan Image Generator, its pages "Image generation access and usage" (Nova) and
"Stability.ai Stable Diffusion 3.5 Large" (read 2026-11-28), and public code that calls Stability's Stable Image models there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.images import ImageRequest, ImageResponse, Picture
from app.dialects.base import ClientContext
from app.dialects.converse.response_in import decode_error
from app.dialects.media.audio import MediaRequest
from app.dialects.media.image_usage import untold_usage
from app.dialects.media.images import (
    ImageDialect,
    aspect_of,
    base64_of,
    no_picture,
    no_safe_picture,
    pixels_of,
    report_others,
)
from app.dialects.media.openai_images import stream_decoder
from app.dialects.shared.lenient_json import as_dict, as_list, opt_str, without_nulls
from app.dialects.shared.strict_json import missing

_AMAZON: Final = ("amazon.nova-canvas", "amazon.titan-image")
_REDRAWING: Final = "stability.sd3"
_STABILITY: Final = ("stability.stable-image", _REDRAWING)
_MOST_IMAGES: Final = 5
_RATIOS: Final = ("1:1", "2:3", "3:2", "4:5", "5:4", "9:16", "16:9", "9:21", "21:9")
_QUALITIES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("low", "medium", "standard"), "standard"),
    **dict.fromkeys(("high", "hd", "premium"), "premium"),
}
_SEEDED: Final = frozenset({"seed"})


def draws(model: str) -> bool:
    """Tell whether a model, whose id a region or an ARN may precede, is of a family that draws."""
    return any(name in model for name in (*_AMAZON, *_STABILITY))


def varies(model: str) -> bool:
    """Tell whether a model makes pictures of one that it is given alone."""
    return any(name in model for name in _AMAZON)


def edits(model: str) -> bool:
    """Tell whether a model makes pictures of one with a prompt."""
    return varies(model) or _REDRAWING in model


def encode_request(request: ImageRequest, context: ClientContext) -> MediaRequest:
    """Return the family's body; the model is in the URL."""
    if request.mask is not None:
        context.losses.report("image", "Edits by a mask are not supported by this model", param="mask")
    return MediaRequest((_amazon if varies(context.model) else _stability)(request, context))


def _amazon(request: ImageRequest, context: ClientContext) -> dict[str, Any]:
    report_others(request, context, "n", "size", "quality", own=_SEEDED)
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
        "seed": request.extra.get("seed"),
    }
    return {
        **_task(request, context),
        **({"imageGenerationConfig": without_nulls(config)} if without_nulls(config) else {}),
    }


def _task(request: ImageRequest, context: ClientContext) -> dict[str, Any]:
    """Return what is to be drawn: of a prompt, or of up to five pictures, which a prompt may steer."""
    if request.kind == "generation":
        return {"taskType": "TEXT_IMAGE", "textToImageParams": {"text": request.prompt}}
    if len(request.images) > _MOST_IMAGES:
        context.losses.report("image", f"this model takes {_MOST_IMAGES} pictures at most", param="image")
    params: dict[str, Any] = {"images": [base64_of(image) for image in request.images]}
    if request.prompt:
        params["text"] = request.prompt
    return {"taskType": "IMAGE_VARIATION", "imageVariationParams": params}


def _stability(request: ImageRequest, context: ClientContext) -> dict[str, Any]:
    if request.count > 1:
        context.losses.report("n", "This model draws one picture a call")
    if request.kind != "generation":
        return _variation_body(request, context)
    report_others(request, context, "n", "size", "output_format", own=_SEEDED | {"negative_prompt"})
    aspect = aspect_of(request, _RATIOS, context)
    if aspect is None and request.size not in (None, "auto"):
        context.losses.report("size")
    members = {"aspect_ratio": aspect, "output_format": request.output_format, **request.extra}
    known = ("aspect_ratio", "output_format", "seed", "negative_prompt")
    return {
        "prompt": request.prompt,
        **{name: value for name, value in members.items() if name in known and value is not None},
    }


def _variation_body(request: ImageRequest, context: ClientContext) -> dict[str, Any]:
    """Return the body of an image drawn anew: how much of it may change has no default there."""
    own = _SEEDED | {"negative_prompt", "strength"}
    report_others(request, context, "n", "output_format", own=own)
    if len(request.images) > 1:
        context.losses.report("image", "this model takes one picture", param="image")
    if request.extra.get("strength") is None:
        raise missing("strength")
    return {
        "prompt": request.prompt,
        "mode": "image-to-image",
        "image": base64_of(request.images[0]),
        "strength": _number(request.extra["strength"]),
        **without_nulls({"output_format": request.output_format}),
        **{name: value for name, value in request.extra.items() if name in own - {"strength"}},
    }


def _number(value: Any) -> Any:
    """A field of a form is text."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def decode_response(body: Any, request: ImageRequest, context: ClientContext) -> ImageResponse:
    """Read the pictures; Amazon's ``error`` and Stability's ``finish_reasons`` tell why there are none."""
    members = as_dict(body)
    drawn = [data for data in as_list(members.get("images")) if isinstance(data, str) and data]
    reasons = [opt_str(reason) for reason in as_list(members.get("finish_reasons"))]
    why = opt_str(members.get("error")) or next((reason for reason in reasons if reason), None)
    if not drawn or any(reasons):
        raise no_picture() if why is None else no_safe_picture(why)
    return ImageResponse(
        tuple(Picture(data) for data in drawn),
        usage=untold_usage(request, len(drawn)),
        members={"output_format": request.output_format or "png"},
    )


DIALECT: Final = ImageDialect(
    name="images_bedrock",
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=stream_decoder,
    decode_error=decode_error,
)
