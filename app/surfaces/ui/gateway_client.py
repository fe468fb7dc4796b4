"""Requests that a page puts to the doors of this process, on the connection of its own request."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final

from flask import Response, current_app, request
from werkzeug.test import run_wsgi_app

from app.errors import GatewayError
from app.gateway.call import Principal
from app.surfaces.credentials import PRINCIPAL
from app.surfaces.ui import requests

DOORS: Final = "sluice_doors"
_OWN: Final = "window"
_TENANT: Final = "default"
_LASTING: Final = ("wsgi.", "gunicorn.", "REMOTE_", "SERVER_")
"""Members of the environment that belong to the connection, not to the request."""


def ask(method: str, path: str, principal: Principal, body: bytes = b"") -> Response:
    """Return what a door answers ``principal``, streamed as it comes."""
    environ = _environ(method, path, principal, body)
    pieces, status, headers = run_wsgi_app(current_app.extensions[DOORS], environ)
    return Response(pieces, status, headers, direct_passthrough=True)


def own() -> Principal:
    """Return the caller that stands for an administrator."""
    return requests.gateway().keys.keyless(_OWN, _TENANT, admin=True)


def holder(tenant: str, name: str) -> Principal:
    """Return the holder of a client key; raises ``bad_request`` for one that is not in force."""
    found = requests.gateway().keys.of_name(tenant, name)
    if found is None:
        raise GatewayError("bad_request", "There is no such key, or it is not in force.", param="key")
    return found


def _environ(method: str, path: str, principal: Principal, body: bytes) -> dict[str, Any]:
    lasting = {name: value for name, value in request.environ.items() if name.startswith(_LASTING)}
    return {
        **lasting,
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
