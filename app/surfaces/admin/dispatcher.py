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


def mount_admin(app: Flask, build_surfaces: Callable[[Any], Flask]) -> WSGI:
    """Return the WSGI application of the surfaces ``app``, the admin API and the window.

    ``build_surfaces`` builds surfaces over a gateway; explanations use it."""
    surfaces: WSGI = app.wsgi_app
    gateway = app.extensions["sluice"]

    @cache
    def admin() -> Flask:
        from app.surfaces.admin.application import build_admin
        from app.surfaces.admin.explain import SURFACES, ExplainingGateway

        admin = build_admin(gateway, app.extensions["sluice_keys"].is_client)
        admin.extensions[SURFACES] = cache(lambda: build_surfaces(ExplainingGateway(gateway)))
        return admin

    @cache
    def admin_client() -> AdminClient:
        from app.surfaces.admin.client import AdminClient

        return AdminClient(admin())

    @cache
    def window() -> Flask:
        from app.surfaces.ui.application import build_window

        return build_window(gateway, admin_client(), surfaces)

    app.extensions["sluice_admin_client"] = admin_client
    applications = {ADMIN: admin, WINDOW: window}

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path: str = environ.get("PATH_INFO", "")
        if not path:  # the target was a URL without one
            environ["PATH_INFO"] = path = "/"
        prefix = ADMIN if path.startswith(ADMIN) else WINDOW
        rest = path[len(prefix) :]
        if not path.startswith(prefix) or rest[:1] not in ("", "/"):
            return surfaces(environ, start_response)
        inner = {**environ, "PATH_INFO": rest or "/", "SCRIPT_NAME": environ.get("SCRIPT_NAME", "") + prefix}
        return applications[prefix]().wsgi_app(inner, start_response)

    return serve
