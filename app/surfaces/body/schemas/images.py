"""The bodies of image operations: generations as JSON, edits and variations as the fields of a form.

Members and bounds: ``ImageGenerateParams``, ``ImageEditParams`` and ``ImageCreateVariationParams`` of openai-python 3.51.
"""

from __future__ import annotations

from typing import Final

from app.surfaces.body.schemas.base import Flag, ModelBody, Text, Whole

MOST_PICTURES: Final = 10


class ImageVariationBody(ModelBody):
    """``POST images/variations``: the fields beside the file."""

    n = Whole(least=1, most=MOST_PICTURES)
    size = Text()
    response_format = Text(choices=("url", "b64_json"))
    user = Text()


class ImageBody(ImageVariationBody):
    """``POST images/generations``."""

    prompt = Text(required=True, longest=32_000)
    quality = Text(longest=32)
    background = Text(choices=("transparent", "opaque", "auto"))
    output_format = Text(choices=("png", "webp", "jpeg", "gif", "svg"))
    output_compression = Whole(least=0, most=100)
    moderation = Text(longest=32)
    style = Text(longest=32)
    partial_images = Whole(least=0, most=3)
    stream = Flag()


class ImageEditBody(ImageBody):
    """``POST images/edits``: the fields beside the files."""

    input_fidelity = Text(longest=32)
