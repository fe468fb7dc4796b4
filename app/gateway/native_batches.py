"""Run a batch at a provider: send it there, poll it, and fetch its results.

Each claim of the queue is one poll; then the batch is parked until the next. A batch that a provider refuses
before any line ran is run here instead. The request for a batch is written down before it is sent; when it
is not known whether the provider made the batch, it is searched for by the id that the gateway gave it.
Tests: tests/lifecycle/test_native_batches.py.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from app.canonical.batches import BatchObject
from app.dialects.uploads.batches import WINDOW
from app.errors import GatewayError
from app.gateway import native_results
from app.gateway.batch_lines import Line, lines_of, read_request
from app.gateway.batch_run import call_of_line
from app.gateway.call import Abort, Call, Target
from app.gateway.native_lines import NativeFile, write_native
from app.gateway.provider_batches import ProviderBatches
from app.gateway.provider_files import account_of, realm_of
from app.gateway.store import retry_while_away
from app.state.batch_queue import BatchWork
from app.state.ids import new_id
from app.state.records import JSON
from app.state.remote_batches import RemoteBatch
from app.state.runner import Job
from app.state.state import State
from app.wire.fairness import Turns

if TYPE_CHECKING:
    from app.gateway.core import Gateway


T = TypeVar("T")
_LOG: Final = logging.getLogger(__name__)
_MIN_PAUSE: Final = 5.0  # seconds between two polls
_MAX_PAUSE: Final = 60.0
_PAUSE_SHARE: Final = 0.1  # of the time that a batch took so far
_GRACE: Final = 3_600.0  # seconds past its window for which a batch is still polled
_MAX_ATTEMPTS: Final = 5
_TRANSIENT: Final = frozenset({"rate_limited", "overloaded", "upstream_rate_limited", "conflict"})
"""Refusals that may be over soon."""


class NativeBatch:
    """One poll of one batch."""

    def __init__(self, gateway: Gateway, state: State, job: Job[BatchWork]) -> None:
        self._gateway, self._state, self._work = gateway, state, job.work
        self._abort = Abort()
        self._cancelled = job.work.cancelled
        self._is_released = False
        job.on_leave(self._release)
        job.on_abort(self._record_reason)

    def run(self) -> bool:
        """Do what is due; return False for a batch that is to be run here.

        After trouble at the provider or with the store, the batch is polled again later."""
        try:
            if self._poll():
                return True
            if self._is_released and self._abort.reason is None:
                self._retry(lambda: self._state.batch_queue.release(self._work.id, self._work.fence))
                return True
            return self._abort.reason is not None
        except GatewayError as error:
            if self._abort.reason is not None:
                return True
            if self._work.remote is not None and (
                self._work.left < -_GRACE or error.kind.name == "not_found"
            ):
                return self._give_up(error)
            self._warn("is polled again later", error)
            self._park()
            return True

    def _poll(self) -> bool:
        remote = self._work.remote
        if remote is None:
            return self._start()
        target = account_of(self._gateway.registry, remote.provider, remote.realm, remote.model)
        if target is None:
            message = f"The account of provider '{remote.provider}' that runs this batch is not configured any more."
            raise GatewayError("not_found" if self._cancelled else "provider_not_configured", message)
        account = self._account(target)
        if remote.id is None:
            return self._create(account, remote, target)
        return self._follow(account, remote.id, remote, target)

    # --- sending it ------------------------------------------------------------------------------

    def _start(self) -> bool:
        """Send a batch to a provider that may run it; return False where none may."""
        work = self._work
        if work.is_local or work.line or work.in_flight or work.waiting or self._cancelled or work.left <= 0:
            return False
        if (
            not self._gateway.settings.native_batches
            or work.window != WINDOW
            or work.fence.attempt > _MAX_ATTEMPTS
        ):
            return False
        with closing(NativeFile()) as content:
            target = self._write_input(content)
            if target is None:
                return False
            account = self._account(target)
            try:
                uploaded = account.upload(f"{work.id}.jsonl", content)
            except GatewayError as error:
                if self._is_final(error):
                    self._warn("was refused by its provider, and runs here", error)
                    return not self._assign(None)
                raise
        remote = RemoteBatch(target.provider.name, realm_of(target), target.model, uploaded)
        return not self._assign(remote) or self._create(account, remote, target)

    def _write_input(self, content: NativeFile) -> Target | None:
        """Write the lines for a provider; return the account, None where the batch must run here."""
        work, files = self._work, self._state.files
        try:
            principal = self._gateway.principal_of(work.key_id, work.tenant)
            stored = files.get(work.tenant, work.input_file_id)
        except GatewayError as error:
            if error.kind.name == "store_unavailable":
                raise
            return None  # the results of its lines say why
        max_bytes = self._gateway.settings.max_body_bytes
        lines = self._checked_lines(lines_of(files.content(stored), max_bytes=max_bytes))

        def make(line: Line) -> Call:
            request = read_request(line, work.endpoint, max_bytes)
            return call_of_line(self._gateway, work, new_id("req"), request, principal, self._abort)

        return write_native(content, self._gateway, principal, work.endpoint, lines, make, max_bytes)

    def _checked_lines(self, lines: Iterator[Line]) -> Iterator[Line]:
        """Yield lines, and let other greenlets run between them."""
        turns = Turns()
        for line in lines:
            self._abort.check()
            yield line
            turns.take()

    def _create(self, account: ProviderBatches, remote: RemoteBatch, target: Target) -> bool:
        """Have the provider make the batch, unless it already has."""
        work = self._work
        batch = account.find(work.id) if remote.begun else None
        if batch is None and self._cancelled:
            self._finish("cancelled")
            return self._delete_files(account, remote)
        if batch is None and (work.left <= 0 or work.fence.attempt > _MAX_ATTEMPTS):
            return self._run_here(account, remote)
        if batch is None:
            remote = replace(remote, begun=True)
            if not self._assign(remote):
                return True
            try:
                batch = account.create(remote.input or "", work.endpoint, work.id)
            except GatewayError as error:
                if self._is_final(error):
                    self._warn("was refused by its provider, and runs here", error)
                    return self._run_here(account, remote)
                raise
        remote = replace(remote, id=batch.id)
        return not self._assign(remote) or self._follow(account, batch.id, remote, target, batch)

    # --- following it ---------------------------------------------------------------------------------

    def _follow(
        self,
        account: ProviderBatches,
        identity: str,
        remote: RemoteBatch,
        target: Target,
        batch: BatchObject | None = None,
    ) -> bool:
        """Note the progress of the batch; store its results once it has ended."""
        batch = batch or account.retrieve(identity)
        if self._cancelled and not batch.ended and batch.status != "cancelling":
            account.cancel(identity)
        if not batch.ended:
            self._park(batch)
            return True
        no_line_ran = not (batch.completed or batch.failed or batch.output_file_id or batch.error_file_id)
        if batch.status == "failed" and no_line_ran and not self._cancelled:
            message = "; ".join(str(error["message"]) for error in batch.errors)
            error = GatewayError("upstream_rejected", message)
            self._warn("failed at its provider before a line ran, and runs here", error)
            return self._run_here(account, remote)
        errors = self._gateway.redactor.value(list(batch.errors)) or None
        if native_results.store_results(
            self._gateway, self._state, self._work, account, batch, target, errors
        ):
            return self._delete_files(account, remote, batch)
        return True

    def _run_here(self, account: ProviderBatches, remote: RemoteBatch) -> bool:
        """Have the batch run here."""
        if not self._assign(None):
            return True
        self._delete_files(account, remote)
        return False

    def _delete_files(
        self, account: ProviderBatches, remote: RemoteBatch, batch: BatchObject | None = None
    ) -> bool:
        """Delete the files of a batch at its provider; those that cannot be deleted stay there."""
        results = () if batch is None else (batch.output_file_id, batch.error_file_id)
        for file_id in (remote.input, *results):
            if file_id is not None:
                try:
                    account.delete_file(file_id)
                except GatewayError as error:
                    self._warn(f"left the file '{file_id}' at its provider", error)
        return True

    def _give_up(self, error: GatewayError) -> bool:
        code = error.code or error.kind.name
        self._finish("failed", [{"code": code, "message": error.message, "param": None, "line": None}])
        return True

    # --- writing it down -------------------------------------------------------------------------

    def _assign(self, remote: RemoteBatch | None) -> bool:
        work = self._work
        return self._retry(lambda: self._state.remote_batches.assign(work.id, work.fence, remote))

    def _park(self, batch: BatchObject | None = None) -> None:
        work = self._work
        counts = None if batch is None else {"completed": batch.completed, "failed": batch.failed}
        pause = _MIN_PAUSE if self._cancelled else min(max(_MIN_PAUSE, work.age * _PAUSE_SHARE), _MAX_PAUSE)
        self._retry(lambda: self._state.remote_batches.park(work.id, work.fence, pause, counts))

    def _finish(self, status: str, errors: list[JSON] | None = None) -> None:
        work = self._work
        self._retry(lambda: self._state.batch_queue.finish(work.id, work.fence, status, errors))

    def _retry(self, run: Callable[[], T]) -> T:
        """Return the store's answer, and wait while it is away; raises once the batch is another process's."""
        return retry_while_away(run, self._abort.check)

    def _account(self, target: Target) -> ProviderBatches:
        return ProviderBatches(
            self._gateway, native_results.call_of(self._gateway, self._work, target, self._abort), target
        )

    def _is_final(self, error: GatewayError) -> bool:
        """Tell whether a provider refused a batch for good before it did anything."""
        return error.status < 500 and error.kind.name not in _TRANSIENT or error.kind.name == "upstream_auth"

    def _warn(self, what: str, error: GatewayError) -> None:
        _LOG.warning("the batch %s %s: %s", self._work.id, what, self._gateway.redactor.text(error.message))

    def _release(self) -> None:
        self._is_released = True

    def _record_reason(self, reason: str) -> None:
        """Note why the poll must end; a cancelled batch is cancelled at its provider."""
        if reason == "cancelled":
            self._cancelled = True
        else:
            self._abort(GatewayError("server_lost", "Another process looks after this batch now."))
