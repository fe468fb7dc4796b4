"""Flask blueprints, one for each mount, made from the mount's row and one table of routes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from flask import Blueprint, Response

from app.surfaces import generation
from app.surfaces.mounts import MOUNTS, Mount

View = Callable[..., Response]

_ROUTES: Final[tuple[tuple[str, str, str, View], ...]] = (
    ("POST", "/responses", "responses", generation.responses),
    ("POST", "/chat/completions", "chat", generation.chat),
)
"""Method, path below a prefix, endpoint name, view."""


def make_blueprint(mount: Mount) -> Blueprint:
    """Return the blueprint that serves ``mount`` at all its prefixes."""
    blueprint = Blueprint(mount.name, __name__)
    for number, prefix in enumerate(mount.prefixes):
        for method, path, name, view in _ROUTES:
            blueprint.add_url_rule(
                prefix + path,
                endpoint=f"{name}_{number}_{method.lower()}",
                view_func=_bound(view, mount),
                methods=[method],
                provide_automatic_options=False,
            )
    return blueprint


def _bound(view: View, mount: Mount) -> Callable[..., Any]:
    return partial(view, mount)


def blueprints() -> list[Blueprint]:
    """Return the blueprints of all mounts."""
    return [make_blueprint(mount) for mount in MOUNTS]
