"""Background responses: one job run for its owner, its events logged, its end stored.

The runner of ``app.state`` claims the work and keeps its lease; ``BackgroundWork.execute``
does it by the same streamed run that an HTTP call uses. Events gather while the log is
being written and go in as one batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

import gevent
from gevent.queue import Empty, Queue

from app.dialects.base import Frame
from app.dialects.responses.echo import strip_encrypted
from app.errors import GatewayError
from app.gateway.call import Abort, Call, Principal, Sealing, Target
from app.gateway.runs import note_tries
from app.gateway.signatures import has_tool_calls, keep_signatures, restore_signatures
from app.gateway.streaming import Batch, StreamRun
from app.gateway.turns import (
    complete_now,
    holds_reference,
    is_terminal,
    open_turn,
    told_losses,
)
from app.state.ids import new_id
from app.state.records import Ending
from app.state.runner import Job
from app.state.state import State

_DEPTH: Final = 64

_ABORTS: Final[Mapping[str, tuple[str, str]]] = {
    "cancelled": ("cancelled", "The response was cancelled."),
    "server_lost": ("server_lost", "Another worker runs this response now."),
    "server_shutdown": ("server_shutdown", "The worker is shutting down."),
}


class Host(Protocol):
    """What a job needs of the gateway that runs it."""

    sealing: Callable[[str], Sealing]

    def background_timeout(self) -> float: ...

    def principal_of(self, key: str | None, tenant: str) -> Principal: ...

    def background_run(self, call: Call, *, first: int, leave_out: frozenset[str]) -> StreamRun: ...

    def failure_frames(self, call: Call, error: GatewayError) -> list[Frame]: ...


def job_extra(call: Call) -> dict[str, Any]:
    """Return what a job must know of the call beyond its body."""
    return {
        "model": call.model,
        "candidates": list(call.candidates),
        "default_provider": call.default_provider,
        "prefer": list(call.prefer) if call.prefer else None,
        "strict": call.strict,
        "may_leave_out": sorted(call.may_leave_out),
    }


def job_headers(call: Call, targets: Iterable[Target | GatewayError]) -> dict[str, str]:
    """Return the client's headers that one of ``targets`` takes; no other header is stored."""
    taken = {
        name for target in targets if isinstance(target, Target) for name in target.provider.spec.forwards
    }
    return {name: value for name, value in call.client_headers.items() if name in taken}


