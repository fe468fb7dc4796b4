"""Exchanges that count a prompt's tokens: with the provider's counter, else by a marked estimate.

Tests: tests/lifecycle/test_refusals.py, tests/surfaces/test_envelopes.py.
"""

from __future__ import annotations

from dataclasses import replace

from app.dialects import dialect
from app.dialects.base import Dialect, PassThrough
from app.gateway.call import Call, Target
from app.gateway.estimates import tokens_of_request
from app.gateway.exchange import Answer, Exchange, Fetch, Sent
from app.gateway.offload import aside_for
from app.gateway.plan import Plan
from app.gateway.translation import DialectExchange, decode_count, json_request, losses_of, parse_upstream
from app.providers.base import Wire
from app.wire.json import dumps


def make_exchange(call: Call, target: Target, chosen: Plan) -> Exchange:
    """Return the exchange that counts; without a counter of the provider it estimates."""
    if chosen.serves != "count_tokens":
        return EstimateExchange(call, target, chosen.wire)
    make = PassedCountExchange if chosen.way == "pass" else CountExchange
    return make(call, target, chosen.wire)


class CountExchange(DialectExchange[Dialect]):
    """One attempt at the provider's own counter."""

    def __init__(self, call: Call, target: Target, wire: Wire) -> None:
        request = replace(decode_count(call), model=target.model, stream=False)
        losses = losses_of(call, target)
        super().__init__(dialect(wire.dialect), dialect(call.dialect), call, target, wire, request, losses)

    def send(self) -> Sent:
        """Encode the prompt."""
        return aside_for(self._call, self._sent)

    def _sent(self) -> Sent:
        return json_request(self._client.encode_count(self._request, self._context))

    def fetch(self, fetch: Fetch) -> Answer:
        """Fetch the count."""
        raw = parse_upstream(fetch(self.send()).body)
        return Answer(self._server.encode_count_response(self._client.decode_count(raw)), raw=raw)


class PassedCountExchange(CountExchange):
    """One attempt at a counter that takes the caller's body whole."""

    passed = True

    def __init__(self, call: Call, target: Target, wire: Wire) -> None:
        super().__init__(call, target, wire)
        if self._server.patch is None:
            raise RuntimeError(f"{self._server.name} has no patch, so nothing of it passes")
        self._patch = self._server.patch(PassThrough(call.full_body, self._context, self._server_context))

    def _sent(self) -> Sent:
        return Sent(dumps(self._patch.request()))


class EstimateExchange(CountExchange):
    """An estimate, where the provider has no counter."""

    def fetch(self, fetch: Fetch) -> Answer:
        """Return the estimate; nothing is fetched."""
        tokens = aside_for(self._call, lambda: tokens_of_request(self._request))
        return Answer(self._server.encode_count_response(tokens, estimated=True))
