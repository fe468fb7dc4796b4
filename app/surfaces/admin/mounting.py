"""The admin API's place: everything below ``/admin`` goes to an application of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from flask import Flask

from app.surfaces.admin.application import build_admin
from app.surfaces.admin.explain import DOORS

WSGI = Callable[[dict[str, Any], Any], Iterable[bytes]]

PREFIX: Final = "/admin"


def mount_admin(app: Flask, build_doors: Callable[[Any], Flask]) -> WSGI:
    """Return what serves the doors, and the admin API below its prefix; ``build_doors`` makes doors over a gateway."""
    doors: WSGI = app.wsgi_app
    admin = app.extensions["sluice_admin"] = build_admin(
        app.extensions["sluice"], app.extensions["sluice_keys"].is_client
    )
    admin.extensions[DOORS] = build_doors
    served: WSGI = admin.wsgi_app

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path: str = environ.get("PATH_INFO", "")
        if not path.startswith(PREFIX) or path[len(PREFIX) :][:1] not in ("", "/"):
            return doors(environ, start_response)
        inner = {
            **environ,
            "PATH_INFO": path[len(PREFIX) :],
            "SCRIPT_NAME": environ.get("SCRIPT_NAME", "") + PREFIX,
        }
        return served(inner, start_response)

    return serve
