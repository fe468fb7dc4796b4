"""The view of ``/admin/cache``."""

from __future__ import annotations

from flask import Response, request

from app.errors import GatewayError
from app.state.cache_records import CacheFilter
from app.surfaces.admin import requests
from app.surfaces.replies.answers import json_response


def clear() -> Response:
    """Delete the cached answers that match all filters, or all answers."""
    filters = request.args.to_dict()
    for name, value in filters.items():
        if not value:  # it would match more than intended
            raise GatewayError(
                "bad_request",
                f"Invalid '{name}': expected one value that is not empty.",
                param=name,
                code="invalid_value",
            )
    count = requests.gateway().cache_store.clear(requests.actor(), CacheFilter(**filters))
    return json_response(
        {"id": filters.get("id"), "object": "cache.deleted", "deleted": True, "entries": count}
    )
