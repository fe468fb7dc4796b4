"""The life-cycle events that the store itself writes into a log.

A background log opens with number 0 ``response.created`` and 1 ``response.queued``, so
whoever runs the work goes on at number 2. Work that ends without its runner (cancelled,
process lost) gets its last events here: ``error`` and ``response.failed``, a cancelled
one ``response.failed`` alone (contract/responses.md 4.5, 4.6).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.state.records import JSON

#: What a log may hold without having shown any output.
LIFECYCLE: Final = frozenset({"response.created", "response.queued", "response.in_progress"})
#: The number of the first event that the runner writes.
FIRST_NUMBER: Final = 2

LOST: Final = {
    "code": "server_lost",
    "message": "The server that was producing this response was lost.",
}
SHUTDOWN: Final = {
    "code": "server_shutdown",
    "message": "The server was shut down while it was producing this response.",
}
INTERNAL: Final = {
    "code": "server_error",
    "message": "The server had an error while producing this response.",
}


def opening(snapshot: Mapping[str, Any]) -> list[JSON]:
    """Return the two events that open a background log."""
    queued = {**snapshot, "status": "queued", "output": []}
    return [
        {"type": "response.created", "sequence_number": 0, "response": queued},
        {"type": "response.queued", "sequence_number": 1, "response": queued},
    ]


def closing(terminal: Mapping[str, Any], number: int, error: Mapping[str, str] | None) -> list[JSON]:
    """Return the events that end a log, numbered from ``number``."""
    events: list[JSON] = []
    if error is not None:
        events.append(_error(error, number))
    events.append(
        {
            "type": "response.failed",
            "sequence_number": number + len(events),
            "response": dict(terminal),
        }
    )
    return events


def shows_output(events: Sequence[Mapping[str, Any]]) -> bool:
    """Say whether a reader of ``events`` has seen any output."""
    return any(event.get("type") not in LIFECYCLE for event in events)


def _error(error: Mapping[str, str], number: int) -> JSON:
    """The error event in both shapes at once: flat and nested."""
    flat = {"code": error["code"], "message": error["message"], "param": None}
    return {
        "type": "error",
        "sequence_number": number,
        **flat,
        "error": {"type": "server_error", **flat},
    }
