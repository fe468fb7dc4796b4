"""Health, metrics and the description of the API: what operators and tools ask for, without a key."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from flask import Blueprint, Response, current_app, request
from werkzeug.exceptions import NotFound

from app.errors import GatewayError
from app.gateway.core import gateway_of
from app.operations import Route
from app.surfaces.mounts import KEYLESS
from app.surfaces.replies.answers import json_response
from app.version import __version__

_DESCRIPTION: Final = "sluice_openapi"
_PAGES: Final = "sluice_pages"
_WINDOW: Final = "/ui"
MOST_PAGES: Final = 16
"""Pages that one process writes at once to clients without keys; they could leave them unread."""


def page(view: Callable[[], Response]) -> Callable[[], Response]:
    """Let ``view`` write a few answers at once; raises ``overloaded`` for more."""

    @wraps(view)
    def limited() -> Response:
        written: list[None] = current_app.extensions.setdefault(_PAGES, [])
        if len(written) >= MOST_PAGES:
            raise GatewayError("overloaded", "Too many pages are being read; try again.", retry_after=1)
        response = view()
        written.append(None)
        response.call_on_close(written.pop)
        return response

    return limited


def blueprint() -> Blueprint:
    """Return the blueprint of the operations surface; no key is asked for."""
    made = Blueprint("operations", __name__)
    for number, (path, view, answer) in enumerate(_ROUTES):
        made.add_url_rule(
            path,
            f"{view.__name__}_{number}",
            view,
            methods=["GET"],
            provide_automatic_options=False,
            route=Route("GET", path, f"views.operators.{view.__name__}", answer),
            credentials=KEYLESS,
        )
        made.add_url_rule(
            path,
            f"allowed_{number}",
            allowed,
            methods=["OPTIONS"],
            provide_automatic_options=False,
            route=Route("OPTIONS", path, "operations.allowed", "Plain"),
            credentials=KEYLESS,
        )
    return made


def root() -> Response:
    """Tell what runs here, and where to read on; a browser is led to the window."""
    if "text/html" in request.headers.get("accept", ""):
        headers = {"location": f"{request.script_root}{_WINDOW}", "vary": "accept"}
        return Response(status=302, headers=headers)
    document = {
        "name": "sluice",
        "version": __version__,
        "docs": "/docs",
        "openapi": "/openapi.json",
        "window": _WINDOW,
    }
    return json_response(document, headers={"vary": "accept"})


def allowed() -> Response:
    """Answer load balancers that ask by OPTIONS."""
    return Response(status=204, headers={"allow": "GET, HEAD, OPTIONS"})


def alive() -> Response:
    """Tell that the process answers."""
    return json_response({"status": "ok", "version": __version__})


@page
def metrics() -> Response:
    """Expose Prometheus metrics, where the operator turned them on."""
    counted = gateway_of(current_app).metrics
    if counted is None:
        raise NotFound
    page, content_type = counted.page()
    return Response(page, 200, {"content-type": content_type})


@page
def description() -> Response:
    """Describe all operations as an OpenAPI document."""
    servers = [{"url": f"{request.script_root}/"}]
    return json_response({**_description(), "servers": servers})


@page
def docs() -> Response:
    """Show this reference, unless the operator turned it off."""
    _check_docs()
    from app.surfaces.openapi.page import HEADERS, render

    info = _description()["info"]
    return Response(render(request.script_root, f"{info['title']} {info['version']}"), 200, dict(HEADERS))


@page
def docs_viewer() -> Response:
    """Return the script that draws this reference."""
    _check_docs()
    from app.surfaces.openapi.page import viewer

    script = viewer()
    return Response(script.body, 200, dict(script.headers))


@page
def docs_reference() -> Response:
    """Describe all operations as this reference shows them: each once, grouped by door."""
    _check_docs()
    from app.surfaces.openapi.document import surface_rules
    from app.surfaces.openapi.reference import reference

    servers = [{"url": f"{request.script_root}/"}]
    return json_response({**reference(_description(), surface_rules(current_app)), "servers": servers})


def _check_docs() -> None:
    if not gateway_of(current_app).settings.docs:
        raise NotFound


def _description() -> dict[str, Any]:
    extensions = current_app.extensions
    if _DESCRIPTION not in extensions:
        from app.surfaces.openapi.document import describe

        extensions[_DESCRIPTION] = describe(current_app)
    document: dict[str, Any] = extensions[_DESCRIPTION]
    return document


def ready() -> Response:
    """Tell whether new calls are welcome: 503 while draining."""
    gateway = gateway_of(current_app)
    draining = gateway.draining.is_set()
    body = {"status": "draining" if draining else "ready", "open_calls": len(gateway.open_calls)}
    return json_response(body, 503 if draining else 200)


_ROUTES: Final[tuple[tuple[str, Callable[[], Response], str], ...]] = (
    # path, view, answer
    ("/", root, "Health"),
    ("/health", alive, "Health"),
    ("/health/liveness", alive, "Health"),
    ("/health/liveliness", alive, "Health"),
    ("/healthz", alive, "Health"),
    ("/health/readiness", ready, "Health"),
    ("/readyz", ready, "Health"),
    ("/metrics", metrics, "Plain"),
    ("/openapi.json", description, "Document"),
    ("/docs", docs, "Plain"),
    ("/docs/rapidoc.js", docs_viewer, "Plain"),
    ("/docs/openapi.json", docs_reference, "Document"),
)
