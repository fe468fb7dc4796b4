"""Dispatch to the administrator's two applications: the API at ``/admin`` and the window at ``/ui``.

Each prefix has a separate application, which is built at its first request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final

from flask import Flask

if TYPE_CHECKING:
    from app.surfaces.admin.client import AdminClient

WSGI = Callable[[dict[str, Any], Any], Iterable[bytes]]

ADMIN: Final = "/admin"
WINDOW: Final = "/ui"


class AdminDispatcher:
    """The WSGI application of the surfaces ``app``, the admin API and the window.

    ``build_surfaces`` builds surfaces over a gateway; explanations use it."""

    def __init__(self, app: Flask, build_surfaces: Callable[[Any], Flask]) -> None:
        self._surfaces: WSGI = app.wsgi_app
        self._build_surfaces = build_surfaces
        self._gateway = app.extensions["sluice"]
        self._keys = app.extensions["sluice_keys"]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path: str = environ.get("PATH_INFO", "")
        if not path:  # the target was a URL without one
            environ["PATH_INFO"] = path = "/"
        prefix = ADMIN if path.startswith(ADMIN) else WINDOW
        rest = path[len(prefix) :]
        if not path.startswith(prefix) or rest[:1] not in ("", "/"):
            return self._surfaces(environ, start_response)
        inner = {**environ, "PATH_INFO": rest or "/", "SCRIPT_NAME": environ.get("SCRIPT_NAME", "") + prefix}
        application = self._admin if prefix == ADMIN else self._window
        return application.wsgi_app(inner, start_response)

    @cached_property
    def client(self) -> AdminClient:
        """The client that calls the admin API within the process."""
        from app.surfaces.admin.client import AdminClient

        return AdminClient(self._admin)

    @cached_property
    def _admin(self) -> Flask:
        from app.surfaces.admin.application import build_admin
        from app.surfaces.admin.explain import SURFACES, ExplainingGateway

        admin = build_admin(self._gateway, self._keys.is_client)
        admin.extensions[SURFACES] = cache(lambda: self._build_surfaces(ExplainingGateway(self._gateway)))
        return admin

    @cached_property
    def _window(self) -> Flask:
        from app.surfaces.ui.application import build_window

        return build_window(self._gateway, self.client, self._surfaces)
