"""The outcome of a call, and the listeners to its end.

Tests: tests/gateway/test_outcome.py; the log line and the metrics of each end in tests/behaviour.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.canonical.response import Finish, Response, Usage
from app.dialects.shared.losses import Loss
from app.errors import GatewayError
from app.gateway.call import Call, Target
from app.gateway.exchange import Answer
from app.gateway.metric_series import Gaps
from app.gateway.stream_capture import StreamCapture

_LOG: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class Outcome:
    """The outcome of a call, whether it passed, was translated, aborted or failed.

    ``body`` is the JSON answer in the client's dialect, or bytes with ``media_type``. ``response`` is the canonical answer, if one
    was decoded. ``cost`` is the cost object or None. ``losses`` are warnings. ``first_content`` is in monotonic seconds. ``gaps``
    counts the time between chunks for metrics, ``capture`` keeps a stream for the log of bodies.
    """

    call: Call
    target: Target | None = None
    body: Any = None
    media_type: str | None = None
    response: Response | None = None
    usage: Usage | None = None
    cost: Mapping[str, Any] | None = None
    finish: Finish | None = None
    losses: list[Loss] = field(default_factory=list)
    error: GatewayError | None = None
    upstream_ms: int | None = None
    first_content: float | None = None
    gaps: Gaps | None = None
    capture: StreamCapture | None = None
    raw_request: Any = None
    raw_response: Any = None
    passed: bool = False
    _listeners: list[Callable[[Outcome], None]] = field(default_factory=list)
    _ended: bool = False

    @property
    def status(self) -> int:
        """Return the HTTP status that the client gets."""
        return 200 if self.error is None else self.call.status_of(self.error)

    def show_as(self, call: Call) -> None:
        """Become the outcome of ``call``, whose answer another call fetched."""
        self.call = call

    def fill(self, answer: Answer) -> None:
        """Copy the members of an answer, or of a part of one."""
        self.response = answer.response
        self.usage = answer.usage
        self.cost = answer.cost
        self.finish = answer.finish
        self.raw_response = answer.raw
        self.body = answer.body
        self.media_type = answer.media_type or self.media_type

    def on_end(self, *listeners: Callable[[Outcome], None]) -> None:
        """Call ``listeners`` once at the end of the call, after earlier ones."""
        self._listeners += listeners

    def adopt(self, other: Outcome) -> None:
        """Take over the listeners of ``other``, which will not end by itself; they come before those of this one."""
        self._listeners[:0], other._listeners = other._listeners, []

    def end(self, error: GatewayError | None = None) -> None:
        """Close the record and call the listeners; further calls do nothing."""
        if self._ended:
            return
        self._ended = True
        self.error = self.error or error
        self.call.progress.ended = True
        attempts = self.call.attempts
        listeners, self._listeners = self._listeners, []  # listeners refer to this record
        for listener in listeners:
            try:
                listener(self)
            except Exception:  # noqa: BLE001 - the other listeners must be called
                _LOG.exception("a listener to the end of a call failed")
        for attempt in attempts:
            attempt.release()
