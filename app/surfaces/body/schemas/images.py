"""The bodies of image operations: generations as JSON, edits and variations as the fields of a form.

Members and bounds: ``ImageGenerateParams``, ``ImageEditParams`` and ``ImageCreateVariationParams`` of openai-python 3.51.
"""

from __future__ import annotations

from typing import Final

from app.surfaces.body.schemas.base import Boolean, Integer, ModelBody, String

MOST_PICTURES: Final = 10


class ImageVariationBody(ModelBody):
    """``POST images/variations``: the fields beside the file."""

    n = Integer(least=1, most=MOST_PICTURES)
    size = String()
    response_format = String(choices=("url", "b64_json"))
    user = String()


class ImageBody(ImageVariationBody):
    """``POST images/generations``."""

    prompt = String(required=True, longest=32_000)
    quality = String(longest=32)
    background = String(choices=("transparent", "opaque", "auto"))
    output_format = String(choices=("png", "webp", "jpeg", "gif", "svg"))
    output_compression = Integer(least=0, most=100)
    moderation = String(longest=32)
    style = String(longest=32)
    partial_images = Integer(least=0, most=3)
    stream = Boolean()


class ImageEditBody(ImageBody):
    """``POST images/edits``: the fields beside the files."""

    input_fidelity = String(longest=32)
