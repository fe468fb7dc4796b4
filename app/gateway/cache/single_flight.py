"""Single flight: of equal whole calls that arrive together in one process, one goes out.

Tests: tests/governance/test_cache.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gevent.event import Event

from app.errors import GatewayError
from app.gateway.call import Abort, Call


@dataclass
class Flight:
    """A call in flight. Others wait for its end; while one does, the call goes on although its own client left.
    ``shared`` is False if it ended in an answer that is not cached: then no call waits any more."""

    abort: Abort = field(default_factory=Abort)
    shared: bool = True
    over: Event = field(default_factory=Event)
    _waiting: int = 0
    _left: GatewayError | None = None

    def leave(self, reason: GatewayError) -> None:
        """Stop the call, unless only its client left and others wait."""
        if reason.kind.name == "client_gone" and self._waiting:
            self._left = reason
        else:
            self.abort(reason)

    def wait(self, call: Call) -> None:
        """Wait for the end; raises when the time of ``call`` is over, or its client left."""
        self._waiting += 1
        wakeup = Event()
        call.abort.listen(wakeup.set)
        self.over.rawlink(lambda over: wakeup.set())
        try:
            wakeup.wait(call.remaining())
            call.abort.check()
            call.remaining()
        finally:
            self._waiting -= 1
            if not self._waiting and self._left is not None:
                self.abort(self._left)


class Flights(dict[str, Flight]):
    """The calls in flight, by the names of their questions."""

    def begin(self, name: str, call: Call) -> Flight:
        """Return a new flight, which ``call`` leads."""
        flight = self[name] = Flight()
        call.abort.listen(lambda: flight.leave(call.abort.reason or GatewayError("client_gone", "Left.")))
        return flight

    def end(self, name: str, flight: Flight) -> None:
        """Remove a flight, and wake the calls that wait for it."""
        if self.get(name) is flight:
            del self[name]
        flight.over.set()
