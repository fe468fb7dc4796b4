"""The places of the administrator's two applications: ``/admin``, an API, and ``/ui``, the window.

Everything below these prefixes goes to an application of its own; the window is made when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from flask import Flask

from app.surfaces.admin.application import build_admin
from app.surfaces.admin.client import AdminClient
from app.surfaces.admin.explain import DOORS

WSGI = Callable[[dict[str, Any], Any], Iterable[bytes]]

ADMIN: Final = "/admin"
WINDOW: Final = "/ui"


def mount_admin(app: Flask, build_doors: Callable[[Any], Flask]) -> WSGI:
    """Return what serves the doors, the admin API and the window; ``build_doors`` makes doors over a gateway."""
    doors: WSGI = app.wsgi_app
    admin = app.extensions["sluice_admin"] = build_admin(
        app.extensions["sluice"], app.extensions["sluice_keys"].is_client
    )
    admin.extensions[DOORS] = build_doors
    admin_client = app.extensions["sluice_admin_client"] = AdminClient(admin)
    window: list[WSGI] = []

    def serve_window(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if not window:
            from app.surfaces.ui.application import build_window

            window.append(build_window(app.extensions["sluice"], admin_client, doors).wsgi_app)
        return window[0](environ, start_response)

    places: dict[str, WSGI] = {ADMIN: admin.wsgi_app, WINDOW: serve_window}

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path: str = environ.get("PATH_INFO", "")
        prefix = ADMIN if path.startswith(ADMIN) else WINDOW
        rest = path[len(prefix) :]
        if not path.startswith(prefix) or rest[:1] not in ("", "/"):
            return doors(environ, start_response)
        inner = {**environ, "PATH_INFO": rest or "/", "SCRIPT_NAME": environ.get("SCRIPT_NAME", "") + prefix}
        return places[prefix](inner, start_response)

    return serve