class BackgroundWork:
    """Runs claimed jobs; ``execute`` is what the runner calls."""

    def __init__(self, host: Host, state: State) -> None:
        self._host = host
        self._state = state

    def execute(self, job: Job) -> None:
        """Run one job to its stored end; stores nothing once it was told to stop."""
        call = self._call(job)
        job.on_abort(lambda reason: call.abort(GatewayError(*_ABORTS[reason])))
        try:
            self._expand(call, job)
        except GatewayError as error:
            self._end(job, call, None, self._failed(job, call, error, None), [])
            return
        self._run(job, call)

    def _call(self, job: Job) -> Call:
        work = job.work
        extra = work.extra
        return Call(
            id=new_id("req"),
            operation="responses",
            dialect="responses",
            body=work.request,
            model=extra["model"],
            candidates=tuple(extra["candidates"]),
            principal=Principal(work.key_id or "", work.tenant),
            abort=Abort(),
            sealing=self._host.sealing(work.tenant),
            deadline=time.monotonic() + self._host.background_timeout(),
            default_provider=extra.get("default_provider"),
            stream=True,
            strict=bool(extra.get("strict")),
            prefer=tuple(extra["prefer"]) if extra.get("prefer") else None,
            may_leave_out=frozenset(extra.get("may_leave_out") or ()),
            client_headers=work.headers,
            created_at=int(work.object["created_at"]),
            response_id=work.id,
        )

    def _expand(self, call: Call, job: Job) -> None:
        """Check the owner again and put the history before the input."""
        call.principal = self._host.principal_of(job.work.key_id, job.work.tenant)
        if holds_reference(call.body.get("input")):
            own = self._state.responses.own_input(job.work.tenant, job.work.id)
            call.body = {**call.body, "input": own}
        open_turn(self._state, call, store=True, response_id=job.work.id, accepted=True)
        note_tries(self._state, call, job.work)
        if has_tool_calls(call.body if call.upstream_body is None else call.upstream_body):
            restore_signatures(self._state, call)

    def _run(self, job: Job, call: Call) -> None:
        done = {"response.created", "response.queued"}
        if job.work.started:
            done.add("response.in_progress")
        run = self._host.background_run(call, first=job.work.next_number, leave_out=frozenset(done))
        channel: Queue[Batch | GatewayError] = Queue(_DEPTH)
        gevent.spawn(_fill, run, channel)
        pending: list[dict[str, Any]] = []
        while True:
            batch = _gathered(channel, run)
            if job.aborted is not None:
                _let_go(channel)
                return
            if isinstance(batch, GatewayError):
                batch = Batch(self._failed(job, call, batch, run), last=True)
            if batch.last:
                self._end(job, call, run, batch.frames, pending)
                return
            pending = self._log(job, call, pending + self._events(call, batch.frames))

    def _log(self, job: Job, call: Call, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Append to the log where the job has readers from the start; else keep for the end."""
        if not job.work.stream or not events:
            return events
        if not self._state.events.append(job.work.id, job.work.fence, events):
            call.abort(GatewayError("server_lost", "Another worker runs this response now."))
            job.abort("server_lost")
        return []

    def _end(
        self, job: Job, call: Call, run: StreamRun | None, frames: list[Frame], pending: list[dict[str, Any]]
    ) -> None:
        """Store the terminal state together with the last events of the log."""
        if job.aborted is not None:
            return
        terminal = next(frame.data["response"] for frame in frames if is_terminal(frame))
        complete_now(terminal)
        outcome = run.outcome if run is not None else None
        target = outcome.target if outcome is not None else None
        if outcome is not None:
            keep_signatures(self._state, call, outcome)
        self._state.responses.finish(
            job.work.tenant,
            job.work.id,
            job.work.fence,
            Ending(
                status=terminal["status"],
                object=terminal,
                events=[*pending, *self._events(call, frames)],
                realm=target.provider.realm(target.key) if target else None,
                provider=target.provider.name if target else None,
                model=target.model if target else None,
                upstream_id=outcome.response.id if outcome and outcome.response else None,
                extra=told_losses(outcome.losses if outcome else ()),
            ),
        )

    def _failed(self, job: Job, call: Call, error: GatewayError, run: StreamRun | None) -> list[Frame]:
        """Return the numbered frames that end a job of which no output was made."""
        frames = [
            frame
            for frame in self._host.failure_frames(call, error)
            if frame.event not in ("response.created", "response.queued")
        ]
        number = run.next_number if run is not None else job.work.next_number
        if number > job.work.next_number or job.work.started:
            frames = [frame for frame in frames if frame.event != "response.in_progress"]
        for offset, frame in enumerate(frames):
            frame.data["sequence_number"] = number + offset
        return frames

    @staticmethod
    def _events(call: Call, frames: list[Frame]) -> list[dict[str, Any]]:
        include = call.body.get("include")
        return [strip_encrypted(frame.data, include) for frame in frames if frame.data is not None]


def _fill(run: StreamRun, channel: Queue[Batch | GatewayError]) -> None:
    try:
        for batch in run.batches():
            if not batch.frames and run.holding:
                batch = Batch(run.take_held(), last=False)
            channel.put(batch)
    except GatewayError as error:
        channel.put(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, the response must end
        fault = GatewayError("internal", "The gateway met an internal error.")
        fault.__cause__ = error
        channel.put(fault)


def _gathered(channel: Queue[Batch | GatewayError], run: StreamRun) -> Batch | GatewayError:
    """Return the next batch joined with all that is already waiting."""
    first = channel.get()
    if isinstance(first, GatewayError) or first.last:
        return first
    frames = list(first.frames)
    while True:
        try:
            more = channel.peek(block=False)
        except Empty:
            return Batch(frames, last=False)
        if isinstance(more, GatewayError) or more.last:
            return Batch(frames, last=False)
        frames += channel.get().frames  # type: ignore[union-attr]  # it was peeked


def _let_go(channel: Queue[Batch | GatewayError]) -> None:
    """Wake the filling greenlet if it waits for room; it ends by the abort."""
    channel.maxsize = None  # type: ignore[misc]  # gevent's stubs lack the setter
    if not channel.empty():
        channel.get_nowait()
