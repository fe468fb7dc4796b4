"""Flask blueprints, one for each mount, made from the mount's row and the routes of its operations."""

from __future__ import annotations

from functools import partial

from flask import Blueprint

from app.operations import OPERATIONS, Operation, Route, resolve
from app.surfaces.mounts import MOUNTS, Mount


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
        view_func=partial(resolve("surfaces", route.view), mount),
        methods=[route.method],
        provide_automatic_options=False,
        websocket=route.upgrades,
        route=route,
        operation=operation,
        mount=mount,
        credentials=mount.credentials,
    )


def blueprints() -> list[Blueprint]:
    """Return the blueprints of all mounts."""
    return [make_blueprint(mount) for mount in MOUNTS]
