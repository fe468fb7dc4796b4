"""Reading an answer under a watchdog: what every ``Upstream`` does alike.

Knows clocks, faults and limits; the subclass says where the bytes come from and what to let go of.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from app.errors import GatewayError
from app.wire.clocks import Quiet, Watchdog
from app.wire.upstream import MAX_BODY, Take, TransportError


class WatchedBody(ABC):
    """The reading side of ``app.wire.upstream.Upstream``.

    ``stream`` says that the caller reports progress; otherwise every byte is progress.
    A fault is remembered: reading on raises it again.
    """

    def __init__(self, watchdog: Watchdog, *, stream: bool) -> None:
        self._watchdog = watchdog
        self.progress = watchdog.progress
        """Notes a data event, which restarts the idle clock."""
        self._counts_bytes = not stream
        self._fault: BaseException | None = None

    def read1(self, n: int = 65536) -> bytes:
        """Return what has arrived, waiting for at least a byte; ``b""`` at the end.

        Raises upstream_cut, upstream_invalid, or the reason of an abort
        (upstream_timeout and upstream_idle from the clocks); then again, each time.
        """
        return self.read_within(None, n=n) or b""

    def read_within(self, seconds: float | None, take: Take | None = None, n: int = 65536) -> bytes | None:
        """Return what ``read1`` returns, or None if nothing came within ``seconds``.

        Nothing is lost: a later call returns what comes later. See ``app.wire.upstream`` for ``take``.
        """
        if self._fault is not None:
            raise self._fault
        self._watchdog.patience = seconds
        try:
            content = self._next_content(n, take)
        except Quiet:
            return None
        except BaseException as error:
            self._fail(error)
            raise
        if content and self._counts_bytes:
            self._watchdog.progress()
        return content

    def read(self, limit: int = MAX_BODY) -> bytes:
        """Return the rest of the body; upstream_invalid past ``limit`` bytes."""
        pieces: list[bytes] = []
        size = 0
        while piece := self.read1():
            size += len(piece)
            if size > limit:
                raise self._fail(broken_body(f"larger than {limit} bytes"))
            pieces.append(piece)
        return b"".join(pieces)

    def abort(self, reason: GatewayError) -> bool:
        """Stop for ``reason``, from any greenlet: the reader raises it; False if it had ended."""
        return self._watchdog.abort(reason)

    def _fail(self, fault: BaseException) -> BaseException:
        self._fault = fault
        self._release()
        return fault

    @abstractmethod
    def _next_content(self, n: int, take: Take | None) -> bytes:
        """Return the next bytes of the body, ``b""`` at its end; ``n`` is a hint, and so is ``take``."""

    @abstractmethod
    def _release(self) -> None:
        """Close what brings the bytes, unless the body has ended."""


def broken_body(what: str) -> TransportError:
    """Return the error of an answer that breaks the rules of HTTP or of ours."""
    return TransportError("upstream_invalid", f"The provider's answer is broken: {what}.", maybe_charged=True)
