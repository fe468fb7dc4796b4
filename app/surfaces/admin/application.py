"""The admin API: a separate Flask application; its table of routes says which role may call what.

Callers send ``Authorization: Bearer`` with the master key or an administrator's key, or the cookie of a window session
with its token. A viewer may read, an administrator may also change. Errors have the form of ``/v1``.
Tests: tests/surfaces/test_admin_keys.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException

from app.errors import GatewayError
from app.gateway.core import Gateway, gateway_of
from app.state.audit import Actor
from app.state.ids import new_request_id
from app.surfaces.admin import sessions
from app.surfaces.admin.client import ACTOR
from app.surfaces.admin.routes import ROUTES, AdminRoute
from app.surfaces.body.queries import refuse_nul
from app.surfaces.replies.answers import allow_header, json_response, retry_header
from app.surfaces.route_table import matched_row, serve_routes

_IS_CLIENT: Final = "sluice_is_client"


def build_admin(gateway: Gateway, is_client: Callable[[str], bool]) -> Flask:
    """Return the application that serves the paths below ``/admin``; ``is_client`` tells whether a key is a client's."""
    app = Flask("sluice_admin", static_folder=None)
    serve_routes(app, gateway, "admin", ROUTES)
    app.extensions[_IS_CLIENT] = is_client
    app.before_request(_authorize)
    app.after_request(_after)
    app.register_error_handler(GatewayError, _error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, lambda error: _error(gateway.fault(error, g.get("request_id"))))
    return app


def _authorize() -> None:
    """Assign a request id and check the caller's role."""
    g.request_id = new_request_id()
    g.actor = authenticate(gateway_of(current_app))
    route: AdminRoute | None = matched_row()
    if route is None:
        return
    if route.role == "admin" and g.actor.role != "admin":
        raise GatewayError("forbidden", "A viewer may read but not change anything; ask an administrator.")
    _check_query(route)
    refuse_nul(request)


def _check_query(route: AdminRoute) -> None:
    """Refuse a query with an unknown or repeated name."""
    for name, values in request.args.lists():
        if name not in route.query:
            allowed = f"allowed are {', '.join(route.query)}" if route.query else "this path takes none"
            raise GatewayError(
                "bad_request",
                f"Unknown query parameter: '{name[:64]}'; {allowed}.",
                param=name[:64],
                code="unknown_parameter",
            )
        if len(values) > 1:
            raise GatewayError(
                "bad_request",
                f"Invalid '{name}': expected once, but got it {len(values)} times.",
                param=name,
                code="invalid_value",
            )


def authenticate(gateway: Gateway) -> Actor:
    """Return the administrator; raises ``unauthenticated``, and ``forbidden`` for a client's key."""
    internal: Actor | None = request.environ.get(ACTOR)
    if internal is not None:
        return internal
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    secret, address = token.strip(), request.remote_addr or ""
    if scheme.lower() != "bearer" and (session := sessions.current(gateway, request)) is not None:
        sessions.check_token(gateway, session, request)
        return session.actor(address)
    if scheme.lower() != "bearer" or not secret:
        raise GatewayError(
            "unauthenticated",
            "Send the key of an administrator as 'Authorization: Bearer KEY': the master key "
            "(SLUICE_MASTER_KEY), or one created with it.",
            code="",
        )
    administrator = sessions.administrator(gateway, secret)
    if administrator is not None:
        return Actor(administrator.name, administrator.role, address)
    if current_app.extensions[_IS_CLIENT](secret):
        raise GatewayError("forbidden", "This is a client's key; administrators have separate keys.")
    raise GatewayError("unauthenticated", "Incorrect administrator's key provided.")


def _after(response: Response) -> Response:
    response.headers["x-request-id"] = g.request_id
    response.headers.setdefault("cache-control", "no-store")
    response.headers["x-content-type-options"] = "nosniff"
    return response


def _error(error: GatewayError) -> Response:
    return json_response({"error": error.body()}, error.status, retry_header(error))


def _http_error(error: HTTPException) -> Response:
    where = f"{request.method} {request.script_root}{request.path}"
    messages = {
        404: ("not_found", f"Invalid URL ({where})"),
        405: ("method_not_allowed", f"Not allowed: {where}."),
    }
    code = error.code or 400
    kind, message = messages.get(code, ("bad_request", error.description or error.name))
    response = _error(GatewayError(kind, message, status=code))
    response.headers.update(allow_header(error))
    return response
