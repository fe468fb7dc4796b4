"""Flask blueprints, one for each mount, made from the mount's row and the routes of its operations.

A view is loaded when its rule is first asked for: most gateways serve few of the doors.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from flask import Blueprint, current_app

from app.operations import OPERATIONS, Operation, Route, resolve
from app.surfaces.context import request_context
from app.surfaces.mounts import MOUNTS, Mount

_KEY: Final = Route("GET", "/v1/key", "views.key.own", "Key")


def make_blueprint(mount: Mount) -> Blueprint:
    """Return the blueprint that serves ``mount`` at all its prefixes, and at the root if it stands there."""
    blueprint = Blueprint(mount.name, __name__)
    for number, prefix in enumerate((*mount.prefixes, "") if mount.at_root else mount.prefixes):
        for name, routes in mount.operations.items():
            for route in routes:
                _add(blueprint, mount, OPERATIONS[name], route, prefix, number)
    return blueprint


def _add(
    blueprint: Blueprint, mount: Mount, operation: Operation, route: Route, prefix: str, number: int
) -> None:
    blueprint.add_url_rule(
        prefix + route.path,
        endpoint=f"{'_'.join(route.view.split('.')[-2:])}_{number}",
        view_func=_view_at(route.view, mount),
        methods=[route.method],
        provide_automatic_options=False,
        websocket=route.upgrades,
        route=route,
        operation=operation,
        mount=mount,
        credentials=mount.credentials,
    )


def _view_at(place: str, *given: Any) -> Callable[..., Any]:
    """Return what loads the view at ``place`` for its first request, and is not asked again."""

    def first(**arguments: Any) -> Any:
        view = partial(resolve("surfaces", place), *given)
        current_app.view_functions[str(request_context().request.endpoint)] = view
        return view(**arguments)

    return first


def make_key_blueprint() -> Blueprint:
    """Return the blueprint of ``GET /v1/key``, which any key may ask, whatever its operations."""
    blueprint = Blueprint("key", __name__)
    mount = next(mount for mount in MOUNTS if _KEY.path.startswith(mount.prefixes[0] + "/"))
    blueprint.add_url_rule(
        _KEY.path,
        "own",
        _view_at(_KEY.view),
        methods=[_KEY.method],
        provide_automatic_options=False,
        route=_KEY,
        mount=mount,
        credentials=mount.credentials,
    )
    return blueprint


def blueprints() -> list[Blueprint]:
    """Return the blueprints of all mounts, and of what a key asks about itself."""
    return [*map(make_blueprint, MOUNTS), make_key_blueprint()]
