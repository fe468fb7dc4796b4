"""OpenAI's pictures, both halves: generations as JSON, edits and variations as forms.

Azure speaks it; OpenRouter takes the members of generations at a path of its own, and pictures to edit as
references in JSON. Members: ``ImageGenerateParams``, ``ImageEditParams``, ``ImageCreateVariationParams`` and
``ImagesResponse`` of openai-python 3.51; ``ImageGenerationRequest`` of openrouter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from app.canonical.images import ImageKind, ImageRequest, ImageResponse, Picture
from app.canonical.media import Upload
from app.canonical.record import record
from app.canonical.request import Origin
from app.dialects.base import ClientContext, ServerContext
from app.dialects.chat.errors import decode_error, failure_in
from app.dialects.media.audio import MediaRequest
from app.dialects.media.image_usage import decode_image_usage, encode_image_usage, untold_usage
from app.dialects.media.images import (
    MEMBERS,
    Files,
    ImageDialect,
    base64_of,
    checked_size,
    images_in,
    mask_in,
    no_picture,
    report_coded,
)
from app.dialects.media.multipart import Form
from app.dialects.media.openai_image_streams import ImageDecoder, ImageFrames
from app.dialects.shared.lenient_json import as_dict, count, data_url, dicts, opt_str, rest
from app.dialects.shared.strict_json import ClientObject
from app.errors import GatewayError

NAME: Final = "images"

_KNOWN: Final = frozenset({"model", "prompt", "stream", "fallbacks", "image", "mask", *MEMBERS.values()})
_SAID: Final = ("background", "output_format", "quality", "size")
_EXTRA: Final = frozenset({"data", "created", "usage", *_SAID})


@record
class ImageOptions:
    """Quirks of one wire.

    ``members`` it knows of ours, and ``own`` beyond them, None for any. ``coded``: pattern of models that
    always answer in base64 and refuse to be told so. ``references``: pictures to edit go in JSON.
    """

    members: frozenset[str] = frozenset(MEMBERS)
    own: frozenset[str] | None = None
    coded: str = r"gpt-image"
    references: bool = False


OPENROUTER: Final = ImageOptions(
    members=frozenset(MEMBERS) - {"form", "partial_images"},
    own=frozenset({"aspect_ratio", "resolution", "provider", "seed", "session_id", "trace"}),
    coded=r"",
    references=True,
)


def decode_request(
    kind: ImageKind, body: Mapping[str, Any], files: Files, context: ServerContext
) -> ImageRequest:
    """Read a client's body or form; raises ``bad_request`` naming the member that is wrong."""
    members = ClientObject(body)
    prompt = "" if kind == "variation" else members.required_text("prompt")
    if kind != "variation" and not prompt.strip():
        raise GatewayError(
            "bad_request", "Invalid 'prompt': it cannot be empty.", param="prompt", code="invalid_value"
        )
    return ImageRequest(
        model=members.text("model") or context.model or "",
        kind=kind,
        prompt=prompt,
        n=members.integer("n"),
        size=checked_size(members.text("size")),
        quality=members.text("quality"),
        background=members.text("background"),
        output_format=members.text("output_format"),
        compression=members.integer("output_compression"),
        form=members.text("response_format"),
        partial_images=members.integer("partial_images"),
        stream=members.flag("stream") is True,
        user=members.text("user"),
        images=() if kind == "generation" else images_in(files),
        mask=mask_in(files) if kind == "edit" else None,
        extra={name: value for name, value in rest(body, _KNOWN).items() if value is not None},
        origin=Origin(NAME, body),
    )


def encode_request(request: ImageRequest, context: ClientContext) -> MediaRequest:
    """Return the body or the form; what the wire lacks is reported."""
    options = context.options if isinstance(context.options, ImageOptions) else ImageOptions()
    body: dict[str, Any] = {"model": context.model}
    if request.kind != "variation":
        body["prompt"] = request.prompt
    body |= _request_members(request, options, context) | _extra(request, options, context)
    framing: Any = "json"
    if request.stream and request.kind != "variation":
        body["stream"] = True
        framing = "sse"
    if request.kind == "generation":
        return MediaRequest(body, framing=framing)
    if options.references:
        return MediaRequest({**body, "input_references": _references(request, context)}, framing=framing)
    return MediaRequest(form=Form(list(_fields(body)), files=_files(request)), framing=framing)


