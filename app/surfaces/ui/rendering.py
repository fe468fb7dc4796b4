"""Pages from Jinja templates, which escape every value, and the files that pages load."""

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


def prepare(app: Flask) -> None:
    """Set up the templates of ``app``: their filters and global names."""
    environment = app.jinja_env
    environment.undefined = StrictUndefined
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters.update(formats.FILTERS)
    environment.globals.update(asset=_address, url=url, places=PLACES, version=__version__)


def url(path: str) -> str:
    """Return the address of a path below ``/ui``, wherever the server is mounted."""
    return request.script_root + ("" if path == "/" else path)


def page(template: str, **values: Any) -> str:
    """Return a page; every template knows the administrator and the token of the session."""
    session = g.get("session")
    who = None if session is None else session.administrator
    token = "" if session is None else sessions.token(gateway_of(current_app), session)
    return render_template(
        f"{template}.html",
        who=who,
        token=token,
        may_change=who is not None and who.role == "admin",
        admin_api=request.script_root.removesuffix("/ui") + "/admin",
        **values,
    )


def part(template: str, **values: Any) -> str:
    """Return a part of a page."""
    return page(f"parts/{template}", **values)


def wants_part() -> bool:
    """Tell whether htmx requests a part of a page."""
    return "hx-request" in request.headers


def error(status: int, message: str) -> Response:
    """Return an error as a page, or as a part of one."""
    write = part if wants_part() else page
    return Response(write("error", status=status, message=message), status)


def asset(mark: str, name: str) -> Response:
    """Serve a file that pages load."""
    asset: Asset | None = current_app.extensions[ASSETS].get(name)
    if asset is None or asset.mark != mark:
        raise NotFound
    return Response(asset.body, 200, dict(asset.headers))


def _address(name: str) -> str:
    return url(f"/static/{current_app.extensions[ASSETS][name].mark}/{name}")
