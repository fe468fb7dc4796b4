"""Streams of pictures as OpenAI sends them: parts on the way, then each picture whole.

Events: ``image_generation.partial_image`` and ``image_generation.completed``, of edits ``image_edit.…``
(``ImageGenStreamEvent`` and ``ImageEditStreamEvent`` of openai-python 3.51). Nothing comes after the last
picture: it ends the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from app.canonical.events import Failed
from app.canonical.images import ImageEvent, ImageRequest, Picture, PictureDone, PicturePart
from app.canonical.response import Usage
from app.dialects.base import Frame
from app.dialects.chat.errors import failure_in
from app.dialects.media.audio import error_frames
from app.dialects.media.image_usage import decode_image_usage, encode_image_usage, untold_usage
from app.dialects.media.images import no_picture
from app.dialects.shared.lenient_json import as_dict, as_str, count, opt_str, rest
from app.errors import GatewayError

_OWN: Final = frozenset(
    {"type", "b64_json", "url", "partial_image_index", "usage", "created", "revised_prompt"}
)
_DEFAULTS: Final[Mapping[str, str]] = {"background": "auto", "output_format": "png", "quality": "auto"}


class ImageDecoder:
    """Frames to events. The picture that was asked for last ends it, so that the usage is known by then."""

    def __init__(self, request: ImageRequest, picture_of: Callable[[Mapping[str, Any]], Picture]) -> None:
        self._request = request
        self._picture_of = picture_of
        self._usages: list[Usage] = []
        self._made = 0
        self._ended = False

    def feed(self, event: str | None, data: Any) -> list[ImageEvent]:
        """Take one frame; what is no picture and no error says nothing."""
        members = as_dict(data)
        kind = as_str(members.get("type"), event or "")
        if kind.endswith(".partial_image") and (part := opt_str(members.get("b64_json"))):
            return [PicturePart(part, count(members.get("partial_image_index")) or 0, rest(members, _OWN))]
        if kind.endswith(".completed"):
            return [self._completed(members)]
        failure = failure_in(data)
        return self._fail(failure) if failure is not None else []

    def done(self) -> list[ImageEvent]:
        """Take ``[DONE]``, which OpenAI does not send."""
        return self.eof()

    def eof(self) -> list[ImageEvent]:
        """Return what ends a stream that brought less than was asked for: its pictures count."""
        if self._ended:
            return []
        if self._made:
            self._ended = True
            return [PictureDone(Picture(), usage=self._usage(), last=True)]
        error = GatewayError("upstream_cut", "The provider ended the stream without a picture.")
        return self._fail(error)

    def _completed(self, members: Mapping[str, Any]) -> ImageEvent:
        picture = self._picture_of(members)
        if not (picture.data or picture.url):
            return self._fail(no_picture(rest(members, _OWN)))[0]
        self._made += 1
        usage = decode_image_usage(members.get("usage"), authored=members.get("svg_usage"))
        self._usages += [usage] if usage is not None else []
        self._ended = self._made >= self._request.count
        total = self._usage() if self._ended else usage
        return PictureDone(picture, rest(members, _OWN), total, last=self._ended)

    def _usage(self) -> Usage:
        """Return what all pictures came to together."""
        if len(self._usages) < self._made or not self._usages:
            return untold_usage(self._request, self._made)
        return self._usages[0] if len(self._usages) == 1 else _sum(self._usages)

    def _fail(self, error: GatewayError) -> list[ImageEvent]:
        self._ended = True
        return [Failed(error)]


def _sum(usages: list[Usage]) -> Usage:
    details: dict[str, int] = {}
    for usage in usages:
        for name, tokens in usage.details.items():
            details[name] = details.get(name, 0) + tokens
    costs = [usage.cost["total_cost"] for usage in usages if usage.cost is not None]
    return Usage(
        input_tokens=sum(usage.input_tokens for usage in usages),
        output_tokens=sum(usage.output_tokens for usage in usages),
        total_tokens=sum(usage.total for usage in usages),
        details=details,
        cost={"total_cost": sum(costs)} if len(costs) == len(usages) else None,
    )


class ImageFrames:
    """Events to OpenAI's frames, each named by its type."""

    def __init__(
        self, request: ImageRequest, now: int, encode_picture: Callable[[Picture], dict[str, Any]]
    ) -> None:
        self._request = request
        self._now = now
        self._encode_picture = encode_picture
        self._kind = "image_edit" if request.kind == "edit" else "image_generation"

    def feed(self, event: ImageEvent) -> list[Frame]:
        """Return the frames that ``event`` makes."""
        if isinstance(event, Failed):
            return error_frames(event.error)
        if isinstance(event, PicturePart):
            part = {"b64_json": event.data, "partial_image_index": event.index}
            return [self._frame("partial_image", part, event.members)]
        if event.picture == Picture():
            return []
        usage = {} if event.usage is None else {"usage": encode_image_usage(event.usage)}
        return [self._frame("completed", self._encode_picture(event.picture), event.members, usage)]

    def _frame(
        self,
        name: str,
        picture: Mapping[str, Any],
        members: Mapping[str, Any],
        usage: Mapping[str, Any] | None = None,
    ) -> Frame:
        kind = f"{self._kind}.{name}"
        data = {"created_at": self._now, **self._requested_members(), **members}
        return Frame(kind, {"type": kind, **picture, **data, **(usage or {})})

    def _requested_members(self) -> dict[str, str]:
        """Return what the request says of its pictures, for wires that do not say it again."""
        settings = {name: getattr(self._request, name) or value for name, value in _DEFAULTS.items()}
        return {**settings, "size": self._request.size or "auto"}
