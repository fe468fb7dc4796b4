"""A loop of this process: one greenlet that runs until it is stopped."""

from __future__ import annotations

from collections.abc import Callable

import gevent


class Loop:
    """Runs ``run``, which never returns by itself, in a greenlet of its own.

    ``run`` outlives its own faults: an exception that leaves it ends the loop.
    """

    def __init__(self, run: Callable[[], None]) -> None:
        self._run = run
        self._greenlet: gevent.Greenlet[..., None] | None = None

    def start(self) -> None:
        """Begin, unless it runs already."""
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """End it wherever it stands; a later ``start`` begins anew."""
        if self._greenlet is not None:
            self._greenlet.kill()
            self._greenlet = None
