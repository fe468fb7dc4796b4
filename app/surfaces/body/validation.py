"""Read a JSON body and validate it by the schema of the matched route."""

from __future__ import annotations

from functools import partial
from typing import Any

from app.surfaces.body.reader import json_body, size_of
from app.surfaces.body.schemas import schema
from app.surfaces.calls import current_gateway
from app.surfaces.context import request_context
from app.surfaces.idempotency import claim_json
from app.surfaces.rules import SurfaceRule, current_rule
from app.wire.offload import aside


def read_body() -> dict[str, Any]:
    """Return the request's JSON body, validated by the schema of the matched route."""
    request, rule, gateway = request_context().request, current_rule(), current_gateway()
    settings = gateway.settings
    body = json_body(
        request,
        limit=settings.max_body_bytes,
        deadline=settings.body_deadline,
        optional=rule.route.optional_body,
    )
    size = size_of(request)
    check_shape(rule, body, size)
    claim_json(gateway, body, size)
    return body


def check_shape(rule: SurfaceRule, body: dict[str, Any], size: int) -> None:
    """Validate a body of ``size`` bytes by the schema of a route; raise ``bad_request``."""
    if rule.body is not None:
        aside(size, partial(schema(rule.body).check, body))
