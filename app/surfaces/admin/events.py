"""The view of ``/admin/events``: ended calls, breakers and alerts as an event stream, for pages that follow them.

Tests: tests/surfaces/test_admin_events.py.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import gevent
from flask import Response, copy_current_request_context, request

from app.errors import GatewayError
from app.gateway.call import Abort
from app.gateway.subscriptions import TYPES, Item, Subscription, ready
from app.surfaces.admin import requests
from app.surfaces.admin.application import authenticate
from app.surfaces.replies.framing import Events
from app.wire.client_socket import is_closed
from app.wire.json import dumps
from app.wire.sse import comment, encode_frame

_MOST_SILENT: Final = 15.0  # seconds between two writes
_CHECK_EVERY: Final = 15.0  # seconds between two checks of the caller
_NO_PROGRESS: Final = 300.0  # seconds for one write; a suspended page may resume
_HANGING: Final = 1.0  # seconds that a write may take during shutdown


def stream() -> Response:
    """Stream events from now on, and those that a reconnecting page missed, until either side closes."""
    gateway = requests.gateway()
    if gateway.draining.is_set():
        raise GatewayError("server_shutdown", "The server is shutting down; ask again.", retry_after=1)
    check = copy_current_request_context(lambda: authenticate(gateway))
    subscription = gateway.events.subscribe(_types(), request.headers.get("last-event-id"))
    writer = _Writer(subscription, check, min(gateway.settings.comment_every, _MOST_SILENT))
    abort = Abort()
    abort.listen(writer.end)
    gateway.sockets.add(abort, None)
    first = _frame(ready(gateway.settings.call_log, subscription.cursor))
    response = Response(writer.chunks(first), 200, Events.headers)

    @response.call_on_close
    def close() -> None:
        gateway.sockets.discard(abort)
        gateway.events.unsubscribe(subscription)

    return response


def _types() -> tuple[str, ...]:
    """Return the types that the query names, by default all."""
    names = tuple(filter(None, request.args.get("types", "").split(",")))
    for unknown in set(names) - set(TYPES):
        raise GatewayError(
            "bad_request",
            f"Invalid 'types': '{unknown[:64]}'. Supported values are: {', '.join(TYPES)}, with commas between them.",
            param="types",
            code="invalid_value",
        )
    return names or TYPES


def _frame(item: Item) -> bytes:
    """Return the bytes of an event; a reconnecting page sends the last ``id`` that it received."""
    kind, data, cursor = item
    return (b"" if cursor is None else b"id: %b\n" % cursor.encode()) + encode_frame(kind, data)


class _Writer:
    """Writes the events of a subscription; ``check`` raises when the caller loses access."""

    def __init__(self, subscription: Subscription, check: Callable[[], object], silence: float) -> None:
        self._subscription = subscription
        self._check = check
        self._silence = silence
        self._socket: Any = request.environ.get("gunicorn.socket")
        self._writes = 0
        self._writing = False
        if self._socket is not None:
            self._socket.settimeout(_NO_PROGRESS)

    def chunks(self, first: bytes) -> Iterator[bytes]:
        """Yield ``first``, then events as they arrive, and comments in between."""
        for chunk in self._events(first):
            self._writes += 1
            self._writing = True
            yield chunk
            self._writing = False

    def end(self) -> None:
        """End the stream; drop a client that does not read."""
        self._subscription.close()
        if self._writing:
            gevent.spawn_later(_HANGING, self._cut, self._writes)

    def _events(self, first: bytes) -> Iterator[bytes]:
        yield first
        last_check = time.monotonic()
        while (items := self._subscription.next_items(self._silence)) is not None:
            yield b"".join(map(_frame, items)) or comment("keep-alive")
            if time.monotonic() - last_check < _CHECK_EVERY:
                continue
            last_check = time.monotonic()
            try:
                self._check()
            except GatewayError as error:
                yield encode_frame("error", dumps({"type": "error", "error": error.body()}))
                return
        yield comment("the process is shutting down")

    def _cut(self, write: int) -> None:
        if self._writing and self._writes == write and not is_closed(self._socket):
            self._socket.shutdown(socket.SHUT_RDWR)
