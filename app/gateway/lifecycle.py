"""The life of a worker: what starts with it, and how it leaves.

gunicorn kills a worker at ``graceful_timeout`` without running generators' ``finally``. So
the worker drains itself: at SIGTERM whatever was accepted is served, until ``drain_after``
seconds, then every open stream is ended with an error event that tells the client to try again.

Tests: tests/behaviour/test_leaving.py, tests/lifecycle/test_processes.py, tests/deploy/test_nothing_lost.py.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final

import gevent

from app.errors import GatewayError
from app.gateway import reloads
from app.gateway.core import Gateway, gateway_of
from app.gateway.garbage_collection import settle
from app.gateway.huge_pages import join_pages
from app.gateway.layers.log import take_notes

_LOG: Final = logging.getLogger(__name__)
_POLL_SECONDS: Final = 0.5  # between two looks at the calls that a worker that leaves has left
_REOPEN: Final = 2.0
_FIRST_LOOK: Final = 0.2
_LOADED: Final = 10.0  # seconds after which a worker that is in use has loaded what its calls need
_FIRST_CALLS: Final = 2.0  # seconds at most, for which the store waits for calls that waited for the worker


def start(worker: Any) -> None:
    """Begin to watch ``worker`` (that of ``app.server``, its application loaded)."""
    gateway = gateway_of(worker.wsgi)
    take_notes(gateway.redactor.text, gateway.settings.log)
    gateway.limits.warn()
    settle()
    gateway.start_gauges()
    gevent.spawn(_drain_on_exit, worker, gateway)
    gevent.spawn(gateway.limits.prepare)
    gevent.spawn(_open_store, gateway)
    gevent.spawn_later(_LOADED, gevent.get_hub().threadpool.spawn, join_pages)


def stop(worker: Any) -> None:
    """Let go of what the worker's gateway holds; background work has what is left of the drain."""
    if getattr(worker, "wsgi", None) is not None:
        gateway = gateway_of(worker.wsgi)
        gateway.close(max(0.0, gateway.leave_by - time.monotonic()))


def _open_store(gateway: Gateway) -> None:
    """Open the store as soon as it can be, so that its sweeps and background work run.

    Opening it occupies the worker for a while, so calls that waited for the worker are answered first."""
    limit = time.monotonic() + _FIRST_CALLS
    gevent.sleep(_FIRST_LOOK)
    while len(gateway.open_calls) and time.monotonic() < limit:
        gevent.sleep(_FIRST_LOOK)
    while not gateway.draining.is_set():
        try:
            db = gateway.state().db
            gateway.accounts.start()
            settle()
            if gateway.settings.background == "embedded":
                gateway.start_background()
        except GatewayError as error:
            _LOG.warning("the store cannot be opened yet: %s", error.raw or error.message)
            gevent.sleep(_REOPEN)
        else:
            reloads.follow(db, gateway.draining.is_set)
            return


def _drain_on_exit(worker: Any, gateway: Gateway) -> None:
    worker.leaves.wait()
    drain(gateway)


def drain(gateway: Gateway) -> None:
    """Let calls end in their own time, those that still come too; at the limit, abort whatever is open.

    Never returns: the worker ends when its last connection does.
    """
    limit = gateway.leave_by = time.monotonic() + gateway.settings.drain_after
    gateway.draining.set()
    gateway.sockets.abort_all(_shutdown_error)  # each closes once its turn is over
    gevent.spawn(gateway.stop_background, gateway.settings.drain_after)
    gevent.sleep(max(0.0, limit - time.monotonic()))
    while True:
        gateway.open_calls.abort_all(_shutdown_error)
        gevent.sleep(_POLL_SECONDS)


def _shutdown_error() -> GatewayError:
    return GatewayError(
        "server_shutdown", "The server is shutting down; try the request again.", retry_after=1
    )
