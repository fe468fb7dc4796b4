"""Puts back, and keeps, what an answer's tool calls must bring back (``app.gateway.signatures``).

Tests: tests/lifecycle/test_sealing.py, tests/lifecycle/test_outage.py.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Final

from app.dialects import dialect
from app.dialects.base import Frame
from app.errors import GatewayError
from app.gateway.call import Call
from app.gateway.layers.base import CallLayer, Proceed, Services
from app.gateway.outcome import Outcome
from app.gateway.run import Run
from app.gateway.signatures import signatures_of, with_signatures
from app.gateway.translation import decode_call

_LOG: Final = logging.getLogger(__name__)


def make(services: Services) -> CallLayer:
    """Return the layer."""
    return _Signatures(services)


class _Signatures:
    """An answer is worth more than its signatures: trouble of the store is only logged."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def __call__(self, call: Call, proceed: Proceed) -> Run:
        if not call.signs:
            return proceed(call)
        stored = self._load(call)
        if stored:
            call = replace(call, request=with_signatures(decode_call(call), stored))
        run = proceed(call)
        if call.keeps_signatures:
            run.on_terminal(self._keep)
        return run

    def _load(self, call: Call) -> dict[str, Any]:
        ids = list(dialect(call.dialect).call_ids(call.full_body))
        if not ids:
            return {}
        try:
            return self._services.state().vault.get(call.principal.tenant, ids)
        except GatewayError as error:
            _note(call, error)
            return {}

    def _keep(self, outcome: Outcome, frames: list[Frame]) -> None:
        entries = signatures_of(outcome)
        if not entries:
            return
        try:
            self._services.state().vault.put(outcome.call.principal.tenant, entries)
        except GatewayError as error:
            _note(outcome.call, error)


def _note(call: Call, error: GatewayError) -> None:
    """Log trouble of the store, which a call survives; raise any other error."""
    if error.kind.name != "store_unavailable":
        raise error
    _LOG.warning("signatures of %s were left out: %s", call.id, error.message)
