"""Background responses: run a job for its owner, log its events and store its end.

The runner of ``app.state`` claims the work and keeps its lease; ``BackgroundWork.execute`` runs it as an
HTTP call is run. Events that come while the log is being written go in as one batch. Tests: tests/lifecycle/test_matrix.py, tests/lifecycle/test_processes.py, tests/lifecycle/test_kill_loop.py.
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
from app.gateway.call import Abort, Call, Principal
from app.gateway.compaction_turn import proceed_with_turn
from app.gateway.layers.base import Proceed, Services
from app.gateway.plan import Planned
from app.gateway.run import Run
from app.gateway.stored_turn import (
    StoredTurn,
    echo_body,
    expand,
    holds_reference,
    is_terminal,
    wants_store,
    with_history,
)
from app.state.ids import new_id
from app.state.records import Ending, Expansion

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


class BackgroundWork:
    """Runs claimed jobs; ``execute`` is what the runner calls."""

    def __init__(self, gateway: Gateway, state: State) -> None:
        self._gateway = gateway
        self._state = state

    def execute(self, job: Job[Work]) -> None:
        """Run one job to its stored end; store nothing once the job is aborted."""
        host = JobHost(job, self._state)
        call = self._call(job, host)
        job.on_abort(lambda reason: call.abort(GatewayError(*_ABORTS[reason])))
        try:
            run = self._gateway.run_job(call)
            for batch in run.batches():
                if not batch.last:
                    host.log(call, batch.frames or run.flush_held())
        except GatewayError:
            return  # its turn stored the end, and listeners got it

    def _call(self, job: Job[Work], host: JobHost) -> Call:
        work = job.work
        extra = work.extra
        return Call(
            id=new_id("req"),
            operation="responses",
            dialect="responses",
            body=echo_body(work.request, wants_store(work.request, True)),
            model=extra["model"],
            candidates=tuple(extra["candidates"]),
            principal=Principal(work.key_id or "", work.tenant),
            abort=Abort(),
            sealing=self._gateway.sealing(work.tenant),
            deadline=time.monotonic() + self._gateway.settings.timeouts.background,
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

    def __init__(self, job: Job[Work], state: State) -> None:
        self._job = job
        self._state = state
        self._log = EventSink()
        self._failing: Callable[[GatewayError], list[Frame]]

    def run(self, services: Services, call: Call, proceed: Proceed) -> Run:
        """Return the run of a job's call; an error before it is stored as the job's end."""
        work = self._job.work
        self._failing = lambda error: self._failure_frames(services, call, error, work.next_number)
        if work.stream:
            self._log.open(self._append, call.abort)
        turn = self._turn(call, Expansion([], [], []))
        try:
            turn = self._expand(services, call)
            run = proceed_with_turn(services, turn.call, proceed)
        except GatewayError as error:
            turn.fail(error)
            raise
        self._failing = lambda error: self._failure_frames(services, turn.call, error, run.next_number)
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
        return [*self._log.drain(), *_events(turn.call, frames)]

    def end(self, turn: StoredTurn, ending: Ending) -> bool:
        """Store the end together with the last events; nothing once the job is aborted."""
        work = self._job.work
        if self._job.aborted is not None:
            return True
        return self._state.responses.finish(work.tenant, work.id, work.fence, ending)

    def failure(self, turn: StoredTurn, error: GatewayError) -> tuple[Mapping[str, Any], list[Frame]]:
        """Return the response object, and the frames, that end a job without output."""
        frames = self._failing(error)
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
        if holds_reference(call.body.get("input")):
            own = self._state.responses.own_input(work.tenant, work.id)
            call = replace(call, body={**call.body, "input": own})
        expansion = expand(self._state, call, accepted=True)
        return self._turn(with_history(call, expansion), expansion)

    def _append(self, events: list[dict[str, Any]]) -> None:
        if not self._state.events.append(self._job.work.id, self._job.work.fence, events):
            self._job.abort("server_lost")

    def _failure_frames(
        self, services: Services, call: Call, error: GatewayError, number: int
    ) -> list[Frame]:
        work = self._job.work
        started = number > work.next_number or work.started
        logged = _STARTED if started else _OPENED
        frames = [frame for frame in services.failure_frames(call, error) if frame.event not in logged]
        for offset, frame in enumerate(frames):
            frame.data["sequence_number"] = number + offset
        return frames


class EventSink:
    """Events for a log: those that come while it is written go in as one batch.

    Until ``open`` it only collects them. ``fail`` gets the error of the log, once.
    """

    def __init__(self) -> None:
        self._pending: list[dict[str, Any]] = []
        self._append: Callable[[list[dict[str, Any]]], None] | None = None
        self._fail: Callable[[GatewayError], None] | None = None
        self._writer: gevent.Greenlet[..., None] | None = None

    def open(
        self, append: Callable[[list[dict[str, Any]]], None], fail: Callable[[GatewayError], None]
    ) -> None:
        """Start to write with ``append``."""
        self._append = append
        self._fail = fail

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
            if self._fail is not None:
                self._fail(error)


def _events(call: Call, frames: list[Frame]) -> list[dict[str, Any]]:
    include = call.body.get("include")
    return [strip_encrypted(frame.data, include) for frame in frames if frame.data is not None]
