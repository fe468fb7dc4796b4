"""Run a batch in this process: its lines in flight, and the cursor behind them.

Lines start in order, several at a time. Each is a call of its own, under the limits of its tenant; one that
a limit refuses waits, without a slot, until the batch's window ends. Results are written in order, with the
cursor in the same transaction. Before a line is sent, that is written down; so a line in flight at a crash
is started once more, and no more often.
Tests: tests/lifecycle/test_batches.py, tests/gateway/test_batch_run.py.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

import gevent
from gevent.event import Event
from gevent.lock import RLock

from app.canonical.record import record
from app.dialects import dialect
from app.dialects.base import encode_error
from app.errors import GatewayError
from app.gateway.batch_lines import Line, Request, answer_line, error_line, lines_of, read_request
from app.gateway.batch_slots import BatchSlots
from app.gateway.call import Abort, Call, Principal
from app.gateway.store import retry_while_away
from app.operations import LINE_CALL, resolve
from app.state.batch_queue import BatchWork, Lookahead, Progress, Result
from app.state.ids import new_id
from app.state.records import JSON, StoredFile, missing
from app.state.runner import Job
from app.state.state import State

if TYPE_CHECKING:
    from app.gateway.core import Gateway


T = TypeVar("T")
_POLL_SECONDS: Final = 1.0  # between two looks at the clock
_MAX_WAIT: Final = 10.0  # seconds at a limit, which may be raised meanwhile
_MAX_BUDGET_WAIT: Final = 60.0  # seconds at a budget; each attempt counts as a request and is logged
_MAX_STARTS: Final = 2  # of one line
_EXPIRY_BATCH: Final = 500  # lines that expire in one transaction
_WINDOW_FACTOR: Final = 4  # lines in the window for each that may be in flight
_MAX_PENDING: Final = 1024 * 1024  # characters of results that wait to be written; past that no line starts

_RETRYABLE: Final = frozenset({"rate_limited", "budget_exceeded", "overloaded", "store_unavailable"})
"""Refusals after which a line that did not go out waits and tries again."""
_EXPIRED: Final = "This request could not be executed before the completion window expired."


@record
class LineCall:
    """What the call of a line is made of: its batch's mount, endpoint and owner, and its body."""

    id: str
    mount: str
    endpoint: str
    body: dict[str, Any]
    size: int
    principal: Principal
    abort: Abort


@dataclass(slots=True)
class _Slot:
    """A line in the window. A line that is ``done`` without a ``result`` did not run. ``is_saved`` says that
    the result is written down while those of lines before it are missing."""

    line: Line
    done: bool = False
    result: Result | None = None
    is_saved: bool = False


def call_of_line(
    gateway: Gateway, work: BatchWork, call_id: str, request: Request, principal: Principal, abort: Abort
) -> Call:
    """Return the call of a line; raises the error of a line that cannot be one."""
    body, make = dict(request.body), resolve("surfaces", LINE_CALL)
    line = LineCall(call_id, work.mount, work.endpoint, body, request.size, principal, abort)
    call: Call = make(gateway, line)
    return call


def executor(gateway: Gateway, state: State) -> Callable[[Job[BatchWork]], None]:
    """Return the function that runs a claimed batch here; all batches of the process share the slots."""
    slots = BatchSlots(gateway.settings.batch_lines)
    return lambda job: BatchRun(gateway, state, slots, job).run()


