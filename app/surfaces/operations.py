"""Health, metrics and the description of the API: what operators and tools ask for, without a key."""

from __future__ import annotations

from flask import Blueprint, Response, current_app
from werkzeug.exceptions import NotFound

from app.gateway.core import gateway_of
from app.surfaces.answers import json_response
from app.version import __version__

_ALIVE = ("/health", "/health/liveness", "/health/liveliness", "/healthz")
_READY = ("/health/readiness", "/readyz")


def blueprint() -> Blueprint:
    """Return the blueprint of the operations surface; no key is asked for."""
    made = Blueprint("operations", __name__)
    for path in _ALIVE:
        made.add_url_rule(path, path, alive, methods=["GET"], provide_automatic_options=False)
    for path in _READY:
        made.add_url_rule(path, path, ready, methods=["GET"], provide_automatic_options=False)
    made.add_url_rule("/metrics", "metrics", metrics, methods=["GET"], provide_automatic_options=False)
    return made


def alive() -> Response:
    """Tell that the process answers."""
    return json_response({"status": "ok", "version": __version__})


def metrics() -> Response:
    """Serve Prometheus, where the operator turned it on."""
    counted = gateway_of(current_app).metrics
    if counted is None:
        raise NotFound
    page, content_type = counted.page()
    return Response(page, 200, {"content-type": content_type})


def ready() -> Response:
    """Tell whether new calls are welcome: 503 while draining."""
    gateway = gateway_of(current_app)
    draining = gateway.draining.is_set()
    body = {"status": "draining" if draining else "ready", "open_calls": len(gateway.open_calls)}
    return json_response(body, 503 if draining else 200)
