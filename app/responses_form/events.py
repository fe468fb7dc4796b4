"""Stream events of a response: which open it, which end it, and those that the gateway itself writes.

A background log starts with the events 0 ``response.created`` and 1 ``response.queued``, so its runner continues with
number 2. A failed stream ends with ``error`` and ``response.failed``, a cancelled one with ``response.failed`` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from app.responses_form.errors import error_members
from app.responses_form.items import JSON

CREATED: Final = "response.created"
QUEUED: Final = "response.queued"
IN_PROGRESS: Final = "response.in_progress"
OPENING: Final = frozenset({CREATED, QUEUED, IN_PROGRESS})
"""Events before any output."""

TERMINAL: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
"""Events that end a stream; they have the whole response."""

FIRST_NUMBER: Final = 2
"""``sequence_number`` of the first event that a background runner writes."""


def opening(snapshot: Mapping[str, Any]) -> list[JSON]:
    """Return the two events that open a background log."""
    response = {**snapshot, "status": "queued", "output": []}
    return [
        {"type": CREATED, "sequence_number": 0, "response": response},
        {"type": QUEUED, "sequence_number": 1, "response": response},
    ]


def start(snapshot: Mapping[str, Any], number: int) -> JSON:
    """Return the event that says that a response runs."""
    running = {**snapshot, "status": "in_progress", "output": []}
    return {"type": IN_PROGRESS, "sequence_number": number, "response": running}


def closing(terminal: Mapping[str, Any], number: int, error: Mapping[str, str] | None) -> list[JSON]:
    """Return the events that end a failed log, or a cancelled one without ``error``, numbered from ``number`` on."""
    events: list[JSON] = [] if error is None else [{"type": "error", **error_members(error)}]
    events.append({"type": "response.failed", "response": dict(terminal)})
    return [
        {"type": event["type"], "sequence_number": place, **event}
        for place, event in enumerate(events, number)
    ]


def count_items(events: Iterable[Mapping[str, Any]]) -> int:
    """Return the number of ``events`` and of the items in the output of their responses, which says how much work they are."""
    number = 0
    for event in events:
        response = event.get("response")
        output = response.get("output") if isinstance(response, dict) else None
        number += 1 + (len(output) if isinstance(output, list) else 0)
    return number


def shows_output(events: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether ``events`` contain any output."""
    return any(event.get("type") not in OPENING for event in events)
