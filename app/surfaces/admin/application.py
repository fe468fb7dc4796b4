"""The admin API: a separate Flask application; its table of routes says which role may call what.

Callers send ``Authorization: Bearer`` with the master key or an administrator's, or a window session with its
token; a viewer may read, an administrator may also change. Errors have the form of ``/v1``. Tests: tests/surfaces/test_admin_keys.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException

from app.errors import GatewayError
from app.gateway.core import Gateway, gateway_of
from app.operations import resolve
from app.state.audit import Actor
from app.state.ids import new_request_id
from app.surfaces.admin import sessions
from app.surfaces.admin.client import ACTOR
from app.surfaces.admin.routes import ROUTES, AdminRoute
from app.surfaces.body.queries import refuse_nul
from app.surfaces.replies.answers import json_response
from app.surfaces.rules import MatchedRule

_ROUTES: Final = "sluice_admin_routes"
_IS_CLIENT: Final = "sluice_is_client"


def build_admin(gateway: Gateway, is_client: Callable[[str], bool]) -> Flask:
    """Return the application that serves the paths below ``/admin``; ``is_client`` tells whether a key is a client's."""
    app = Flask("sluice_admin", static_folder=None)
    app.url_rule_class = MatchedRule
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    app.extensions["sluice"] = gateway
    app.extensions[_IS_CLIENT] = is_client
    routes: dict[str, AdminRoute] = {}
    for number, route in enumerate(ROUTES):
        endpoint = f"{route.view}_{number}"
        routes[endpoint] = route
        app.add_url_rule(
            route.path,
            endpoint,
            resolve("surfaces", f"admin.{route.view}"),
            methods=[route.method],
            provide_automatic_options=False,
        )
    app.extensions[_ROUTES] = routes
    app.before_request(_authorize)
    app.after_request(_after)
    app.register_error_handler(GatewayError, _error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _fault)
    return app


def _authorize() -> None:
    """Assign a request id and check the caller's role."""
    g.request_id = new_request_id()
    g.actor = authenticate(gateway_of(current_app))
    endpoint = request.endpoint
    if endpoint is None:
        return
    route: AdminRoute = current_app.extensions[_ROUTES][endpoint]
    if route.role == "admin" and g.actor.role != "admin":
        raise GatewayError("forbidden", "A viewer may read but not change anything; ask an administrator.")
    _check_query(route)
    refuse_nul(request)


def _check_query(route: AdminRoute) -> None:
    """Refuse a query with an unknown or repeated name."""
    for name, values in request.args.lists():
        if name not in route.query:
            known = f"allowed are {', '.join(route.query)}" if route.query else "this path takes none"
            raise GatewayError(
                "bad_request",
                f"Unknown query parameter: '{name[:64]}'; {known}.",
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
    inside: Actor | None = request.environ.get(ACTOR)
    if inside is not None:
        return inside
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
    found = sessions.administrator(gateway, secret)
    if found is not None:
        return Actor(found.name, found.role, address)
    if current_app.extensions[_IS_CLIENT](secret):
        raise GatewayError("forbidden", "This is a client's key; administrators have separate keys.")
    raise GatewayError("unauthenticated", "Incorrect administrator's key provided.")


def _after(response: Response) -> Response:
    response.headers["x-request-id"] = g.request_id
    response.headers.setdefault("cache-control", "no-store")
    response.headers["x-content-type-options"] = "nosniff"
    return response


def _error(error: GatewayError) -> Response:
    headers = {}
    if error.retry_after is not None or error.status == 503:
        headers["retry-after"] = str(error.retry_after or 1)
    return json_response({"error": error.body()}, error.status, headers)


def _http_error(error: HTTPException) -> Response:
    shown = _KINDS.get(error.code or 400, "bad_request")
    where = f"{request.method} {request.script_root}{request.path}"
    words: dict[str, Any] = {
        "not_found": f"Invalid URL ({where})",
        "method_not_allowed": f"Not allowed: {where}.",
    }
    response = _error(
        GatewayError(shown, words.get(shown, error.description or error.name), status=error.code or 400)
    )
    for name, value in error.get_headers():
        if name.lower() == "allow":
            response.headers[name] = value
    return response


_KINDS: Final = {404: "not_found", 405: "method_not_allowed"}


def _fault(error: Exception) -> Response:
    return _error(gateway_of(current_app).fault(error, g.get("request_id")))
