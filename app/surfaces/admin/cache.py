"""The view of ``/admin/cache``."""

from __future__ import annotations

from flask import Response, request

from app.errors import GatewayError
from app.state.cache_records import Choice
from app.surfaces.admin import requests
from app.surfaces.replies.answers import json_response


def clear() -> Response:
    """Delete the cached answers that match all filters, or all answers."""
    chosen = {name: _value(name) for name in request.args}
    entries = requests.gateway().cache_store.clear(requests.actor(), Choice(**chosen))
    return json_response(
        {"id": chosen.get("id"), "object": "cache.deleted", "deleted": True, "entries": entries}
    )


def _value(name: str) -> str:
    """Return a filter; raise ``bad_request`` for an empty one, which would match more than intended."""
    text = request.args[name]
    if not text:
        raise GatewayError(
            "bad_request",
            f"Invalid '{name}': expected one value that is not empty.",
            param=name,
            code="invalid_value",
        )
    return text
