"""The window's application: it checks the session, adds the headers of every answer, and shows errors as pages.

The headers forbid inline scripts and files of other hosts. Every path but the log-in needs a session.
Tests: tests/surfaces/test_window.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from flask import Flask, Response, current_app, g, redirect, request
from werkzeug.exceptions import HTTPException

from app.errors import GatewayError
from app.gateway.core import Gateway, gateway_of
from app.state.ids import new_request_id
from app.surfaces.admin import sessions
from app.surfaces.admin.client import AdminClient
from app.surfaces.assets import read_assets
from app.surfaces.replies.answers import allow_header, retry_header
from app.surfaces.route_table import matched_row, serve_routes
from app.surfaces.ui import login, rendering, requests
from app.surfaces.ui.gateway_client import SURFACES
from app.surfaces.ui.routes import ROUTES, WindowRoute

_PACKAGE: Final = "app.surfaces.ui"
_FOLDER: Final = Path(__file__).parent
_SLOWEST_WRITE: Final = 30.0  # seconds without progress
_SAFE: Final = ("GET", "HEAD")
_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "media-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
_MESSAGES: Final = {404: "There is no such page.", 405: "This page does not support this method."}


def build_window(gateway: Gateway, admin_client: AdminClient, surfaces: Callable[..., Any]) -> Flask:
    """Return the application that serves the paths below ``/ui``; ``surfaces`` is the WSGI application of the surfaces."""
    app = Flask(_PACKAGE, static_folder=None, template_folder="templates")
    serve_routes(app, gateway, "ui", ROUTES)
    app.extensions[requests.ADMIN_CLIENT] = admin_client
    app.extensions[SURFACES] = surfaces
    app.extensions[rendering.ASSETS] = read_assets(_FOLDER / "static", _FOLDER / "vendor")
    rendering.prepare(app)
    app.before_request(_check_session)
    app.after_request(_after)
    app.register_error_handler(GatewayError, _gateway_error)
    app.register_error_handler(
        requests.Refusal, lambda refusal: rendering.error(refusal.status, refusal.message)
    )
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(
        Exception, lambda error: _gateway_error(gateway.fault(error, g.get("request_id")))
    )
    return app


def _check_session() -> Any:
    """Require a session; a request that changes something also needs the session's token and a page of ours."""
    g.request_id = new_request_id()
    g.session = None
    route: WindowRoute | None = matched_row()
    if request.method not in _SAFE:
        sessions.check_origin(request)
    if route is not None and route.public:
        return None
    gateway = gateway_of(current_app)
    g.session = sessions.current(gateway, request)
    if g.session is None:
        return _to_login()
    g.actor = g.session.actor(request.remote_addr or "")
    if request.method not in _SAFE:
        token = requests.form().get(sessions.TOKEN_FIELD, "") if requests.has_form() else ""
        sessions.check_token(gateway, g.session, request, token)
    return None


def _to_login() -> Response:
    """Redirect to the log-in, which leads back here; for a part of a page, htmx redirects the whole page."""
    if rendering.wants_part() or request.method not in _SAFE:
        return Response(status=401, headers={"hx-redirect": login.address()})
    return redirect(login.address(back=request.full_path.removesuffix("?")), 303)  # type: ignore[return-value]


def _after(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("x-request-id", g.get("request_id", ""))  # a surface's answer has one
    sock = request.environ.get("gunicorn.socket")
    if sock is not None:
        sock.settimeout(_SLOWEST_WRITE)
    return response


def _gateway_error(error: GatewayError) -> Response:
    response = rendering.error(error.status, error.message)
    response.headers.update(retry_header(error))
    return response


def _http_error(error: HTTPException) -> Response:
    code = error.code or 400
    response = rendering.error(code, _MESSAGES.get(code, error.description or error.name))
    response.headers.update(allow_header(error))
    return response
