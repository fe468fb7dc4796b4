"""OpenAI's images, server and client half: generations are JSON, edits and variations are forms.

Azure has the same format. OpenRouter has a path of its own, where images to edit are references in JSON.
Sources: ``ImageGenerateParams``, ``ImageEditParams``, ``ImageCreateVariationParams`` and ``ImagesResponse`` of
openai-python 3.51, ``ImageGenerationRequest`` of openrouter.

A stream has partial images, then each complete image; the last ends it. Its events are
``image_generation.partial_image`` and ``image_generation.completed``, of edits ``image_edit.…``
(``ImageGenStreamEvent`` and ``ImageEditStreamEvent``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from app.canonical.events import Failed
from app.canonical.images import (
    ImageEvent,
    ImageKind,
    ImageRequest,
    ImageResponse,
    Picture,
    PictureDone,
    PicturePart,
)
from app.canonical.media import Upload
from app.canonical.record import record
from app.canonical.request import Origin
from app.canonical.response import Usage
from app.dialects.base import ClientContext, Frame, ServerContext
from app.dialects.chat.errors import decode_error, failure_in
from app.dialects.media.audio import Framing, MediaDecoder, MediaRequest, cut_stream, error_frames
from app.dialects.media.base import sum_usages
from app.dialects.media.images import (
    MEMBERS,
    Files,
    ImageDialect,
    images_in,
    mask_in,
    no_picture,
    refuse_mask,
    report_url,
    validate_size,
)
from app.dialects.media.multipart import Form
from app.dialects.media.usage import (
    complete_image_usage,
    decode_image_usage,
    encode_image_usage,
    estimate_image_usage,
)
from app.dialects.shared.lenient_json import (
    as_dict,
    as_str,
    count,
    data_url,
    dicts,
    encode_base64,
    opt_str,
    rest,
    without_nulls,
)
from app.dialects.shared.strict_json import ClientObject, invalid
from app.dialects.shared.unmapped_members import known_extras

NAME: Final = "images"

_CANONICAL: Final = frozenset({"model", "prompt", "stream", "fallbacks", "image", "mask", *MEMBERS.values()})
_CANONICAL_RESPONSE: Final = frozenset({"data", "created", "usage"})


@record
class ImageOptions:
    """Quirks of one provider.

    ``members``: the supported fields of an image request. ``own``: its own members, None for any.
    ``base64_only``: pattern of models that always answer in base64 and refuse ``response_format``.
    ``references``: images to edit are sent in JSON.
    """

    members: frozenset[str] = frozenset(MEMBERS)
    own: frozenset[str] | None = None
    base64_only: str = r"gpt-image"
    references: bool = False


OPENROUTER: Final = ImageOptions(
    members=frozenset(MEMBERS) - {"form", "partial_images"},
    own=frozenset({"aspect_ratio", "resolution", "provider", "seed", "session_id", "trace"}),
    base64_only=r"",
    references=True,
)


def decode_request(
    kind: ImageKind, body: Mapping[str, Any], files: Files, context: ServerContext
) -> ImageRequest:
    """Return the canonical request of a body or form; raises ``bad_request`` with the path of a wrong member."""
    members = ClientObject(body)
    prompt = "" if kind == "variation" else members.required_text("prompt")
    if kind != "variation" and not prompt.strip():
        raise invalid("prompt", "it cannot be empty.")
    return ImageRequest(
        model=members.text("model") or context.model or "",
        kind=kind,
        prompt=prompt,
        n=members.integer("n"),
        size=validate_size(members.text("size")),
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
        extra=without_nulls(rest(body, _CANONICAL)),
        origin=Origin(NAME, body),
    )


def encode_request(request: ImageRequest, context: ClientContext) -> MediaRequest:
    """Return the JSON body or the form; what the provider does not support is reported."""
    options = context.options_as(ImageOptions)
    own = request.extra if options.own is None else options.own
    streams = request.stream and request.kind != "variation"
    body = {
        "model": context.model,
        **({} if request.kind == "variation" else {"prompt": request.prompt}),
        **_members(request, options, context),
        **known_extras(request.extra, own, context.losses),
        **({"stream": True} if streams else {}),
    }
    framing: Framing = "sse" if streams else "json"
    if request.kind == "generation":
        return MediaRequest(body, framing=framing)
    if options.references:
        refuse_mask(request, context)
        return MediaRequest({**body, "input_references": _references(request)}, framing=framing)
    return MediaRequest(form=Form(_fields(body), files=_files(request)), framing=framing)


def _members(request: ImageRequest, options: ImageOptions, context: ClientContext) -> dict[str, Any]:
    """Return the fields that the provider supports; other fields are reported."""
    members: dict[str, Any] = {}
    for name, member in MEMBERS.items():
        value = getattr(request, name)
        if value is not None and name == "form" and re.search(options.base64_only, context.model):
            report_url(request, context)
        elif value is not None and name in options.members:
            members[member] = value
        elif value is not None:
            context.losses.report(member)
    return members


def _fields(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the fields of a form; a list is a field for each of its values."""
    lists = {name: value if isinstance(value, list) else [value] for name, value in body.items()}
    pairs = ((name, value) for name, values in lists.items() for value in values)
    return [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in pairs]


def _files(request: ImageRequest) -> list[tuple[str, Upload]]:
    name = "image" if len(request.images) == 1 else "image[]"
    files = [(name, image) for image in request.images]
    return files if request.mask is None else [*files, ("mask", request.mask)]


def _references(request: ImageRequest) -> list[dict[str, Any]]:
    return [
        {"type": "image_url", "image_url": {"url": data_url(image.media_type, encode_base64(image.data))}}
        for image in request.images
    ]


