"""Native threads that greenlets can wait for without blocking the hub.

A blocking C library (sqlite3) must run outside gevent's thread. A native thread takes jobs from a native queue; the
caller, a greenlet or, in a plain script, an ordinary thread, waits for the job. gevent's ``hub.threadpool`` does not serve:
its ten threads also resolve DNS names.

When a caller gives up (time-out, kill), its job still runs. Jobs must not touch gevent, locks of other modules, or
anything that yields.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, Final

_LOG: Final = logging.getLogger(__name__)
_MOMENT: Final = 0.001  # seconds; a commit takes longer


def original(module: str, name: str) -> Any:
    """Return ``module.name`` as it was before gevent's patch."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None:
        return getattr(importlib.import_module(module), name)
    return monkey.get_original(module, name)


def cooperative() -> bool:
    """Tell whether this process runs on greenlets."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


Reply = tuple[Callable[[], object], Callable[[float], object]]
"""How to announce the end of a job, from any thread, and how the calling greenlet or thread waits for it.

Waiting takes a time-out in seconds and returns whether the end was announced."""


@cache
def _replies() -> Callable[[], Reply]:
    """Return what makes a reply in this process, which gevent has patched by now or never will."""
    if not cooperative():
        return _native_reply
    from gevent import get_hub
    from gevent.hub import Waiter

    def reply() -> Reply:
        hub = get_hub()
        waiter: Any = Waiter(hub)

        def wait(timeout: float) -> object:
            timer = hub.loop.timer(timeout)
            timer.start(waiter.switch, False)
            try:
                return waiter.get()
            finally:
                timer.close()

        return lambda: hub.loop.run_callback_threadsafe(waiter.switch, True), wait

    return reply


def _native_reply() -> Reply:
    lock = original("_thread", "allocate_lock")()
    lock.acquire()
    return lock.release, lambda timeout: lock.acquire(timeout=timeout)


class Job:
    """A function to run in a native thread, and its result or error; ``finish()`` wakes the caller."""

    __slots__ = ("error", "finish", "result", "run", "_wait")

    def __init__(self, run: Callable[..., Any]) -> None:
        self.run = run
        self.result: Any = None
        self.error: BaseException | None = None
        self.finish, self._wait = _replies()()

    def wait(self, timeout: float) -> Any:
        """Return the result or raise the job's error; ``TimeoutError`` after ``timeout`` seconds."""
        if not self._wait(timeout):
            raise TimeoutError(f"no answer from the database thread within {timeout:g} s")
        if self.error is not None:
            raise self.error
        return self.result


class WorkerThreads:
    """A queue of jobs and the native threads that run them.

    ``serve(jobs)`` is called in a native thread with all waiting jobs, at most ``batch``; it sets results and errors, and
    must not raise. After several jobs at once, a thread waits a moment for the next ones: a batch costs little more than
    one job.
    """

    def __init__(self, serve: Callable[[list[Job]], None], *, threads: int, batch: int) -> None:
        self._serve = serve
        self._batch = batch
        self._is_crowded = False
        self._sleep = original("time", "sleep")
        self._queue = original("queue", "SimpleQueue")()
        self._ended = [original("_thread", "allocate_lock")() for _ in range(threads)]
        for lock in self._ended:
            lock.acquire()
            original("_thread", "start_new_thread")(self._work, (lock,))

    def submit(self, run: Callable[..., Any]) -> Job:
        """Queue ``run`` and return its job at once."""
        job = Job(run)
        self._queue.put(job)
        return job

    @property
    def waiting(self) -> int:
        """How many jobs no thread has taken yet."""
        return int(self._queue.qsize())

    def close(self, timeout: float = 5.0) -> None:
        """Let the threads finish what is queued and end; wait at most ``timeout`` seconds each."""
        for _ in self._ended:
            self._queue.put(None)
        for lock in self._ended:
            lock.acquire(timeout=timeout)

    def _work(self, lock: Any) -> None:
        try:
            while self._turn():
                pass
        finally:
            lock.release()

    def _turn(self) -> bool:
        jobs = [self._queue.get()]
        if self._is_crowded:
            self._sleep(_MOMENT)
        while len(jobs) < self._batch and not self._queue.empty() and jobs[-1] is not None:
            jobs.append(self._queue.get())
        work = [job for job in jobs if job is not None]
        self._is_crowded = len(work) > 1
        if work:
            self._serve(work)
        for job in work:
            _announce(job)
        return jobs[-1] is not None


def _announce(job: Job) -> None:
    try:
        job.finish()
    except Exception:  # noqa: BLE001 - the caller's loop is gone; the thread must serve the others
        _LOG.warning("nobody waits any more for a database job", exc_info=True)
