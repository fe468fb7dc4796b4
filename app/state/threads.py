"""Native threads that greenlets may wait for without stopping the hub.

A blocking C library (sqlite3) must run outside gevent's thread. Its native
thread takes jobs from a native queue; the caller, a greenlet or, in a plain
script, an ordinary thread, sleeps on a `Reply`. Never ``hub.threadpool``: its ten
threads also resolve DNS names.

A caller that gives up (time-out, kill) merely stops looking: its job still runs.
Jobs must not touch gevent, locks of other modules, or anything that yields.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable
from typing import Any, Final, Protocol

_LOG: Final = logging.getLogger(__name__)
_MOMENT: Final = 0.001  # seconds; a commit takes longer


def original(module: str, name: str) -> Any:
    """Return ``module.name`` as it was before gevent's patch."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None:
        return getattr(importlib.import_module(module), name)
    return monkey.get_original(module, name)


def cooperative() -> bool:
    """Say whether this process runs on greenlets."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


class Reply(Protocol):
    """Where a job's end is announced (from the native thread) and awaited (by the caller)."""

    def announce(self) -> None: ...

    def wait(self, timeout: float) -> bool: ...


class _GreenletReply:
    """Awaited by a greenlet; announced through its own hub's loop, the one thread-safe way."""

    __slots__ = ("_event", "_loop")

    def __init__(self) -> None:
        from gevent import get_hub
        from gevent.event import Event

        self._loop = get_hub().loop
        self._event = Event()

    def announce(self) -> None:
        self._loop.run_callback_threadsafe(self._event.set)

    def wait(self, timeout: float) -> bool:
        return bool(self._event.wait(timeout))


class _ThreadReply:
    """Awaited by an ordinary thread."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = original("_thread", "allocate_lock")()
        self._lock.acquire()

    def announce(self) -> None:
        self._lock.release()

    def wait(self, timeout: float) -> bool:
        return bool(self._lock.acquire(timeout=timeout))


def new_reply() -> Reply:
    """Make the kind of reply that suits the calling thread."""
    return _GreenletReply() if cooperative() else _ThreadReply()


class Job:
    """A function to run in a native thread, and what became of it."""

    __slots__ = ("error", "result", "run", "_reply")

    def __init__(self, run: Callable[..., Any]) -> None:
        self.run = run
        self.result: Any = None
        self.error: BaseException | None = None
        self._reply = new_reply()

    def finish(self) -> None:
        """Wake the caller."""
        self._reply.announce()

    def wait(self, timeout: float) -> Any:
        """Return the result or raise the job's error; ``TimeoutError`` after ``timeout`` seconds."""
        if not self._reply.wait(timeout):
            raise TimeoutError(f"no answer from the database thread within {timeout:g} s")
        if self.error is not None:
            raise self.error
        return self.result


class Lane:
    """A queue of jobs and the native threads that serve it.

    ``serve(jobs)`` is called in a native thread with every job that was waiting, at
    most ``batch`` of them; it sets results and errors, and must not raise. After several that
    came together it waits a moment for the next: what is served at once costs little more than one.
    """

    def __init__(self, serve: Callable[[list[Job]], None], *, threads: int, batch: int) -> None:
        self._serve = serve
        self._batch = batch
        self._threads = threads
        self._is_crowded = False
        self._sleep = original("time", "sleep")
        self._queue = original("queue", "SimpleQueue")()
        self._ended = [original("_thread", "allocate_lock")() for _ in range(threads)]
        for ended in self._ended:
            ended.acquire()
            original("_thread", "start_new_thread")(self._work, (ended,))

    def submit(self, run: Callable[..., Any]) -> Job:
        """Queue ``run`` and return its job at once."""
        job = Job(run)
        self._queue.put(job)
        return job

    @property
    def waiting(self) -> int:
        """How many jobs nobody has taken yet."""
        return int(self._queue.qsize())

    def close(self, timeout: float = 5.0) -> None:
        """Let the threads finish what is queued and end; wait at most ``timeout`` seconds each."""
        for _ in self._ended:
            self._queue.put(None)
        for ended in self._ended:
            ended.acquire(timeout=timeout)

    def _work(self, ended: Any) -> None:
        try:
            while self._turn():
                pass
        finally:
            ended.release()

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
