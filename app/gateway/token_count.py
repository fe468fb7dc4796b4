"""Exchanges that count a prompt's tokens: with the provider's counter, else by a marked estimate.

Tests: tests/lifecycle/test_refusals.py, tests/surfaces/test_envelopes.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app.canonical.request import Request
from app.canonical.response import Response
from app.dialects import dialect
from app.dialects.base import PassThrough
from app.errors import GatewayError
from app.gateway.call import Call, Target
from app.gateway.estimates import tokens_of_request
from app.gateway.exchange import Answer, Exchange, Fetch, Sent
from app.gateway.offload import aside_for
from app.gateway.plan import Plan
from app.gateway.translation import client_context, decode_count, losses_of, parse_upstream, server_context
from app.providers.base import Wire
from app.wire.json import dumps


def make_exchange(call: Call, target: Target, chosen: Plan) -> Exchange:
    """Return the exchange that counts; without a counter of the provider it estimates."""
    if chosen.serves != "count_tokens":
        return EstimateExchange(call, target, chosen.wire)
    make = PassedCountExchange if chosen.way == "pass" else CountExchange
    return make(call, target, chosen.wire)


class CountExchange:
    """One attempt at the provider's own counter."""

    passed = False

    def __init__(self, call: Call, target: Target, wire: Wire) -> None:
        self.wire = wire
        self.losses = losses_of(call, target)
        self._call = call
        self._request: Request = replace(decode_count(call), model=target.model, stream=False)
        self._client = dialect(wire.dialect)
        self._server = dialect(call.dialect)
        self._context = client_context(call, target, wire, self.losses, self._request)

    def send(self) -> Sent:
        """Encode the prompt."""
        return aside_for(self._call, self._sent)

    def _sent(self) -> Sent:
        encoded = self._client.encode_count(self._request, self._context)
        return Sent(dumps(encoded.body), encoded.headers)

    def fetch(self, fetch: Fetch) -> Answer:
        """Fetch the count."""
        raw = parse_upstream(fetch(self.send()).body)
        return Answer(self._server.encode_count_response(self._client.decode_count(raw)), raw=raw)

    def translator(self, headers: Mapping[str, str]) -> Any:
        """Raise: counts are not streamed."""
        raise GatewayError("unsupported_operation", "Token counts are not streamed.")

    def estimate(self, response: Response) -> None:
        """Return None: a count has no usage."""
        return None

    def error(self, status: int, body: Any, headers: Mapping[str, str]) -> GatewayError:
        """Read the target's error body."""
        return self._client.decode_error(status, body, headers)


class PassedCountExchange(CountExchange):
    """One attempt at a counter that takes the caller's body whole."""

    passed = True

    def __init__(self, call: Call, target: Target, wire: Wire) -> None:
        super().__init__(call, target, wire)
        if self._server.patch is None:
            raise RuntimeError(f"{self._server.name} has no patch, so nothing of it passes")
        passage = PassThrough(call.full_body, self._context, server_context(call, target.model))
        self._patch = self._server.patch(passage)

    def _sent(self) -> Sent:
        return Sent(dumps(self._patch.request()))


class EstimateExchange(CountExchange):
    """An estimate, where the provider has no counter."""

    def fetch(self, fetch: Fetch) -> Answer:
        """Return the estimate; nothing is fetched."""
        tokens = aside_for(self._call, lambda: tokens_of_request(self._request))
        return Answer(self._server.encode_count_response(tokens, estimated=True))
