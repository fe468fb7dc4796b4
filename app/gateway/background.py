"""Background responses: run a job for its owner, log its events and store its end.

The runner of ``app.state`` claims the work and keeps its lease; ``execute`` runs it as an HTTP call is run. Events
that come while the log is being written go in as one batch. Tests: tests/lifecycle/test_matrix.py,
tests/lifecycle/test_processes.py, tests/lifecycle/test_kill_loop.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import gevent

from app.dialects.base import Frame
from app.dialects.responses.echo import strip_encrypted
from app.errors import GatewayError
from app.gateway import attempt_rows
from app.gateway.call import Abort, Call, absent_owner
from app.gateway.context_management import proceed_with_turn
from app.gateway.layers.base import Proceed, Services
from app.gateway.plan import Planned
from app.gateway.run import Run
from app.gateway.stored_turn import (
    StoredTurn,
    expand,
    holds_reference,
    is_terminal,
    wants_store,
    with_history,
)
from app.responses_form.events import size_of
from app.state.ids import new_id
from app.state.records import Ending, Expansion
from app.wire.offload import aside

if TYPE_CHECKING:
    from app.gateway.core import Gateway
    from app.state.background import Work
    from app.state.runner import Job
    from app.state.state import State


_MAX_PENDING: Final = 1_000  # events that may wait for the log

_ABORTS: Final[Mapping[str, tuple[str, str]]] = {
    "cancelled": ("cancelled", "The response was cancelled."),
    "server_lost": ("server_lost", "Another worker runs this response now."),
    "server_shutdown": ("server_shutdown", "The worker is shutting down."),
}
_OPENED: Final = frozenset({"response.created", "response.queued"})
_STARTED: Final = frozenset({*_OPENED, "response.in_progress"})


def job_extra(call: Call) -> dict[str, Any]:
    """Return what a job needs of the call besides its body."""
    return {
        "model": call.model,
        "candidates": list(call.candidates),
        "default_provider": call.default_provider,
        "prefer": list(call.prefer) if call.prefer else None,
        "strict": call.strict,
        "may_leave_out": sorted(call.may_leave_out),
    }


def job_headers(call: Call, targets: Iterable[Planned]) -> dict[str, str]:
    """Return the client's headers that one of ``targets`` takes; only these are stored."""
    names = {name for planned in targets for name in _forwarded_names(planned)}
    return {name: value for name, value in call.client_headers.items() if name in names}


def _forwarded_names(planned: Planned) -> tuple[str, ...]:
    wire_names = () if isinstance(planned.plan, GatewayError) else planned.plan.wire.forwards
    return (*planned.target.provider.spec.forwards, *wire_names)


def execute(gateway: Gateway, state: State, job: Job[Work]) -> None:
    """Run one job to its stored end; store nothing once the job is aborted."""
    abort = Abort()
    host = JobHost(gateway, state, job, abort)
    call = _call_of(gateway, job.work, host, abort)
    job.on_abort(lambda reason: abort(GatewayError(*_ABORTS[reason])))
    try:
        run = gateway.run_job(call)
        for batch in run.batches():
            if not batch.last:
                host.log(call, batch.frames or run.flush_held())
    except GatewayError:
        return  # its turn stored the end, and listeners got it


def _call_of(gateway: Gateway, work: Work, host: JobHost, abort: Abort) -> Call:
    extra = work.extra
    return Call(
        id=new_id("req"),
        operation="responses",
        dialect="responses",
        body={**work.request, "store": wants_store(work.request, True)},
        model=extra["model"],
        candidates=tuple(extra["candidates"]),
        principal=absent_owner(work.key_id, work.tenant),
        abort=abort,
        sealing=gateway.sealing(work.tenant),
        deadline=time.monotonic() + gateway.settings.timeouts.background,
        default_provider=extra.get("default_provider"),
        stream=True,
        strict=bool(extra.get("strict")),
        prefer=tuple(extra["prefer"]) if extra.get("prefer") else None,
        may_leave_out=frozenset(extra.get("may_leave_out") or ()),
        client_headers=work.headers,
        created_at=int(work.object["created_at"]),
        response_id=work.id,
        thread=work.id,
        host=host,
        names_files=True,
        signs=True,
    )


