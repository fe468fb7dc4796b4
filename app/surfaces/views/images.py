"""The views of image operations: generations take JSON, edits and variations take forms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from flask import Response

from app.canonical.images import ImageKind
from app.dialects import dialect_of
from app.dialects.media.audio import error_frames
from app.dialects.media.images import MAX_IMAGES, Files, ImageDialect
from app.gateway.translation import server_context
from app.surfaces.body.forms import read_files, to_members
from app.surfaces.body.validation import check_shape, read_body
from app.surfaces.calls import current_gateway, make_call
from app.surfaces.mounts import Mount
from app.surfaces.replies.runs import answer_call
from app.surfaces.rules import current_rule

_WHOLE: Final = frozenset({"n", "output_compression", "partial_images"})
_FLAGS: Final[Mapping[str, bool]] = {"true": True, "false": False}


def image_generation(mount: Mount, deployment: str | None = None) -> Response:
    """Create images."""
    return _answer(mount, deployment, "generation", read_body(), ())


def image_edit(mount: Mount, deployment: str | None = None) -> Response:
    """Edit images: a multipart form with ``image`` files, perhaps a ``mask``."""
    return _answer_form(mount, deployment, "edit")


def image_variation(mount: Mount, deployment: str | None = None) -> Response:
    """Vary an image: a multipart form with one ``image``."""
    return _answer_form(mount, deployment, "variation")


def _answer_form(mount: Mount, deployment: str | None, kind: ImageKind) -> Response:
    settings = current_gateway().settings
    fields, files = read_files(settings.max_upload_bytes, settings.body_deadline, most=2 * MAX_IMAGES)
    body = {name: _value(name, value) for name, value in to_members(fields).items()}
    check_shape(current_rule(), body, 0)
    return _answer(mount, deployment, kind, body, files)


def _value(name: str, value: Any) -> Any:
    """Return the JSON value of a form's field; invalid numbers and flags stay text, which the schema refuses."""
    if name in _WHOLE and isinstance(value, str) and value.isdecimal() and len(value) < 10:
        return int(value)
    return _FLAGS.get(str(value).lower(), value) if name == "stream" else value


def _answer(
    mount: Mount, deployment: str | None, kind: ImageKind, body: dict[str, Any], files: Files
) -> Response:
    """Answer a body. The call's ``image`` has an entry for each file, so that estimates count its tokens."""
    images = {"image": [{"type": "image"}] * len(files)} if files else {}
    stream = body.get("stream") is True and kind != "variation"
    call = make_call(mount, {**body, **images}, deployment=deployment, stream=stream)
    decode = dialect_of(ImageDialect, call.dialect).decode_request
    call = replace(call, request=decode(kind, call.body, files, server_context(call, call.model)))
    return answer_call(mount, call, fail=error_frames)
