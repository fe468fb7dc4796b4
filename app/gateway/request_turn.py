"""The turn of a client's request: stored under this process's own fence, or queued.

Turns of one conversation follow one another: a turn waits a while for the one before it, reads the
history only then, and takes the conversation by its row, which is therefore written at once. Any other
turn's row is written when the first request is about to go out, so what is refused before leaves none.
Tests: tests/lifecycle/test_conversations.py, tests/lifecycle/test_refusals.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from typing import Any, Final

import gevent

from app.canonical.record import record
from app.dialects.base import Frame
from app.errors import GatewayError
from app.gateway.background import job_extra, job_headers
from app.gateway.call import Call
from app.gateway.compaction import asks_compaction, summary_call
from app.gateway.context_management import preview, proceed_with_turn
from app.gateway.exchange import Answer
from app.gateway.layers.base import Proceed, Services
from app.gateway.layers.files import with_files
from app.gateway.operations import encode
from app.gateway.plan import Planned
from app.gateway.run import Batch, Run
from app.gateway.stored_turn import StoredTurn, expand, refers, with_history
from app.state.conversation_rows import LOCKED
from app.state.ids import RESPONSE, new_id
from app.state.records import Ending, Fence
from app.state.state import State

_CONVERSATION_WAIT: Final = 5.0  # seconds that a turn waits for the one before it
_CONVERSATION_LOOK: Final = 0.1


class _Row:
    """Stores one turn as a row that this process owns."""

    def __init__(self, state: State, mount: str) -> None:
        self._state = state
        self._mount = mount
        self._fence: Fence | None = None

    def begin(self, turn: StoredTurn) -> None:
        row = turn.new_row(self._mount, "in_progress", extra={"model": turn.call.model})
        self._fence = self._state.responses.create(row)

    def events(self, turn: StoredTurn, frames: list[Frame]) -> list[dict[str, Any]]:
        return []  # only a background response has a log

    def end(self, turn: StoredTurn, ending: Ending) -> bool:
        call = turn.call
        if self._fence is None:
            return True
        return self._state.responses.finish(
            call.principal.tenant, call.response_id or "", self._fence, ending
        )

    def failure(self, turn: StoredTurn, error: GatewayError) -> tuple[Mapping[str, Any], list[Frame]]:
        return turn.end_in(error), []

    def abandon(self, turn: StoredTurn) -> None:
        self._state.responses.abandon(turn.call.response_id or "")


@record
class RequestHost:
    """A request at ``mount``. ``store``: its turn is stored. ``background``: it is queued for a runner, which stores
    a turn without ``store`` only as long as its log."""

    mount: str
    store: bool
    background: bool = False

    def run(self, services: Services, call: Call, proceed: Proceed) -> Run:
        """Return the run of a call as one turn."""
        state = self._state(services, call)
        body, response_id = {**call.body, "store": self.store}, new_id(RESPONSE)
        thread = response_id if self.store else None
        call = replace(
            call, body=body, response_id=response_id, thread=thread, keeps_signatures=state is not None
        )
        if self.background:
            turn, first = self._begin(services, state, call, self._queue(services))
            return _queue_run(services, turn, first)
        turn, _ = self._begin(services, state, call, _begin_in_conversation)
        try:
            run = self._answer(services, turn, proceed)
        except GatewayError as error:
            turn.fail(error)
            raise
        turn.follow(run)
        return run

    def preview(self, services: Services, call: Call) -> Call:
        """Return the call as targets would get it, with its history; nothing begins, and nothing waits."""
        state = self._state(services, call)
        call = replace(call, body={**call.body, "store": self.store}, keeps_signatures=state is not None)
        expanded = with_history(call, expand(state, call))
        return summary_call(expanded) if asks_compaction(expanded.body) else expanded

    def _answer(self, services: Services, turn: StoredTurn, proceed: Proceed) -> Run:
        """Return the run that answers a turn."""
        return proceed_with_turn(services, turn.call, proceed)

    def _state(self, services: Services, call: Call) -> State | None:
        """Return the store, None for a call that has nothing to do with it."""
        return services.state() if self.store or self.background or refers(call.body) else None

    def _begin(
        self,
        services: Services,
        state: State | None,
        call: Call,
        begin: Callable[[StoredTurn], Planned | None],
    ) -> tuple[StoredTurn, Planned | None]:
        """Return the turn with its history and its route, and what ``begin`` returns for it."""
        limit = time.monotonic() + _CONVERSATION_WAIT
        while True:
            try:
                turn = self._expand(services, state, call)
                return turn, begin(turn)
            except GatewayError as error:
                if error.code != LOCKED or time.monotonic() >= limit:
                    raise
            call.abort.check()
            gevent.sleep(_CONVERSATION_LOOK)

    def _expand(self, services: Services, state: State | None, call: Call) -> StoredTurn:
        """Return the turn with its history and its route; 409 while another of its conversation runs."""
        expansion = expand(state, call, begins=self.store)
        expanded = with_history(call, expansion)
        call.progress.route = services.plan(expanded)
        return StoredTurn(expanded, expansion, self._storage(state))

    def _storage(self, state: State | None) -> _Row | None:
        return _Row(state, self.mount) if state is not None and self.store else None

    def _queue(self, services: Services) -> Callable[[StoredTurn], Planned]:
        """Return the function that queues a turn which a target can take and budgets can pay; it returns the target."""

        def queue(turn: StoredTurn) -> Planned:
            call = with_files(services, turn.call)
            route = call.progress.route = call.progress.route or services.plan(call)
            asked, _ = preview(call, services.prices)
            first = route.first(call, lambda planned: encode(asked, planned))
            check_budgets(services, call)
            row = turn.new_row(
                self.mount,
                "queued",
                store=self.store,
                background=True,
                stream=call.stream,
                request=dict(turn.call.body),
                headers=job_headers(call, route.targets),
                extra=job_extra(call),
            )
            services.state().queue.enqueue(row)
            return first

        return queue


def check_budgets(services: Services, call: Call) -> None:
    """Raise the first target's ``budget_exceeded`` where no target of a call that is queued could be paid now."""
    refused: GatewayError | None = None
    for planned in call.progress.route.targets:
        try:
            services.accounts.check(call, planned.target)
        except GatewayError as error:
            if error.kind.name != "budget_exceeded":
                raise
            refused = refused or error
        else:
            return
    if refused is not None:
        raise refused


def _begin_in_conversation(turn: StoredTurn) -> None:
    """Make sure that a turn can be asked somewhere; begin one that must take its conversation."""
    turn.call.progress.route.first(turn.call)
    if turn.expansion.conversation_id is not None:
        turn.begin()


def _queue_run(services: Services, turn: StoredTurn, first: Planned | None) -> Run:
    """Return the run of a call whose answer is that it was queued."""

    def source(run: Run) -> Generator[Batch, None, None]:
        run.outcome.target = first.target if first else None
        yield Batch([], last=True, answer=Answer(turn.shell("queued")))

    return services.feed(turn.call, source)
