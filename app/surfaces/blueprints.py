"""Flask blueprints, one for each mount, built from the mount's row and the routes of its operations.

A view is imported at the first request of its rule, since most gateways use few surfaces.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from flask import Blueprint, current_app

from app.operations import OPERATIONS, Route, resolve
from app.surfaces.context import request_context
from app.surfaces.mounts import MOUNTS, Mount

_KEY: Final = Route("GET", "/v1/key", "views.key.retrieve", "Key")


def make_blueprint(mount: Mount) -> Blueprint:
    """Return the blueprint that serves ``mount`` at all its prefixes, and at the root if it stands there."""
    blueprint = Blueprint(mount.name, __name__)
    rows = [(OPERATIONS[name], route) for name, routes in mount.operations.items() for route in routes]
    for number, prefix in enumerate((*mount.prefixes, "") if mount.at_root else mount.prefixes):
        for operation, route in rows:
            name = f"{'_'.join(route.view.split('.')[-2:])}_{number}"
            view = _view_at(route.view, mount)
            _add_rule(blueprint, prefix, name, view, route, mount, operation=operation)
    return blueprint


def _add_rule(
    blueprint: Blueprint,
    prefix: str,
    name: str,
    view: Callable[..., Any],
    route: Route,
    mount: Mount,
    **options: Any,
) -> None:
    blueprint.add_url_rule(
        prefix + route.path,
        name,
        view,
        methods=[route.method],
        provide_automatic_options=False,
        websocket=route.upgrades,
        route=route,
        mount=mount,
        credentials=mount.credentials,
        **options,
    )


def _view_at(place: str, *arguments_before: Any) -> Callable[..., Any]:
    """Return a view that imports the view at ``place`` for its first request, and then replaces itself by that."""

    def first(**arguments: Any) -> Any:
        view = partial(resolve("surfaces", place), *arguments_before)
        current_app.view_functions[str(request_context().request.endpoint)] = view
        return view(**arguments)

    return first


def make_key_blueprint() -> Blueprint:
    """Return the blueprint of ``GET /v1/key``, which every key may use, whatever its operations."""
    blueprint = Blueprint("key", __name__)
    mount = next(mount for mount in MOUNTS if _KEY.path.startswith(mount.prefixes[0] + "/"))
    _add_rule(blueprint, "", "own", _view_at(_KEY.view), _KEY, mount)
    return blueprint


def blueprints() -> list[Blueprint]:
    """Return the blueprints of all mounts, and that of ``GET /v1/key``."""
    return [*map(make_blueprint, MOUNTS), make_key_blueprint()]
