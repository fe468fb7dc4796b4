"""Stream events of a response: which open it, which end it, and those that the gateway itself writes.

A background log opens with number 0 ``response.created`` and 1 ``response.queued``, so
whoever runs the work goes on at number 2. A stream that ends badly ends in ``error`` and
``response.failed``, a cancelled one in ``response.failed`` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from app.responses_form.errors import error_members

JSON = dict[str, Any]

CREATED: Final = "response.created"
QUEUED: Final = "response.queued"
IN_PROGRESS: Final = "response.in_progress"
OPENING: Final = frozenset({CREATED, QUEUED, IN_PROGRESS})
"""What a stream may hold without having shown any output."""

TERMINAL: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
"""What ends a stream, with the whole response in it."""

FIRST_NUMBER: Final = 2
"""The number of the first event that a background runner writes."""


def opening(snapshot: Mapping[str, Any]) -> list[JSON]:
    """Return the two events that open a background log."""
    queued = {**snapshot, "status": "queued", "output": []}
    return [
        {"type": CREATED, "sequence_number": 0, "response": queued},
        {"type": QUEUED, "sequence_number": 1, "response": queued},
    ]


def closing(terminal: Mapping[str, Any], number: int, error: Mapping[str, str] | None) -> list[JSON]:
    """Return the events that end a log, numbered from ``number``; without ``error`` it was cancelled."""
    events: list[JSON] = []
    if error is not None:
        events.append({"type": "error", "sequence_number": number, **error_members(error)})
    number += len(events)
    events.append({"type": "response.failed", "sequence_number": number, "response": dict(terminal)})
    return events


def shows_output(events: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether a reader of ``events`` has seen any output."""
    return any(event.get("type") not in OPENING for event in events)
