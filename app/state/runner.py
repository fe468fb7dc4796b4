"""The runner: claims the work of one queue and renews its leases while a function does the work.

``execute(job)`` runs one piece of work in a greenlet of its own and stores the end itself, under ``job.work.fence``; after
an abort it stores nothing. The runner looks for work when it is notified, and every second anyway; while it runs nothing
and nobody writes to the database, every five. ``job.abort(reason)``
ends a job: it was cancelled, its lease was lost (``server_lost``), or this process leaves (``server_shutdown``). Before
the last of these, ``job.leave()`` asks it to begin nothing new.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import gevent

from app.errors import GatewayError
from app.state.database import Database
from app.state.leased_rows import LeasedRows
from app.state.leases import LEASE_SECONDS
from app.state.loops import Loop
from app.state.records import LeasedWork
from app.state.wakeups import QUEUE

_LOG: Final = logging.getLogger(__name__)

CONCURRENCY: Final = 32
_SPARE: Final = 8  # one more job for tenants without any, for each this many
_TURN_SECONDS: Final = 1.0
_HAND_OVER_SECONDS: Final = 2.0
_RENEW_AT: Final = 0.3  # of the lease: two renewals may fail before it is lost


W = TypeVar("W", bound=LeasedWork)


class Job(Generic[W]):
    """One piece of work while it runs in this process."""

    def __init__(self, work: W) -> None:
        self.work = work
        self.aborted: str | None = None
        self._stop: Callable[[str], None] | None = None
        self._leave: Callable[[], None] | None = None

    def on_abort(self, stop: Callable[[str], None]) -> None:
        """Call ``stop(reason)`` when the work must end; call it now if it must already."""
        self._stop = stop
        if self.aborted is not None:
            stop(self.aborted)

    def abort(self, reason: str) -> None:
        """End the work; only the first reason counts."""
        if self.aborted is not None:
            return
        self.aborted = reason
        if self._stop is not None:
            self._stop(reason)

    def on_leave(self, leave: Callable[[], None]) -> None:
        """Call ``leave()`` when this process is about to leave, before anything is aborted."""
        self._leave = leave

    def leave(self) -> None:
        """Ask the work to begin nothing new, so that it can be handed over."""
        if self._leave is not None:
            self._leave()


class Runner(Generic[W]):
    """Runs the work of a queue, at most ``concurrency`` at once, an eighth more for other tenants."""

    def __init__(
        self,
        db: Database,
        queue: LeasedRows[W],
        execute: Callable[[Job[W]], None],
        *,
        concurrency: int = CONCURRENCY,
        lease: float = LEASE_SECONDS,
    ) -> None:
        self._db = db
        self._queue = queue
        self._execute = execute
        self._concurrency = concurrency
        self._lease = lease
        self._turn_seconds = min(_TURN_SECONDS, lease * _RENEW_AT)
        self._jobs: dict[Job[W], gevent.Greenlet[..., None]] = {}
        self._leased_until = 0.0
        self._renew_at = 0.0
        self._loop = Loop(self._run)

    @property
    def running(self) -> int:
        """How many jobs this process runs now."""
        return len(self._jobs)

    def start(self) -> None:
        """Begin to claim work."""
        self._loop.start()

    def stop(self, grace: float) -> None:
        """Stop claiming, wait ``grace`` seconds for running work, and hand over the rest."""
        deadline = time.monotonic() + grace
        self._loop.stop()
        for job in list(self._jobs):
            job.leave()
        while self._jobs and time.monotonic() < deadline:
            self._check_leases()
            gevent.joinall(list(self._jobs.values()), timeout=self._turn_seconds, count=1)
        jobs = dict(self._jobs)
        for job in jobs:
            job.abort("server_shutdown")
        gevent.joinall(list(jobs.values()), timeout=_HAND_OVER_SECONDS)
        for job in jobs:
            self._hand_over(job)

    def _run(self) -> None:
        with self._db.wakeups.subscription(QUEUE) as wakeup:
            while True:
                wakeup.clear()
                try:
                    self._check_leases()
                    self._claim()
                except Exception:  # noqa: BLE001 - the loop must outlive any fault, or work would wait for ever
                    _LOG.exception("the runner could not look for work")
                if self._jobs:
                    wakeup.wait(self._turn_seconds)
                else:
                    self._db.wait(wakeup, self._turn_seconds, quiet_after=self._lease)

    def _claim(self) -> None:
        """Claim as much work as there is room for.

        A full runner still claims a few pieces of tenants that have no job in it, so that nobody's long work keeps the
        others out.
        """
        room = self._concurrency - len(self._jobs)
        tenants = {job.work.tenant for job in self._jobs} if room <= 0 else set()
        room = room if room > 0 else room + max(1, self._concurrency // _SPARE)
        if room <= 0:
            return
        try:
            works = self._queue.claim(room, excluding=tenants)
        except GatewayError as error:
            _LOG.warning("no work claimed: %s", error.raw or error.message)
            return
        if works and not self._jobs:
            self._schedule_renewal()
        for work in works:
            job = Job(work)
            self._jobs[job] = gevent.spawn(self._work_on, job)

    def _check_leases(self) -> None:
        """Renew the leases in time, and abort the jobs that were cancelled or lost."""
        if not self._jobs:
            return
        fences = {job.work.id: job.work.fence for job in self._jobs}
        try:
            if time.monotonic() >= self._renew_at:
                self._queue.renew(fences)
                self._schedule_renewal()
            reasons = self._queue.stop_reasons(fences)
        except GatewayError as error:
            _LOG.warning("leases not renewed: %s", error.raw or error.message)
            over = time.monotonic() >= self._leased_until
            reasons = dict.fromkeys(fences, "server_lost") if over else {}
        for job in list(self._jobs):
            if job.work.id in reasons:
                job.abort(reasons[job.work.id])

    def _schedule_renewal(self) -> None:
        now = time.monotonic()
        self._leased_until = now + self._lease
        self._renew_at = now + self._lease * _RENEW_AT

    def _work_on(self, job: Job[W]) -> None:
        try:
            self._execute(job)
        except Exception:  # noqa: BLE001 - whatever the injected function raises, the work must end
            _LOG.exception("background work %s failed in its runner", job.work.id)
        try:
            if job.aborted is None:
                self._queue.fail(job.work.id, job.work.fence)
        except GatewayError as error:
            _LOG.warning("left to the sweep: %s: %s", job.work.id, error.raw or error.message)
        finally:
            self._jobs.pop(job, None)
            self._db.wakeups.notify(QUEUE)

    def _hand_over(self, job: Job[W]) -> None:
        try:
            self._queue.release(job.work.id, job.work.fence)
        except GatewayError as error:
            _LOG.warning("left to the sweep: %s: %s", job.work.id, error.raw or error.message)
