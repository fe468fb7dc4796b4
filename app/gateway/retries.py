"""The retry rule: one place retries, once for a target, within a budget, and only before content was sent.

Tests: tests/behaviour/test_faults_before_content.py.
"""

from __future__ import annotations

import random
import time
from typing import Final

import gevent

from app.errors import GatewayError
from app.gateway.call import Call

_MAX_RETRY_AFTER: Final = 2  # seconds that a retry at the same target waits at most


class RetryBudget:
    """At most one retry in ten calls, but ten a second in any case, for each worker."""

    def __init__(self) -> None:
        self._tokens = 10.0
        self._last = time.monotonic()

    def call(self) -> None:
        """Note a call: each earns a tenth of a retry."""
        self._tokens = min(100.0, self._tokens + 0.1)

    def take(self) -> bool:
        """Spend one retry if there is one."""
        now = time.monotonic()
        self._tokens = min(100.0, self._tokens + (now - self._last) * 10.0)
        self._last = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def grants(self, call: Call, last: bool) -> bool:
        """Wait and return True where the target just tried gets another attempt, else return False. A target
        that asked for a pause gets one only if it is the ``last``."""
        error = call.progress.last_error
        if error is None:
            return False
        wait = random.uniform(0.0, 0.25)
        if error.kind.name == "upstream_rate_limited" and error.retry_after is not None:
            if error.retry_after > _MAX_RETRY_AFTER or not last:
                return False
            wait = float(error.retry_after)
        elif not error.kind.retryable:
            return False
        if wait >= call.deadline - time.monotonic() or not self.take():
            return False
        gevent.sleep(wait)
        call.abort.check()
        return True


def may_continue(call: Call, error: GatewayError) -> bool:
    """Tell whether another attempt may follow ``error``; note the error for the retry rule."""
    progress = call.progress
    if call.abort.reason is not None or progress.refusal is not None:
        return False
    if call.attempts and call.attempts[-1].refused:
        return True  # by a layer, for this target alone
    progress.last_error = error
    return error.kind.falls_back or error.kind.retryable