class BatchRun:
    """One batch, from its cursor on."""

    def __init__(self, gateway: Gateway, state: State, slots: BatchSlots, job: Job[BatchWork]) -> None:
        self._gateway = gateway
        self._state = state
        self._slots = slots
        self._work = job.work
        self._max_bytes = gateway.settings.max_body_bytes
        self._until = time.monotonic() + job.work.left
        self._ending = "cancelled" if job.work.cancelled else ""
        self._stop = Event()
        self._bell = Event()
        self._window: deque[_Slot] = deque()
        self._passed: list[_Slot] = []  # out of the window, and not written yet
        self._window_size = gateway.settings.batch_lines * _WINDOW_FACTOR
        self._at = job.work.line
        self._counts = dict(job.work.in_flight)
        self._started: set[int] = set()
        self._open: set[Abort] = set()
        self._writing = RLock()
        self._version = self._saved = 0
        job.on_abort(self._on_abort)
        job.on_leave(lambda: self._end_as("left"))

    def run(self) -> None:
        """Run the batch to its end, or until it is handed over or lost."""
        try:
            lines = self._lines()
            self._run_lines(lines)
            self._settle(lines)
        except GatewayError as error:
            if error.kind.name == "not_found":
                self._finish(
                    "failed",
                    [
                        {
                            "code": "file_not_found",
                            "message": error.message,
                            "param": "input_file_id",
                            "line": None,
                        }
                    ],
                )
            elif self._ending != "lost":
                raise

    def _lines(self) -> Iterator[Line]:
        work, files = self._work, self._state.files
        stored = self._retry(lambda: files.get(work.tenant, work.input_file_id))
        content = self._content(stored)
        return lines_of(content, number=work.line, position=work.position, max_bytes=self._max_bytes)

    def _content(self, stored: StoredFile) -> Iterator[bytes]:
        """Yield the input from the cursor on."""
        position = self._work.position
        while position < stored.bytes:
            data = self._retry(partial(self._state.files.read, stored.id, position))
            if not data:
                raise missing(stored.id)
            position += len(data)
            yield data

    def _run_lines(self, lines: Iterator[Line]) -> None:
        """Keep the window full until the input or the time for it ends."""
        more = True
        while True:
            if not self._ending and time.monotonic() >= self._until:
                self._end_as("expired")
            while more and not self._ending and self._has_room():
                line = next(lines, None)
                more = line is not None
                if line is not None:
                    self._start(line)
            if all(slot.done for slot in self._window) and (self._ending or not more):
                self._write_done()
                return
            self._bell.wait(_POLL_SECONDS)
            self._bell.clear()
            self._write_done()

    def _settle(self, lines: Iterator[Line]) -> None:
        """Do what is left when no line runs any more."""
        if self._ending == "lost":
            return
        if self._ending == "left":
            self._retry(lambda: self._state.batch_queue.release(self._work.id, self._work.fence))
            return
        rest, self._window = list(self._window), deque()
        self._write(rest)
        if self._ending == "expired":
            while rest := [_Slot(line) for line in islice(lines, _EXPIRY_BATCH)]:
                self._write(rest)
        self._finish(self._ending or "completed")

    def _has_room(self) -> bool:
        pending = sum(len(slot.result.text) for slot in self._window if slot.result is not None)
        return len(self._window) < self._window_size and pending < _MAX_PENDING

    def _start(self, line: Line) -> None:
        slot = _Slot(line)
        self._window.append(slot)
        if (result := self._work.waiting.get(line.number)) is not None:
            slot.result, slot.done, slot.is_saved = result, True, True
            self._bell.set()
        else:
            gevent.spawn(self._run_slot, slot)

    def _run_slot(self, slot: _Slot) -> None:
        try:
            slot.result = self._result(slot.line)
        except Exception as error:  # noqa: BLE001 - whatever it is, the line needs a result
            slot.result = _bad(error_line(None, self._gateway.fault(error, self._work.id)))
        slot.done = True
        self._bell.set()

    def _result(self, line: Line) -> Result | None:
        """Return the result of a line, None where it did not run."""
        request = read_request(line, self._work.endpoint, self._max_bytes)
        if request.fault is not None:
            return _bad(error_line(request.custom_id, request.fault))
        if self._counts.get(line.number, 0) >= _MAX_STARTS:
            message = "The line was in flight when the server was lost, twice; it is not run again."
            return _bad(error_line(request.custom_id, GatewayError("server_lost", message)))
        refusals = 0
        while not self._ending:
            if not self._slots.take(self._work.tenant, self._stop.is_set):
                break
            try:
                result = self._try(line, request)
            finally:
                self._slots.release(self._work.tenant)
            if not isinstance(result, GatewayError):
                return result
            self._stop.wait(pause_after(result, refusals))
            refusals += 1
        return None

    def _try(self, line: Line, request: Request) -> Result | GatewayError | None:
        """Return the result of a line's call, the refusal after which it waits, or None where it was aborted."""
        call: Call | None = None
        call_id, abort = new_id("req"), Abort()
        self._open.add(abort)
        try:
            principal = self._gateway.principal_of(self._work.key_id, self._work.tenant)
            call = call_of_line(self._gateway, self._work, call_id, request, principal, abort)
            run = self._gateway.run_line(call)
            run.on_attempt(lambda attempt: self._mark(line.number))
            outcome = run.result()
            return Result(True, answer_line(request.custom_id, call_id, 200, outcome.body, outcome.losses))
        except GatewayError as error:
            if abort.reason is not None:
                return None
            if _is_retryable(error, call):
                return error
            if call is not None:
                self._gateway.refuse(error, call)
            return _bad(_error_line(self._work.endpoint, request.custom_id, call_id, error))
        finally:
            self._open.discard(abort)

    def _mark(self, number: int) -> None:
        """Write down that a line is about to be sent; raises where that cannot be done."""
        if number in self._started:
            return
        self._started.add(number)
        self._counts[number] = self._counts.get(number, 0) + 1
        self._version += 1
        version = self._version
        try:
            with self._writing:
                if self._saved < version:
                    self._save(partial(self._state.batch_queue.mark, self._work))
        except GatewayError:
            self._started.discard(number)
            self._counts[number] -= 1
            raise

    def _save(self, write: Callable[[Lookahead], bool]) -> None:
        """Write the state of the lines past the cursor; raises when the batch is another process's."""
        version = self._version
        done = [slot for slot in (*self._passed, *self._window) if slot.result is not None]
        waiting = {slot.line.number: slot.result for slot in done if slot.result is not None}
        in_flight = {line: count for line, count in self._counts.items() if line not in waiting}
        if not write(Lookahead(in_flight, waiting)):
            self._on_abort("server_lost")
            raise _lost_error()
        self._saved = version
        for slot in done:
            slot.is_saved = True

    def _write_done(self) -> None:
        """Write the lines that are done at the head of the window, and save the results of others."""
        if self._ending == "lost":
            return
        done = []
        while self._window and self._window[0].result is not None:
            done.append(self._window.popleft())
        if done:
            self._write(done)
        elif any(slot.result is not None and not slot.is_saved for slot in self._window):
            with self._writing:
                self._retry(lambda: self._save(partial(self._state.batch_queue.mark, self._work)))

    def _write(self, slots: list[_Slot]) -> None:
        """Move the cursor over ``slots``; those that did not run expire where the time is over."""
        if not slots:
            return
        for slot in slots:
            if slot.result is None and self._ending == "expired":
                slot.result = self._expire(slot.line)
        results = [slot.result for slot in slots if slot.result is not None]
        good = [result.text for result in results if result.good]
        bad = [result.text for result in results if not result.good]
        last = slots[-1].line
        progress = Progress(
            first=self._at,
            line=last.number + 1,
            position=last.end,
            completed=len(good),
            failed=len(bad),
            output="".join(good).encode(),
            errors="".join(bad).encode(),
        )
        advance = partial(self._state.batch_queue.advance, self._work, progress)
        self._passed = slots
        with self._writing:
            self._passed = []
            for slot in slots:
                self._counts.pop(slot.line.number, None)
            self._retry(lambda: self._save(advance))
        self._at = progress.line

    def _expire(self, line: Line) -> Result:
        request = read_request(line, self._work.endpoint, self._max_bytes)
        expired = GatewayError("upstream_timeout", _EXPIRED, code="batch_expired")
        return _bad(error_line(request.custom_id, request.fault or expired))

    def _finish(self, status: str, errors: list[JSON] | None = None) -> None:
        work = self._work
        self._retry(lambda: self._state.batch_queue.finish(work.id, work.fence, status, errors))

    def _retry(self, run: Callable[[], T]) -> T:
        """Return the store's answer, and wait while it is away; raises once the batch is lost."""
        return retry_while_away(run, self._check_lost)

    def _check_lost(self) -> None:
        if self._ending == "lost":
            raise _lost_error()

    def _on_abort(self, reason: str) -> None:
        """Note why the batch must stop; calls in flight go on only where their results can be stored."""
        self._end_as(_ENDINGS[reason])
        if self._ending in ("lost", "left"):
            error = GatewayError("server_shutdown", "The line will be run by another process.")
            for abort in list(self._open):
                abort(error)

    def _end_as(self, ending: str) -> None:
        """Start no more lines; the first reason stays, unless the batch is lost."""
        if not self._ending or ending == "lost":
            self._ending = ending
        self._stop.set()
        self._bell.set()


