"""The window's application: who may come in, what goes with every answer, and errors as pages.

Nothing of another host is loaded and no script stands in a page; the headers see to that. A session is
asked for everywhere but at the log-in. Tests: tests/surfaces/test_window.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from flask import Flask, Response, current_app, g, redirect, request
from werkzeug.exceptions import HTTPException

from app.errors import GatewayError
from app.gateway.core import Gateway, gateway_of
from app.operations import resolve
from app.state.ids import new_request_id
from app.surfaces.admin import sessions
from app.surfaces.admin.client import AdminClient
from app.surfaces.assets import read_assets
from app.surfaces.ui import login, rendering, requests
from app.surfaces.ui.gateway_client import DOORS
from app.surfaces.ui.routes import ROUTES, WindowRoute

_PACKAGE: Final = "app.surfaces.ui"
_FOLDER: Final = Path(__file__).parent
_ROUTES: Final = "sluice_window_routes"
_SLOWEST_WRITE: Final = 30.0  # seconds without progress
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


def build_window(gateway: Gateway, admin_client: AdminClient, doors: Callable[..., Any]) -> Flask:
    """Return the application that serves the paths below ``/ui``."""
    app = Flask(_PACKAGE, static_folder=None, template_folder="templates")
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    app.extensions["sluice"] = gateway
    app.extensions[requests.ADMIN_CLIENT] = admin_client
    app.extensions[DOORS] = doors
    app.extensions[rendering.ASSETS] = read_assets(_FOLDER / "static", _FOLDER / "vendor")
    routes: dict[str, WindowRoute] = {}
    for number, route in enumerate(ROUTES):
        endpoint = f"{route.view}_{number}"
        routes[endpoint] = route
        app.add_url_rule(
            route.path,
            endpoint,
            resolve("surfaces", f"ui.{route.view}"),
            methods=[route.method],
            provide_automatic_options=False,
        )
    app.extensions[_ROUTES] = routes
    rendering.prepare(app)
    app.before_request(_check_session)
    app.after_request(_after)
    app.register_error_handler(GatewayError, _gateway_error)
    app.register_error_handler(requests.Refusal, _refusal)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _fault)
    return app


def _check_session() -> Any:
    """Let in who has a session; what changes something needs its token, and a page of ours."""
    g.request_id = new_request_id()
    g.session = None
    endpoint = request.endpoint
    route: WindowRoute | None = current_app.extensions[_ROUTES].get(endpoint)
    if request.method not in ("GET", "HEAD"):
        sessions.check_origin(request)
    if route is not None and route.public:
        return None
    gateway = gateway_of(current_app)
    g.session = sessions.current(gateway, request)
    if g.session is None:
        return _to_login()
    g.actor = g.session.actor(request.remote_addr or "")
    if request.method not in ("GET", "HEAD"):
        sent = requests.form().get(sessions.TOKEN_FIELD, "") if requests.has_form() else ""
        sessions.check_token(gateway, g.session, request, sent)
    return None


def _to_login() -> Response:
    """Lead to the log-in, and from there back; a part of a page makes the whole page go there."""
    if "hx-request" in request.headers or request.method not in ("GET", "HEAD"):
        return Response(status=401, headers={"hx-redirect": login.address()})
    return redirect(login.address(back=request.full_path.removesuffix("?")), 303)  # type: ignore[return-value]


def _after(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("x-request-id", g.get("request_id", ""))  # a door's answer has its own
    sock = request.environ.get("gunicorn.socket")
    if sock is not None:
        sock.settimeout(_SLOWEST_WRITE)
    return response


def _gateway_error(error: GatewayError) -> Response:
    retry = error.retry_after or (1 if error.status == 503 else None)
    response = rendering.error(error.status, error.message)
    if retry is not None:
        response.headers["retry-after"] = str(retry)
    return response


def _refusal(error: requests.Refusal) -> Response:
    return rendering.error(error.status, error.message)


def _http_error(error: HTTPException) -> Response:
    words = {404: "There is no such page.", 405: "This page cannot be asked for in this way."}
    response = rendering.error(error.code or 400, words.get(error.code or 0, error.description or error.name))
    for name, value in error.get_headers():
        if name.lower() == "allow":
            response.headers[name] = value
    return response


def _fault(error: Exception) -> Response:
    return _gateway_error(gateway_of(current_app).fault(error, g.get("request_id")))
