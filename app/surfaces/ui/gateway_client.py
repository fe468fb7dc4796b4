"""Requests of a page to the surfaces of this process, on the connection of its own request."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final

from flask import Response, current_app, request
from werkzeug.test import run_wsgi_app

from app.errors import GatewayError
from app.gateway.call import Principal
from app.surfaces.credentials import PRINCIPAL
from app.surfaces.ui import requests

SURFACES: Final = "sluice_surfaces"
"""Extension name of the WSGI application of the surfaces."""
_CONNECTION: Final = ("wsgi.", "gunicorn.", "REMOTE_", "SERVER_")
"""Prefixes of the members of an environ that belong to the connection, not to the request."""


def ask(method: str, path: str, principal: Principal, body: bytes = b"") -> Response:
    """Return a surface's answer to ``principal``, streamed as it comes."""
    environ = _environ(method, path, principal, body)
    chunks, status, headers = run_wsgi_app(current_app.extensions[SURFACES], environ)
    return Response(chunks, status, headers, direct_passthrough=True)


def administrator() -> Principal:
    """Return the caller for requests without a client key."""
    return requests.gateway().keys.keyless("window", "default", admin=True)


def key_holder(tenant: str, name: str) -> Principal:
    """Return the caller for a client key; raise ``bad_request`` for an unknown, disabled or expired one."""
    principal = requests.gateway().keys.of_name(tenant, name)
    if principal is None:
        raise GatewayError("bad_request", "There is no such key, or it is not in force.", param="key")
    return principal


def _environ(method: str, path: str, principal: Principal, body: bytes) -> dict[str, Any]:
    return {
        **{name: value for name, value in request.environ.items() if name.startswith(_CONNECTION)},
        "REQUEST_METHOD": method,
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
