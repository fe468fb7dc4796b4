"""Health, metrics and the description of the API, for operators and tools; these paths need no key."""

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
"""Pages that one process writes at a time, since clients without a key might not read them."""


def limit_pages(view: Callable[[], Response]) -> Callable[[], Response]:
    """Let ``view`` write a few answers at a time; raise ``overloaded`` for more."""

    @wraps(view)
    def limited() -> Response:
        open_pages: list[None] = current_app.extensions.setdefault(_PAGES, [])
        if len(open_pages) >= MOST_PAGES:
            raise GatewayError("overloaded", "Too many pages are being read; try again.", retry_after=1)
        response = view()
        open_pages.append(None)
        response.call_on_close(open_pages.pop)
        return response

    return limited


def blueprint() -> Blueprint:
    """Return the blueprint of these paths."""
    operations = Blueprint("operations", __name__)
    for number, (path, view, answer) in enumerate(_ROUTES):
        routes = (
            (view, Route("GET", path, f"views.operators.{view.__name__}", answer)),
            (allowed, Route("OPTIONS", path, "operations.allowed", "Plain")),
        )
        for function, route in routes:
            operations.add_url_rule(
                path,
                f"{function.__name__}_{number}",
                function,
                methods=[route.method],
                provide_automatic_options=False,
                route=route,
                credentials=KEYLESS,
            )
    return operations


def root() -> Response:
    """Describe this server and link to its pages; a browser is redirected to the window."""
    if "text/html" in request.headers.get("accept", ""):
        location = f"{request.script_root}{_WINDOW}"
        return Response(status=302, headers={"location": location, "vary": "accept"})
    links = {"docs": "/docs", "openapi": "/openapi.json", "window": _WINDOW}
    return json_response({"name": "sluice", "version": __version__, **links}, headers={"vary": "accept"})


def allowed() -> Response:
    """Answer load balancers that probe with OPTIONS."""
    return Response(status=204, headers={"allow": "GET, HEAD, OPTIONS"})


def alive() -> Response:
    """Confirm that the process answers."""
    return json_response({"status": "ok", "version": __version__})


@limit_pages
def metrics() -> Response:
    """Expose Prometheus metrics, if the operator turned them on."""
    metrics = gateway_of(current_app).metrics
    if metrics is None:
        raise NotFound
    page, content_type = metrics.page()
    return Response(page, 200, {"content-type": content_type})


@limit_pages
def description() -> Response:
    """Describe all operations as an OpenAPI document."""
    return json_response(_with_servers(_description()))


@limit_pages
def docs() -> Response:
    """Show this reference, unless the operator turned it off."""
    _check_docs()
    from app.surfaces.openapi.page import HEADERS, render

    info = _description()["info"]
    return Response(render(request.script_root, f"{info['title']} {info['version']}"), 200, dict(HEADERS))


@limit_pages
def docs_viewer() -> Response:
    """Return the script that shows this reference."""
    _check_docs()
    from app.surfaces.openapi.page import viewer

    return Response(viewer().body, 200, dict(viewer().headers))


@limit_pages
def docs_reference() -> Response:
    """Describe all operations for this reference: each once, grouped by surface."""
    _check_docs()
    from app.surfaces.openapi.document import surface_rules
    from app.surfaces.openapi.reference import reference

    return json_response(_with_servers(reference(_description(), surface_rules(current_app))))


def _with_servers(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "servers": [{"url": f"{request.script_root}/"}]}


def _check_docs() -> None:
    if not gateway_of(current_app).settings.docs:
        raise NotFound


def _description() -> dict[str, Any]:
    from app.surfaces.openapi.document import describe

    if _DESCRIPTION not in current_app.extensions:
        current_app.extensions[_DESCRIPTION] = describe(current_app)
    return dict(current_app.extensions[_DESCRIPTION])


def ready() -> Response:
    """Tell whether the process accepts new calls: 503 while draining."""
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
