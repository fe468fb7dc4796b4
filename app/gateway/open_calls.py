"""The calls in flight of this process; a drain, or the revocation of a key, aborts them.

Tests: tests/behaviour/test_leaving.py, tests/surfaces/test_admin_keys.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from app.errors import GatewayError
from app.gateway.call import Abort, Principal


class OpenCalls:
    """The aborts of all calls in flight, with their callers."""

    def __init__(self) -> None:
        self._open: dict[Abort, Principal | None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, abort: Abort, principal: Principal | None) -> None:
        """Add a call."""
        self._open[abort] = principal

    def discard(self, abort: Abort) -> None:
        """Remove a call that is over."""
        self._open.pop(abort, None)

    def abort_all(self, make_reason: Callable[[], GatewayError]) -> None:
        """Abort every open call."""
        for abort in list(self._open):
            abort(make_reason())

    def abort_keys(
        self, endings: Collection[tuple[str, str | None]], make_reason: Callable[[], GatewayError]
    ) -> None:
        """Abort the calls of keys, each given by its id and by the digest of one of its secrets, None for all of them."""
        ended = set(endings)
        for abort, caller in list(self._open.items()) if ended else ():
            if caller is not None and caller.id is not None:
                if not ended.isdisjoint([(caller.id, None), (caller.id, caller.digest)]):
                    abort(make_reason())
