"""A JSON body, read and checked as the matched route says."""

from __future__ import annotations

from functools import partial
from typing import Any

from flask import request

from app.surfaces.body.reading import json_body, size_of
from app.surfaces.body.schemas import check
from app.surfaces.calls import current_gateway
from app.surfaces.claims import claim_json
from app.surfaces.rules import current_rule
from app.wire.aside import aside


def checked_body() -> dict[str, Any]:
    """Return the request's JSON body, checked by the schema of the matched route."""
    route = current_rule().route
    settings = current_gateway().settings
    body = json_body(
        request,
        limit=settings.max_body_bytes,
        deadline=settings.body_deadline,
        optional=route.optional_body,
    )
    check_shape(body, size_of(request))
    claim_json(current_gateway(), body, size_of(request))
    return body


def check_shape(body: dict[str, Any], size: int) -> None:
    """Check a body of ``size`` bytes by the schema of the matched route; raises ``bad_request``."""
    route, mount = current_rule().route, current_rule().mount
    chat_shaped = mount is not None and mount.chat_shaped
    place = route.chat_body if chat_shaped and route.chat_body else route.body
    if place is not None:
        aside(size, partial(check, place, body))
