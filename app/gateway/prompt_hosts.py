"""Hosts of calls that read a prompt and store nothing: counts and compaction.

Tests: tests/lifecycle/test_compaction.py, tests/surfaces.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from app.dialects import dialect
from app.dialects.base import Frame
from app.gateway.call import Call
from app.gateway.compaction import compaction_object, summary_body
from app.gateway.estimates import tokens_of_request
from app.gateway.exchange import Answer
from app.gateway.layers.base import Proceed, Services
from app.gateway.offload import aside_for
from app.gateway.outcome import Outcome
from app.gateway.run import Batch, Run
from app.gateway.stored_turn import expand, refers, with_history
from app.gateway.translation import decode_count
from app.state.records import Expansion


class HistoryHost:
    """A call that has its history and is not stored."""

    def run(self, services: Services, call: Call, proceed: Proceed) -> Run:
        """Return the run of the call with its history."""
        return proceed(self.preview(services, call))

    def preview(self, services: Services, call: Call) -> Call:
        """Return the call as targets would get it: with its history."""
        return with_history(call, _history(services, call))


class EstimateHost(HistoryHost):
    """A count of a prompt that names no model: it is estimated here."""

    def run(self, services: Services, call: Call, proceed: Proceed) -> Run:
        """Return a run whose answer is an estimate."""
        call = self.preview(services, call)

        def source(run: Run) -> Generator[Batch, None, None]:
            request = decode_count(call)
            tokens = aside_for(call, lambda: tokens_of_request(request))
            body = dialect(call.dialect).encode_count_response(tokens, estimated=True)
            yield Batch([], last=True, answer=Answer(body))

        return services.feed(call, source)


class CompactionHost:
    """A call whose answer is a summary of its history by the same model."""

    def run(self, services: Services, call: Call, proceed: Proceed) -> Run:
        """Return the run of the call for the summary, shown as that of the compaction."""
        items = _history(services, call).input
        sealer = services.state().sealer

        def compact(outcome: Outcome, frames: list[Frame]) -> None:
            outcome.body = compaction_object(call, items, outcome, sealer)

        run = proceed(replace(call, body=summary_body(call, items)))
        run.outcome.show_as(call)
        run.on_terminal(compact)
        return run

    def preview(self, services: Services, call: Call) -> Call:
        """Return the call for the summary."""
        return replace(call, body=summary_body(call, _history(services, call).input))


def _history(services: Services, call: Call) -> Expansion:
    """Return what a call refers to; the store is opened only where it refers to anything."""
    return expand(services.state() if refers(call.body) else None, call, counts=True)