_ENDINGS: Final = {"cancelled": "cancelled", "server_lost": "lost", "server_shutdown": "left"}


def pause_after(refusal: GatewayError, before: int) -> float:
    """Return the seconds that a line waits after a refusal; ``before`` counts its earlier ones."""
    if refusal.kind.name == "budget_exceeded":
        return min(2.0 ** min(before, 6), _MAX_BUDGET_WAIT)
    return min(float(refusal.retry_after or 1), _MAX_WAIT)


def _is_retryable(error: GatewayError, call: Call | None) -> bool:
    """Tell whether a line was refused before it went out, and may be tried again."""
    is_sent = call is not None and any(not attempt.refused for attempt in call.attempts)
    return error.kind.name in _RETRYABLE and not is_sent


def _error_line(endpoint: str, custom_id: str | None, call_id: str, error: GatewayError) -> str:
    """Return the line of a request that an error answered, in the form of its endpoint."""
    dialect_name = _DIALECTS.get(endpoint)
    if dialect_name is None:
        return answer_line(custom_id, call_id, error.status, encode_error(error))
    row = dialect(dialect_name)
    return answer_line(custom_id, call_id, row.error_status(error), row.encode_error(error))


_DIALECTS: Final = {"/v1/messages": "messages"}
"""The dialects of endpoints whose errors do not have OpenAI's form."""


def _bad(text: str) -> Result:
    return Result(False, text)


def _lost_error() -> GatewayError:
    return GatewayError("server_lost", "Another process runs this batch now.")
