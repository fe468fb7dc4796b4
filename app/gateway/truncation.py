"""Answers that a model broke off: no success at a door that has no word for it.

A Responses object says ``failed`` by itself. Elsewhere an answer whose finish is an error (a
server that was aborted, a call that it could not write) becomes the error of its provider, so
that a fallback is tried while nothing was shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from app.canonical.events import Ended, Event, Failed, Finished
from app.canonical.response import Finish
from app.errors import GatewayError


def broken_off(finish: Finish | None) -> GatewayError | None:
    """Return the error that a finish is, None for one that a caller may take for an answer."""
    if finish is None or finish.reason != "error":
        return None
    word = f" ({finish.raw})" if finish.raw else ""
    return GatewayError(
        "upstream_error", f"The model ended its answer in an error{word}.", code="server_error"
    )


def check_whole(finishes: Iterable[Finish | None]) -> None:
    """Raise the error of an answer that was broken off."""
    for finish in finishes:
        if (error := broken_off(finish)) is not None:
            raise error


class Breaks:
    """Turns the end of a stream that was broken off into its failure, with the usage it told."""

    def __init__(self) -> None:
        self._error: GatewayError | None = None

    def ended(self, events: Iterable[Event]) -> Iterator[Event]:
        """Yield the events, Failed in the place of an end that is none."""
        for event in events:
            error = broken_off(event.finish) if isinstance(event, Finished) else None
            self._error = self._error or error
            if isinstance(event, Ended) and self._error is not None:
                yield Failed(self._error, event.usage)
            elif error is None:
                yield event
