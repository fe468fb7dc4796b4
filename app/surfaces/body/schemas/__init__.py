"""The schemas of request bodies, by the places that the rows of operations name; each is built once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from app.operations import resolve
from app.surfaces.body.schemas.base import Body
from app.surfaces.mounts import MOUNTS


@cache
def schema(place: str) -> Body:
    """Return the schema at ``place``, a path below ``app.surfaces``."""
    body: Body = resolve("surfaces", place)()
    return body


def check(place: str, body: Mapping[str, Any]) -> None:
    """Raise GatewayError ``bad_request`` if ``body`` does not match the schema at ``place``."""
    schema(place).check(body)


def schemas() -> dict[str, Body]:
    """Return the schemas of all routes by class name."""
    routes = [route for mount in MOUNTS for served in mount.operations.values() for route in served]
    places = [place for route in routes for place in (route.body, route.chat_body) if place is not None]
    return {type(body).__name__: body for body in map(schema, places)}