def decode_response(body: Any, request: ImageRequest, context: ClientContext) -> ImageResponse:
    """Return the images of a response.

    Raises the error that a response of status 200 holds, and ``upstream_invalid`` without an image.
    """
    if (failure := failure_in(body)) is not None:
        raise failure
    members = as_dict(body)
    pictures = tuple(map(decode_picture, dicts(members.get("data"))))
    if not pictures or not all(one.data or one.url for one in pictures):
        raise no_picture(rest(members, frozenset({"data"})))
    usage = decode_image_usage(members.get("usage"), svg=members.get("svg_usage"))
    return ImageResponse(
        pictures,
        count(members.get("created")),
        complete_image_usage(usage, request, len(pictures)),
        without_nulls(rest(members, _CANONICAL_RESPONSE)),
    )


def decode_picture(entry: Mapping[str, Any]) -> Picture:
    """Return one image of a response or an event."""
    return Picture(*(opt_str(entry.get(name)) for name in ("b64_json", "url", "revised_prompt")))


def encode_response(response: ImageResponse, request: ImageRequest, context: ServerContext) -> dict[str, Any]:
    """Return OpenAI's object."""
    usage = response.usage or estimate_image_usage(request, len(response.pictures))
    return {
        "created": context.now if response.created is None else response.created,
        "data": [encode_picture(one) for one in response.pictures],
        **response.members,
        "usage": encode_image_usage(usage),
    }


def encode_picture(picture: Picture) -> dict[str, Any]:
    """Return the members of one image that are known."""
    members = {"b64_json": picture.data, "url": picture.url, "revised_prompt": picture.revised_prompt}
    return without_nulls(members)


_OWN: Final = frozenset(
    {"type", "b64_json", "url", "partial_image_index", "usage", "created", "revised_prompt"}
)
_DEFAULTS: Final[Mapping[str, str]] = {"background": "auto", "output_format": "png", "quality": "auto"}


class ImageDecoder(MediaDecoder[ImageEvent]):
    """Decode the frames of one stream. The last requested image ends it, with the usage of all."""

    def __init__(self, request: ImageRequest, decode_picture: Callable[[Mapping[str, Any]], Picture]) -> None:
        super().__init__()
        self._request = request
        self._decode_picture = decode_picture
        self._usages: list[Usage] = []
        self._images = 0

    def _decode(self, event: str | None, data: Any) -> list[ImageEvent]:
        members = as_dict(data)
        kind = as_str(members.get("type"), event or "")
        if kind.endswith(".partial_image") and (part := opt_str(members.get("b64_json"))):
            return [PicturePart(part, count(members.get("partial_image_index")) or 0, rest(members, _OWN))]
        if kind.endswith(".completed"):
            return self._complete(members)
        failure = failure_in(data)
        return self._end(Failed(failure)) if failure is not None else []

    def _finish(self) -> list[ImageEvent]:
        if not self._images:
            return [cut_stream("The provider ended the stream without an image.")]
        return [PictureDone(Picture(), usage=self._usage(), last=True)]

    def _complete(self, members: Mapping[str, Any]) -> list[ImageEvent]:
        picture = self._decode_picture(members)
        if not (picture.data or picture.url):
            return self._end(Failed(no_picture(rest(members, _OWN))))
        self._images += 1
        usage = decode_image_usage(members.get("usage"), svg=members.get("svg_usage"))
        if usage is not None:
            usage = complete_image_usage(usage, self._request, 1)
            self._usages.append(usage)
        self._over = self._images >= self._request.count
        total = self._usage() if self._over else usage
        return [PictureDone(picture, rest(members, _OWN), total, last=self._over)]

    def _usage(self) -> Usage:
        """Return the usage of all images together."""
        if len(self._usages) < self._images or not self._usages:
            return estimate_image_usage(self._request, self._images)
        return self._usages[0] if len(self._usages) == 1 else sum_usages(self._usages)


class ImageFrames:
    """Encode events as OpenAI's frames, which are named by their type."""

    def __init__(
        self, request: ImageRequest, now: int, encode_picture: Callable[[Picture], dict[str, Any]]
    ) -> None:
        self._request = request
        self._now = now
        self._encode_picture = encode_picture
        self._kind = "image_edit" if request.kind == "edit" else "image_generation"

    def feed(self, event: ImageEvent) -> list[Frame]:
        """Return the frames of ``event``, none for the end of a stream without a new image."""
        if isinstance(event, Failed):
            return error_frames(event.error)
        if isinstance(event, PicturePart):
            image = {"b64_json": event.data, "partial_image_index": event.index}
            return [self._frame("partial_image", image, event.members)]
        if event.picture == Picture():
            return []
        usage = {} if event.usage is None else {"usage": encode_image_usage(event.usage)}
        return [self._frame("completed", self._encode_picture(event.picture), {**event.members, **usage})]

    def _frame(self, name: str, image: Mapping[str, Any], members: Mapping[str, Any]) -> Frame:
        kind = f"{self._kind}.{name}"
        settings = {"created_at": self._now, **self._settings()}
        return Frame(kind, {"type": kind, **image, **settings, **members})

    def _settings(self) -> dict[str, str]:
        """Return the settings of the request, for providers whose events do not repeat them."""
        settings = {name: getattr(self._request, name) or value for name, value in _DEFAULTS.items()}
        return {**settings, "size": self._request.size or "auto"}


def stream_decoder(request: ImageRequest, context: ClientContext) -> ImageDecoder:
    """Return a decoder for one stream."""
    return ImageDecoder(request, decode_picture)


DIALECT: Final = ImageDialect(
    name=NAME,
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=stream_decoder,
    decode_error=decode_error,
    decode_request=decode_request,
    encode_response=encode_response,
    stream_encoder=lambda request, context: ImageFrames(request, context.now, encode_picture),
)
