"""The playground: one prompt at two targets side by side, streamed as a door streams it.

A request goes through the doors of this process, as a key that the administrator picks or as the administrator's
own. Tests: tests/surfaces/test_playground.py, tests/surfaces/test_browser.py.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final

from flask import Response, current_app, g, request
from werkzeug.test import run_wsgi_app

from app.errors import GatewayError
from app.gateway.call import Principal
from app.surfaces.body.reading import json_body
from app.surfaces.credentials import PRINCIPAL
from app.surfaces.ui import asking, rendering
from app.wire.json import dumps

DOORS: Final = "sluice_doors"
PATHS: Final = {"chat": "/v1/chat/completions", "responses": "/v1/responses"}
_OWN: Final = "window"
_TENANT: Final = "default"
_MOST: Final = 100
_LASTING: Final = ("wsgi.", "gunicorn.", "REMOTE_", "SERVER_")
"""Members of the environment that belong to the connection, not to the request."""


def shown() -> str:
    """Show the form."""
    settings, providers = asking.get("/settings"), asking.get("/providers", limit=_MOST)["data"]
    names = [*settings["models"], "sandbox/echo"]
    names += [f"{row['id']}/{model}" for row in providers for model in row["models"]]
    keys = asking.get("/keys", limit=_MOST)["data"]
    return rendering.page("playground", models=list(dict.fromkeys(names)), keys=keys)


def run() -> Response:
    """Put a request to a door: ``{"api", "body", "key"}``; the answer is the door's own.

    ``key`` is ``tenant/name`` of a client key, whose limits and budgets then count; empty: the administrator's own."""
    if g.actor.role != "admin":
        raise GatewayError("forbidden", "A viewer may not ask models.")
    settings = asking.gateway().settings
    order = json_body(request, limit=settings.max_body_bytes, deadline=settings.body_deadline)
    path, body = PATHS.get(str(order.get("api"))), order.get("body")
    if path is None or not isinstance(body, dict):
        raise GatewayError("bad_request", "Send 'api' (chat or responses) and 'body', an object.")
    environ = _environ(path, dumps(body), _principal(str(order.get("key") or "")))
    pieces, status, headers = run_wsgi_app(current_app.extensions[DOORS], environ)
    return Response(pieces, status, headers, direct_passthrough=True)


def _principal(named: str) -> Principal:
    keys = asking.gateway().keys
    if not named:
        return keys.keyless(_OWN, _TENANT, admin=True)
    tenant, _, name = named.partition("/")
    found = keys.of_name(tenant, name)
    if found is None:
        raise GatewayError("bad_request", "There is no such key, or it is not in force.", param="key")
    return found


def _environ(path: str, body: bytes, principal: Principal) -> dict[str, Any]:
    """Return the environment of a request to a door, on the connection of this one."""
    lasting = {name: value for name, value in request.environ.items() if name.startswith(_LASTING)}
    return {
        **lasting,
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": request.script_root.removesuffix("/ui"),
        "PATH_INFO": path,
        "RAW_URI": path,
        "QUERY_STRING": "",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_HOST": request.host,
        "wsgi.input": BytesIO(body),
        PRINCIPAL: principal,
    }
