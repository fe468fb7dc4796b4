"""``sluice worker``: a process that only runs background responses.

On SIGTERM or SIGINT it claims no more, lets what runs finish within its grace, and hands
the rest over to another worker.

Tests: tests/test_cli.py, tests/lifecycle/test_processes.py.
"""

from __future__ import annotations

import logging
import signal
import sys
from dataclasses import replace
from typing import Final

import gevent
from gevent.event import Event

from app.config import Settings
from app.errors import GatewayError
from app.gateway.core import Gateway
from app.gateway.layers.log import take_notes
from app.gateway.worker_endpoints import serve_pages

_LOG: Final = logging.getLogger(__name__)
_REOPEN: Final = 2.0


def run(settings: Settings, address: tuple[str, int] | None = None) -> int:
    """Run until a signal to stop; return the process's exit code.

    ``address`` is where its pages are served, whose metrics are then counted; None for no pages.
    """
    gateway = Gateway(settings if address is None else replace(settings, metrics=True))
    take_notes(gateway.redactor.text, gateway.settings.log)
    gateway.start_gauges()
    leave = Event()
    if address is not None and gateway.metrics is not None:
        try:
            serve_pages(address, gateway.metrics, leave.is_set)
        except OSError as error:
            print(
                f"sluice: SLUICE_WORKER_PORT: cannot listen on {address[0]}: {error.strerror}",
                file=sys.stderr,
            )
            return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, leave.set)
    while not leave.is_set():
        try:
            gateway.start_background()
            break
        except GatewayError as error:
            _LOG.warning("the store cannot be opened yet: %s", error.raw or error.message)
            leave.wait(_REOPEN)
    print("sluice worker is ready", flush=True)
    leave.wait()
    gateway.close(settings.worker_grace)
    return 0