def _request_members(request: ImageRequest, options: ImageOptions, context: ClientContext) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, member in MEMBERS.items():
        value = getattr(request, name)
        if value is None:
            continue
        if name == "form" and options.coded is not None and re.search(options.coded, context.model):
            report_coded(value, context)
        elif name in options.members:
            found[member] = value
        else:
            context.losses.report(member)
    return found


def _extra(request: ImageRequest, options: ImageOptions, context: ClientContext) -> dict[str, Any]:
    found = {}
    for name, value in request.extra.items():
        if options.own is None or name in options.own:
            found[name] = value
        else:
            context.losses.report("extra", param=name)
    return found


def _fields(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    fields: list[tuple[str, str]] = []
    for name, value in body.items():
        values = value if isinstance(value, list) else [value]
        fields += [(name, one if isinstance(one, str) else json.dumps(one)) for one in values]
    return fields


def _files(request: ImageRequest) -> list[tuple[str, Upload]]:
    name = "image" if len(request.images) == 1 else "image[]"
    files = [(name, image) for image in request.images]
    return files if request.mask is None else [*files, ("mask", request.mask)]


def _references(request: ImageRequest, context: ClientContext) -> list[dict[str, Any]]:
    if request.mask is not None:
        context.losses.report("image", "A mask cannot be given to this model", param="mask")
    return [
        {"type": "image_url", "image_url": {"url": data_url(image.media_type, base64_of(image))}}
        for image in request.images
    ]


def decode_response(body: Any, request: ImageRequest, context: ClientContext) -> ImageResponse:
    """Read whole pictures; raises the error that a 200 holds, and ``upstream_invalid`` without a picture."""
    failure = failure_in(body)
    if failure is not None:
        raise failure
    members = as_dict(body)
    pictures = tuple(picture_of(entry) for entry in dicts(members.get("data")))
    if not pictures or not all(one.data or one.url for one in pictures):
        raise no_picture(rest(members, frozenset({"data"})))
    usage = decode_image_usage(members.get("usage"), authored=members.get("svg_usage"))
    return ImageResponse(
        pictures,
        count(members.get("created")),
        usage or untold_usage(request, len(pictures)),
        {name: value for name, value in rest(members, _EXTRA - set(_SAID)).items() if value is not None},
    )


def picture_of(entry: Mapping[str, Any]) -> Picture:
    """Return one picture of an answer or an event."""
    return Picture(
        opt_str(entry.get("b64_json")), opt_str(entry.get("url")), opt_str(entry.get("revised_prompt"))
    )


def encode_response(response: ImageResponse, request: ImageRequest, context: ServerContext) -> dict[str, Any]:
    """Return OpenAI's object."""
    usage = response.usage or untold_usage(request, len(response.pictures))
    return {
        "created": context.now if response.created is None else response.created,
        "data": [encode_picture(one) for one in response.pictures],
        **response.members,
        "usage": encode_image_usage(usage),
    }


def encode_picture(picture: Picture) -> dict[str, Any]:
    """Return the members of one picture that it has."""
    members = {"b64_json": picture.data, "url": picture.url, "revised_prompt": picture.revised_prompt}
    return {name: value for name, value in members.items() if value is not None}


def stream_decoder(request: ImageRequest, context: ClientContext) -> ImageDecoder:
    """Return a decoder for one stream."""
    return ImageDecoder(request, picture_of)


def stream_encoder(request: ImageRequest, context: ServerContext) -> ImageFrames:
    """Return an encoder for one stream."""
    return ImageFrames(request, context.now, encode_picture)


DIALECT: Final = ImageDialect(
    name=NAME,
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=stream_decoder,
    decode_error=decode_error,
    decode_request=decode_request,
    encode_response=encode_response,
    stream_encoder=stream_encoder,
)
