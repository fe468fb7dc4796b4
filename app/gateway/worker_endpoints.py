"""The pages that ``sluice worker`` serves on a port of its own: health and metrics.

Tests: tests/lifecycle/test_worker_endpoints.py.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Final

from gevent.pywsgi import LoggingLogAdapter, WSGIServer

from app.gateway.layers.metrics import Metrics
from app.wire.json import dumps

Page = tuple[str, str, bytes]
"""Status, content type and body."""

_LOG: Final = logging.getLogger(__name__)
_JSON: Final = "application/json"


def serve_pages(address: tuple[str, int], metrics: Metrics, leaves: Callable[[], bool]) -> None:
    """Serve ``/healthz``, ``/readyz`` and ``/metrics`` at ``address`` from now on.

    ``leaves`` tells whether the worker is stopping. Raises ``OSError`` for an address that cannot be
    bound.
    """
    pages: dict[str, Callable[[], Page]] = {
        "/healthz": lambda: _state("ok"),
        "/readyz": lambda: _state("draining", "503 Service Unavailable") if leaves() else _state("ready"),
        "/metrics": lambda: _metrics_page(metrics),
    }

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        status, content_type, body = _page(pages, environ["REQUEST_METHOD"], environ["PATH_INFO"])
        start_response(status, [("Content-Type", content_type), ("Content-Length", str(len(body)))])
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    server = WSGIServer(address, answer, log=None, error_log=LoggingLogAdapter(_LOG, logging.WARNING))
    server.start()


def _page(pages: dict[str, Callable[[], Page]], method: str, path: str) -> Page:
    if path not in pages:
        return _fault("404 Not Found", f"This worker serves {', '.join(pages)}.")
    if method not in ("GET", "HEAD"):
        return _fault("405 Method Not Allowed", "Only GET and HEAD are allowed.")
    return pages[path]()


def _metrics_page(metrics: Metrics) -> Page:
    body, content_type = metrics.page()
    return "200 OK", content_type, body


def _state(word: str, status: str = "200 OK") -> Page:
    return status, _JSON, dumps({"status": word})


def _fault(status: str, message: str) -> Page:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return status, _JSON, dumps({"error": error})
