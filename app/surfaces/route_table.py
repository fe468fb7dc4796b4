"""Applications that are built from a table of routes: the admin API and the window."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Protocol

from flask import Flask, current_app, request

from app.gateway.core import Gateway
from app.operations import resolve
from app.surfaces.rules import MatchedRule

_ROUTES: Final = "sluice_routes"


class Row(Protocol):
    """One route; ``view`` is the place of a function below a package."""

    @property
    def method(self) -> str:
        """The HTTP method."""

    @property
    def path(self) -> str:
        """The path, in the form of Werkzeug's rules."""

    @property
    def view(self) -> str:
        """The place of the view."""


def serve_routes(app: Flask, gateway: Gateway, package: str, routes: Iterable[Row]) -> None:
    """Serve ``routes`` over ``gateway``; their views are below ``package``, a path below ``app.surfaces``."""
    app.url_rule_class = MatchedRule
    app.url_map.merge_slashes = False
    app.extensions["sluice"] = gateway
    table = app.extensions[_ROUTES] = {f"{row.view}_{number}": row for number, row in enumerate(routes)}
    for endpoint, row in table.items():
        view = resolve("surfaces", f"{package}.{row.view}")
        app.add_url_rule(row.path, endpoint, view, methods=[row.method], provide_automatic_options=False)


def matched_row() -> Any:
    """Return the row that the current request matched, or None."""
    return current_app.extensions[_ROUTES].get(request.endpoint)
