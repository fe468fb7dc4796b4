"""Dispatch to the administrator's two applications: the API at ``/admin`` and the window at ``/ui``.

Each prefix has a separate application, which is built at its first request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from flask import Flask

if TYPE_CHECKING:
    from app.surfaces.admin.client import AdminClient

WSGI = Callable[[dict[str, Any], Any], Iterable[bytes]]

ADMIN: Final = "/admin"
WINDOW: Final = "/ui"


def mount_admin(app: Flask, build_doors: Callable[[Any], Flask]) -> WSGI:
    """Return what serves the doors, the admin API and the window; ``build_doors`` makes doors over a gateway."""
    doors: WSGI = app.wsgi_app

    @cache
    def admin() -> Flask:
        from app.surfaces.admin.application import build_admin
        from app.surfaces.admin.explain import DOORS

        made = build_admin(app.extensions["sluice"], app.extensions["sluice_keys"].is_client)
        made.extensions[DOORS] = build_doors
        return made

    @cache
    def admin_client() -> AdminClient:
        from app.surfaces.admin.client import AdminClient

        return AdminClient(admin())

    @cache
    def window() -> Flask:
        from app.surfaces.ui.application import build_window

        return build_window(app.extensions["sluice"], admin_client(), doors)

    app.extensions["sluice_admin_client"] = admin_client
    places = {ADMIN: admin, WINDOW: window}

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path: str = environ.get("PATH_INFO", "")
        prefix = ADMIN if path.startswith(ADMIN) else WINDOW
        rest = path[len(prefix) :]
        if not path.startswith(prefix) or rest[:1] not in ("", "/"):
            return doors(environ, start_response)
        inner = {**environ, "PATH_INFO": rest or "/", "SCRIPT_NAME": environ.get("SCRIPT_NAME", "") + prefix}
        return places[prefix]().wsgi_app(inner, start_response)

    return serve
