"""The view of ``POST /admin/reload``: reload the configuration in every process on this database.

Tests: tests/deploy/test_reload.py.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Final

import gevent
from flask import Response

from app.errors import GatewayError
from app.gateway import reloads
from app.reload_report import BOARD, Verdict
from app.surfaces.admin import requests
from app.surfaces.replies.answers import json_response

_VERDICT_SECONDS: Final = 10.0  # for the master process to report on the configuration
_REPLACEMENT_SECONDS: Final = 20.0  # for new workers to replace this one
_POLL_SECONDS: Final = 0.05
_LEAVING_SECONDS: Final = 1.2  # a leaving worker stops accepting within a second


def now() -> Response:
    """Reload the configuration as SIGHUP does; answer once new workers serve. Faults are 422."""
    verdict = _request_reload()
    if verdict.faults:
        raise _refusal(verdict)
    state = requests.state()
    state.audit.add(requests.actor(), "reload", "configuration")
    reloads.announce(state.db)
    draining = requests.gateway().draining
    limit = time.monotonic() + _REPLACEMENT_SECONDS
    while not draining.is_set() and time.monotonic() < limit:
        gevent.sleep(_POLL_SECONDS)
    is_done = draining.is_set()
    if is_done:
        gevent.sleep(_LEAVING_SECONDS)
    return json_response({"object": "reload", "reloaded": is_done}, 200 if is_done else 202)


def _request_reload() -> Verdict:
    """Ask gunicorn's master process for a reload; return its verdict."""
    before, master = BOARD.read(), os.getppid()
    if before is None or before.master != master:
        raise GatewayError(
            "conflict",
            "This process cannot be reloaded: it was not started by gunicorn with gunicorn.conf.py. Restart it.",
        )
    try:
        os.kill(master, signal.SIGHUP)
    except OSError as error:
        raise GatewayError(
            "conflict", "Workers may not signal the server's master process; send it SIGHUP."
        ) from error
    limit = time.monotonic() + _VERDICT_SECONDS
    while time.monotonic() < limit:
        verdict = BOARD.read()
        if verdict is not None and verdict.number != before.number:
            return verdict
        gevent.sleep(_POLL_SECONDS)
    raise GatewayError(
        "overloaded", "The server's master process does not answer; check its log.", retry_after=1
    )


def _refusal(verdict: Verdict) -> GatewayError:
    details = [
        {
            "message": f"{place}: {sentence}" if place else sentence,
            "param": place or None,
            "code": "invalid_value",
        }
        for place, sentence in verdict.faults
    ]
    return GatewayError(
        "bad_request",
        f"The configuration is invalid and was not loaded: {details[0]['message']}",
        param=verdict.faults[0][0] or None,
        code="invalid_configuration",
        status=422,
        details=details,
    )
