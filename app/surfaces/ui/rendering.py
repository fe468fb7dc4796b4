"""How pages are written: Jinja templates that escape all they show, and the files that pages load."""

from __future__ import annotations

from typing import Any, Final

from flask import Flask, Response, current_app, g, render_template, request
from jinja2 import StrictUndefined
from werkzeug.exceptions import NotFound

from app.gateway.core import gateway_of
from app.surfaces.admin import sessions
from app.surfaces.assets import Asset
from app.surfaces.ui import formats
from app.surfaces.ui.routes import PLACES
from app.version import __version__

ASSETS: Final = "sluice_window_assets"
_PART: Final = "hx-request"


def prepare(app: Flask) -> None:
    """Give the templates of ``app`` what they all use."""
    environment = app.jinja_env
    environment.undefined = StrictUndefined
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters.update(formats.FILTERS)
    environment.globals.update(asset=_address, url=url, places=PLACES, version=__version__)


def url(path: str) -> str:
    """Return the address of a path below ``/ui``, wherever the server is mounted."""
    return request.script_root + ("" if path == "/" else path)


def page(template: str, **values: Any) -> str:
    """Return a whole page; its session and who looks are known to every template."""
    running = g.get("session")
    who = None if running is None else running.administrator
    token = "" if running is None else sessions.token(gateway_of(current_app), running)
    return render_template(
        f"{template}.html",
        who=who,
        token=token,
        may_change=who is not None and who.role == "admin",
        admin_api=request.script_root.removesuffix("/ui") + "/admin",
        **values,
    )


def part(template: str, **values: Any) -> str:
    """Return a part of a page, written as the whole is."""
    return page(f"parts/{template}", **values)


def wants_part() -> bool:
    """Tell whether a part of a page is asked for, not a whole one."""
    return _PART in request.headers


def error(status: int, message: str) -> Response:
    """Return what went wrong, as a page, or as a part of one."""
    template = "parts/error" if wants_part() else "error"
    return Response(page(template, status=status, message=message), status)


def asset(mark: str, name: str) -> Response:
    """Serve a file that pages load."""
    found: Asset | None = current_app.extensions[ASSETS].get(name)
    if found is None or found.mark != mark:
        raise NotFound
    return Response(found.body, 200, dict(found.headers))


def _address(name: str) -> str:
    found: Asset = current_app.extensions[ASSETS][name]
    return url(f"/static/{found.mark}/{name}")