class JobHost:
    """Stores the turn of a job under the job's fence, with its events in the log."""

    def __init__(self, services: Services, state: State, job: Job[Work], abort: Abort) -> None:
        self._services = services
        self._state = state
        self._job = job
        self._log = EventSink(self._append if job.work.stream else None, abort)
        self._call: Call
        self._run: Run | None = None

    def run(self, services: Services, call: Call, proceed: Proceed) -> Run:
        """Return the run of a job's call; an error before it is stored as the job's end."""
        work = self._job.work
        self._call = call
        turn = self._turn(call, Expansion([], [], []))
        try:
            turn = self._expand(services, call)
            run = proceed_with_turn(services, turn.call, proceed)
        except GatewayError as error:
            turn.fail(error)
            raise
        self._call, self._run = turn.call, run
        run.continue_at(work.next_number, _STARTED if work.started else _OPENED)
        run.on_attempt(attempt_rows.writer(self._state, work))
        turn.follow(run)
        return run

    def log(self, call: Call, frames: list[Frame]) -> None:
        """Log frames; where the log has no reader they wait for the end."""
        if self._job.aborted is None:
            self._log.add(_events(call, frames))

    def begin(self, turn: StoredTurn) -> None:
        """Do nothing: the row exists, and its fence is the job's."""

    def events(self, turn: StoredTurn, frames: list[Frame]) -> list[dict[str, Any]]:
        """Return the events that are not yet in the log."""
        size = size_of(frame.data for frame in frames if frame.data is not None)
        return [*self._log.drain(), *aside(size, lambda: _events(turn.call, frames))]

    def end(self, turn: StoredTurn, ending: Ending) -> bool:
        """Store the end together with the last events; nothing once the job is aborted."""
        work = self._job.work
        if self._job.aborted is not None:
            return True
        return self._state.responses.finish(work.tenant, work.id, work.fence, ending)

    def failure(self, turn: StoredTurn, error: GatewayError) -> tuple[Mapping[str, Any], list[Frame]]:
        """Return the response object, and the frames, that end a job without output."""
        work = self._job.work
        number = work.next_number if self._run is None else self._run.next_number
        logged = _STARTED if number > work.next_number or work.started else _OPENED
        frames = self._services.failure_frames(self._call, error)
        frames = [frame for frame in frames if frame.event not in logged]
        for offset, frame in enumerate(frames):
            frame.data["sequence_number"] = number + offset
        return next(frame.data["response"] for frame in frames if is_terminal(frame)), frames

    def abandon(self, turn: StoredTurn) -> None:
        """Do nothing: the runner gives up the lease."""

    def _turn(self, call: Call, expansion: Expansion) -> StoredTurn:
        turn = StoredTurn(call, expansion, self)
        turn.begin()
        return turn

    def _expand(self, services: Services, call: Call) -> StoredTurn:
        """Check the owner again and put the history before the input."""
        work = self._job.work
        call = replace(call, principal=services.principal_of(work.key_id, work.tenant))
        call.principal.check_operation(call.operation)
        if holds_reference(call.body.get("input")):
            own = self._state.responses.own_input(work.tenant, work.id)
            call = replace(call, body={**call.body, "input": own})
        expansion = expand(self._state, call, accepted=True)
        return self._turn(with_history(call, expansion), expansion)

    def _append(self, events: list[dict[str, Any]]) -> None:
        if not self._state.events.append(self._job.work.id, self._job.work.fence, events):
            self._job.abort("server_lost")


class EventSink:
    """Events for a log: those that come while it is written go in as one batch.

    Without ``append``, which writes the log, it only collects them. ``fail`` gets the error of the log, once.
    """

    def __init__(
        self, append: Callable[[list[dict[str, Any]]], None] | None, fail: Callable[[GatewayError], None]
    ) -> None:
        self._append = append
        self._fail = fail
        self._pending: list[dict[str, Any]] = []
        self._writer: gevent.Greenlet[..., None] | None = None

    def add(self, events: list[dict[str, Any]]) -> None:
        """Add events; wait where the log is far behind."""
        self._pending += events
        if self._append is None or not self._pending:
            return
        if self._writer is None or self._writer.ready():
            self._writer = gevent.spawn(self._write, self._append)
        if len(self._pending) > _MAX_PENDING:
            self._writer.join()

    def drain(self) -> list[dict[str, Any]]:
        """Wait for the writer; return the events that it did not write."""
        if self._writer is not None:
            self._writer.join()
        pending, self._pending = self._pending, []
        return pending

    def _write(self, append: Callable[[list[dict[str, Any]]], None]) -> None:
        try:
            while self._pending:
                events, self._pending = self._pending, []
                append(events)
        except GatewayError as error:
            self._append = None
            self._fail(error)


def _events(call: Call, frames: list[Frame]) -> list[dict[str, Any]]:
    include = call.body.get("include")
    return [strip_encrypted(frame.data, include) for frame in frames if frame.data is not None]
