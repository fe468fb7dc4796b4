"""The seam between the gateway and whatever answers it: a socket, or something in process.

Protocols only, and the error they raise. ``app.wire.egress`` implements them over
HTTP; a transport registered for another scheme implements them as it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from app.errors import GatewayError

if TYPE_CHECKING:
    from app.wire.clocks import Clocks

MAX_BODY: Final = 64 * 1024 * 1024  # bytes of a whole answer, after decompression


Take = Callable[[bytes], bool]
"""Takes the content of one read, or returns False. It runs between greenlets and must not wait; time without data
starts again only with ``progress``."""


class TransportError(GatewayError):
    """A failed call. ``maybe_charged``: request bytes may have reached the provider."""

    def __init__(self, kind: str, message: str, *, maybe_charged: bool = False, raw: Any = None) -> None:
        super().__init__(kind, message, raw=raw)
        self.maybe_charged = maybe_charged


class Abortable(Protocol):
    """What can be stopped from another greenlet."""

    def abort(self, reason: GatewayError) -> bool:
        """Stop it; a waiting reader raises ``reason``. Return False if it had ended already."""
        ...


class Upstream(Abortable, Protocol):
    """One answer, headers read, body not yet. ``headers`` has lower-case names."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Response headers; repeated ones joined by a comma and a space."""
        ...

    def read1(self, n: int = 65536) -> bytes:
        """Return what has arrived, waiting for at least a byte; ``b""`` at the end.

        ``n`` is a hint: framing is removed from one read of the socket, so a
        little less comes back, and decompression may bring up to ``n``.
        """
        ...

    def read_within(self, seconds: float | None, take: Take | None = None) -> bytes | None:
        """Return what ``read1`` returns, or None if nothing came within ``seconds``.

        ``take`` may get what comes before; what it takes is not returned. If it raises ``Quiet``, None is returned.
        """
        ...

    def read(self, limit: int = MAX_BODY) -> bytes:
        """Return the rest of the body; ``upstream_invalid`` past ``limit`` bytes."""
        ...

    def progress(self) -> None:
        """Note a data event, which restarts the idle clock."""
        ...

    def close(self) -> None:
        """Let go of the answer: a connection read to its end is kept for the next call."""
        ...


class Opener(Protocol):
    """Sends a request and returns its answer: ``Transport.open``, or a registered scheme's own."""

    def __call__(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None,
        *,
        clocks: Clocks,
        stream: bool,
        on_open: Callable[[Abortable], object] | None = None,
    ) -> Upstream:
        """Open ``url``; see ``app.wire.egress.Transport.open``."""
        ...
