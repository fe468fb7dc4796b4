"""Schemas of request bodies, built once, by the names in the rows of operations."""

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
    made: Body = resolve("surfaces", place)()
    return made


def check(place: str, body: Mapping[str, Any]) -> None:
    """Raise GatewayError ``bad_request`` if ``body`` does not match the schema at ``place``."""
    schema(place).refuse(body)


def schemas() -> dict[str, Body]:
    """Return the schemas of all doors' operations by name."""
    routes = [route for mount in MOUNTS for served in mount.operations.values() for route in served]
    places = [place for route in routes for place in (route.body, route.chat_body) if place is not None]
    return {type(made).__name__: made for made in map(schema, places)}
