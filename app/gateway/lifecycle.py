"""The life of a worker: what starts with it, and how it leaves.

gunicorn kills a worker at ``graceful_timeout`` without running generators' ``finally``. So
the worker drains itself: at SIGTERM running calls may finish until ``drain_after`` seconds,
then every open stream is ended with an error event that tells the client to try again.
"""

from __future__ import annotations

import time
from typing import Any, Final

import gevent

from app.errors import GatewayError
from app.gateway.core import Gateway, gateway_of

_POLL: Final = 0.1


def start(worker: Any) -> None:
    """Begin to watch ``worker`` (a gunicorn worker whose application is loaded)."""
    gevent.spawn(_drain_when_leaving, worker, gateway_of(worker.wsgi))


def stop(worker: Any) -> None:
    """Let go of what the worker's gateway holds."""
    gateway_of(worker.wsgi).close()


def _drain_when_leaving(worker: Any, gateway: Gateway) -> None:
    while worker.alive:
        gevent.sleep(_POLL)
    drain(gateway)


def drain(gateway: Gateway) -> int:
    """Refuse new calls, wait for open ones, then abort those left; return how many."""
    gateway.draining.set()
    limit = time.monotonic() + gateway.settings.drain_after
    while len(gateway.open_calls) and time.monotonic() < limit:
        gevent.sleep(_POLL)
    return gateway.open_calls.abort_all(
        lambda: GatewayError(
            "server_shutdown", "The server is shutting down; try the request again.", retry_after=1
        )
    )
