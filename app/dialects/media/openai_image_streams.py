"""Decode and encode OpenAI's streams of images: partial images, then each complete image.

Events are ``image_generation.partial_image`` and ``image_generation.completed``, of edits ``image_edit.…``
(``ImageGenStreamEvent`` and ``ImageEditStreamEvent`` of openai-python 3.51). The last image ends the
stream.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from app.canonical.events import Failed
from app.canonical.images import ImageEvent, ImageRequest, Picture, PictureDone, PicturePart
from app.canonical.response import Usage
from app.dialects.base import Frame
from app.dialects.chat.errors import failure_in
from app.dialects.media.audio import MediaDecoder, cut_stream, error_frames
from app.dialects.media.image_usage import decode_image_usage, encode_image_usage, estimate_image_usage
from app.dialects.media.images import no_picture
from app.dialects.shared.lenient_json import as_dict, as_str, count, opt_str, rest

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
            return self._completed(members)
        failure = failure_in(data)
        return self._end(Failed(failure)) if failure is not None else []

    def _finish(self) -> list[ImageEvent]:
        if not self._images:
            return [cut_stream("The provider ended the stream without an image.")]
        return [PictureDone(Picture(), usage=self._usage(), last=True)]

    def _completed(self, members: Mapping[str, Any]) -> list[ImageEvent]:
        picture = self._decode_picture(members)
        if not (picture.data or picture.url):
            return self._end(Failed(no_picture(rest(members, _OWN))))
        self._images += 1
        usage = decode_image_usage(members.get("usage"), svg=members.get("svg_usage"))
        self._usages += [usage] if usage is not None else []
        self._over = self._images >= self._request.count
        total = self._usage() if self._over else usage
        return [PictureDone(picture, rest(members, _OWN), total, last=self._over)]

    def _usage(self) -> Usage:
        """Return the usage of all images together."""
        if len(self._usages) < self._images or not self._usages:
            return estimate_image_usage(self._request, self._images)
        return self._usages[0] if len(self._usages) == 1 else _sum(self._usages)


def _sum(usages: list[Usage]) -> Usage:
    details: Counter[str] = Counter()
    for usage in usages:
        details.update(usage.details)
    costs = [usage.cost["total_cost"] for usage in usages if usage.cost is not None]
    return Usage(
        input_tokens=sum(usage.input_tokens for usage in usages),
        output_tokens=sum(usage.output_tokens for usage in usages),
        total_tokens=sum(usage.total for usage in usages),
        details=dict(details),
        cost={"total_cost": sum(costs)} if len(costs) == len(usages) else None,
    )


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
