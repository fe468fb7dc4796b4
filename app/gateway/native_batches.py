"""One look at a batch that a provider runs, or may: it is sent there, followed, and its results are brought here.

A claim of the queue is one look; then the batch is parked until the next. What a provider refuses before any
line ran is run here instead. That a batch is asked for is written down before it is; where nobody knows
whether it came to be, it is looked for by the id of ours that it bears.
Tests: tests/lifecycle/test_native_batches.py.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final, Protocol, TypeVar

import gevent

from app.canonical.batches import BatchObject
from app.config import Settings
from app.dialects.uploads.batches import WINDOW
from app.errors import GatewayError
from app.gateway import native_results
from app.gateway.batch_lines import Line, lines_of, read_request
from app.gateway.batch_run import LineCall
from app.gateway.call import Abort, Call, Principal, Target
from app.gateway.native_lines import Native, write_native
from app.gateway.provider_batches import ProviderBatches
from app.gateway.provider_files import account_of, realm_of
from app.gateway.redaction import Redactor
from app.gateway.router import Registry, Router
from app.operations import LINE_CALL, resolve
from app.state.batch_queue import BatchWork
from app.state.ids import new_id
from app.state.records import JSON
from app.state.remote_batches import RemoteBatch
from app.state.runner import Job
from app.state.state import State
from app.wire.fairness import Turns

T = TypeVar("T")
_LOG: Final = logging.getLogger(__name__)
_FIRST_PAUSE: Final = 5.0
_LONGEST_PAUSE: Final = 60.0
_SHARE: Final = 0.1  # of the time that a batch took so far, until it is looked at again
_GRACE: Final = 3_600.0  # seconds past its window for which a batch is still asked after
_MOST_TRIES: Final = 5
_STORE_AWAY: Final = 1.0
_PASSING: Final = frozenset({"rate_limited", "overloaded", "upstream_rate_limited", "conflict"})
"""Refusals that may be none a little later."""
_LASTING: Final = frozenset({"not_found"})
"""Errors of a batch that is there no more."""


class Services(native_results.Services, Protocol):
    """What a batch at a provider needs of the gateway."""

    settings: Settings
    registry: Registry
    router: Router
    redactor: Redactor

    def cache_of(self, call: Call) -> str: ...

    def principal_of(self, key: str | None, tenant: str) -> Principal: ...


class NativeBatch:
    """One look at one batch."""

    def __init__(self, services: Services, state: State, job: Job[BatchWork]) -> None:
        self._services, self._state, self._work = services, state, job.work
        self._abort = Abort()
        self._cancelled = job.work.cancelled
        self._is_released = False
        job.on_leave(self._release)
        job.on_abort(self._record_reason)

    def run(self) -> bool:
        """Do what there is to be done; return false for a batch that is to be run here.

        Trouble at the provider, or with the store, is looked at again later."""
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
            if self._work.remote is not None and (self._work.left < -_GRACE or error.kind.name in _LASTING):
                return self._give_up(error)
            self._warn("is looked at again later", error)
            self._park()
            return True

    def _poll(self) -> bool:
        remote = self._work.remote
        if remote is None:
            return self._start()
        target = account_of(self._services.registry, remote.provider, remote.realm, remote.model)
        if target is None:
            lacks = f"The account of provider '{remote.provider}' that runs this batch is not configured any more."
            raise GatewayError("not_found" if self._cancelled else "provider_not_configured", lacks)
        account = self._account(target)
        if remote.id is None:
            return self._make(account, remote, target)
        return self._follow(account, remote.id, remote, target)

    # --- on its way ------------------------------------------------------------------------------

    def _start(self) -> bool:
        """Send a batch that may run at a provider there; return false for one that may not."""
        work = self._work
        if work.is_local or work.line or work.in_flight or work.waiting or self._cancelled or work.left <= 0:
            return False
        if (
            not self._services.settings.native_batches
            or work.window != WINDOW
            or work.fence.attempt > _MOST_TRIES
        ):
            return False
        native = self._chosen()
        if native is None:
            return False
        account = self._account(native.target)
        try:
            uploaded = account.upload(f"{work.id}.jsonl", native.content)
        except GatewayError as error:
            if self._is_final(error):
                self._warn("was refused by its provider, and runs here", error)
                return not self._assign(None)
            raise
        finally:
            native.content.close()
        target = native.target
        remote = RemoteBatch(target.provider.name, realm_of(target), target.model, uploaded)
        return not self._assign(remote) or self._make(account, remote, target)

    def _chosen(self) -> Native | None:
        work, files = self._work, self._state.files
        try:
            principal = self._services.principal_of(work.key_id, work.tenant)
            stored = files.get(work.tenant, work.input_file_id)
        except GatewayError as error:
            if error.kind.name == "store_unavailable":
                raise
            return None  # its lines tell why
        longest = self._services.settings.max_body_bytes
        lines = self._checked_lines(lines_of(files.content(stored), longest=longest))

        def make(line: Line) -> Call:
            asked = read_request(line, work.endpoint, longest)
            body = dict(asked.body)
            one = LineCall(new_id("req"), work.mount, work.endpoint, body, asked.size, principal, self._abort)
            made: Call = resolve("surfaces", LINE_CALL)(self._services, one)
            return made

        return write_native(self._services, principal, work.endpoint, lines, make, longest)

    def _checked_lines(self, lines: Iterator[Line]) -> Iterator[Line]:
        """Yield lines, and let others go on between them."""
        turns = Turns()
        for line in lines:
            self._abort.check()
            yield line
            turns.take()

    def _make(self, account: ProviderBatches, remote: RemoteBatch, target: Target) -> bool:
        """Have the provider make the batch, unless it did so already."""
        work = self._work
        found = account.find(work.id) if remote.begun else None
        if found is None and self._cancelled:
            self._finish("cancelled")
            return self._forget(account, remote)
        if found is None and (work.left <= 0 or work.fence.attempt > _MOST_TRIES):
            return self._collect(account, remote)
        if found is None:
            remote = replace(remote, begun=True)
            if not self._assign(remote):
                return True
            try:
                found = account.create(remote.input or "", work.endpoint, work.id)
            except GatewayError as error:
                if self._is_final(error):
                    self._warn("was refused by its provider, and runs here", error)
                    return self._collect(account, remote)
                raise
        remote = replace(remote, id=found.id)
        return not self._assign(remote) or self._follow(account, found.id, remote, target, found)

    # --- there -----------------------------------------------------------------------------------

    def _follow(
        self,
        account: ProviderBatches,
        identity: str,
        remote: RemoteBatch,
        target: Target,
        found: BatchObject | None = None,
    ) -> bool:
        """Note how the batch stands; take its results once it has ended."""
        found = found or account.retrieve(identity)
        if self._cancelled and not found.ended and found.status != "cancelling":
            account.cancel(identity)
        if not found.ended:
            self._park(found)
            return True
        ran_nothing = not (found.completed or found.failed or found.output_file_id or found.error_file_id)
        if found.status == "failed" and ran_nothing and not self._cancelled:
            words = "; ".join(str(one["message"]) for one in found.errors)
            self._warn(
                "failed at its provider before a line ran, and runs here",
                GatewayError("upstream_rejected", words),
            )
            return self._collect(account, remote)
        errors = self._services.redactor.value(list(found.errors)) or None
        if native_results.store_results(
            self._services, self._state, self._work, account, found, target, errors
        ):
            return self._forget(account, remote, found)
        return True

    def _collect(self, account: ProviderBatches, remote: RemoteBatch) -> bool:
        """Have the batch run here."""
        if not self._assign(None):
            return True
        self._forget(account, remote)
        return False

    def _forget(
        self, account: ProviderBatches, remote: RemoteBatch, found: BatchObject | None = None
    ) -> bool:
        """Delete the files of a batch at its provider; what cannot be deleted stays there."""
        results = () if found is None else (found.output_file_id, found.error_file_id)
        for file_id in (remote.input, *results):
            if file_id is not None:
                try:
                    account.forget(file_id)
                except GatewayError as error:
                    self._warn(f"left the file '{file_id}' at its provider", error)
        return True

    def _give_up(self, error: GatewayError) -> bool:
        told: JSON = {
            "code": error.code or error.kind.name,
            "message": error.message,
            "param": None,
            "line": None,
        }
        self._finish("failed", [told])
        return True

    # --- what it writes down ---------------------------------------------------------------------

    def _assign(self, remote: RemoteBatch | None) -> bool:
        work = self._work
        return self._retry(lambda: self._state.remote_batches.assign(work.id, work.fence, remote))

    def _park(self, found: BatchObject | None = None) -> None:
        work = self._work
        told = None if found is None else {"completed": found.completed, "failed": found.failed}
        pause = min(max(_FIRST_PAUSE, work.age * _SHARE), _LONGEST_PAUSE)
        if self._cancelled:
            pause = _FIRST_PAUSE
        self._retry(lambda: self._state.remote_batches.park(work.id, work.fence, pause, told))

    def _finish(self, status: str, errors: Sequence[JSON] | None = None) -> None:
        work = self._work
        listed = None if errors is None else list(errors)
        self._retry(lambda: self._state.batch_queue.finish(work.id, work.fence, status, listed))

    def _retry(self, run: Callable[[], T]) -> T:
        """Return what the store answers, once it does; raises when the batch is another's meanwhile."""
        while True:
            try:
                return run()
            except GatewayError as error:
                if error.kind.name != "store_unavailable" or self._abort.reason is not None:
                    raise
            gevent.sleep(_STORE_AWAY)
            self._abort.check()

    def _account(self, target: Target) -> ProviderBatches:
        return ProviderBatches(
            self._services, native_results.call_of(self._services, self._work, target, self._abort), target
        )

    def _is_final(self, error: GatewayError) -> bool:
        """Tell whether a provider refused a batch for good, having done nothing."""
        return error.status < 500 and error.kind.name not in _PASSING or error.kind.name == "upstream_auth"

    def _warn(self, what: str, error: GatewayError) -> None:
        words = self._services.redactor.text(error.message)
        _LOG.warning("the batch %s %s: %s", self._work.id, what, words)

    def _release(self) -> None:
        self._is_released = True

    def _record_reason(self, reason: str) -> None:
        """Hear why the look must end; a cancelled batch is cancelled at its provider."""
        if reason == "cancelled":
            self._cancelled = True
        else:
            self._abort(GatewayError("server_lost", "Another process looks after this batch now."))
