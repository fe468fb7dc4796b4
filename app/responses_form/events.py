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

_BIT: Final = 256  # bytes that an event or item counts as, beside its texts
_MANY: Final = 1_000  # items that are large without their texts

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


def size_of(events: Iterable[Mapping[str, Any]]) -> int:
    """Return about how many bytes ``events`` are, which says how much work they are: their texts, and a bit for each event,
    item, part and log probability."""
    size = 0
    for event in events:
        response = event.get("response")
        output = response.get("output") if isinstance(response, dict) else None
        items = output if isinstance(output, list) else ()
        size += _BIT * len(items) + _size_of_texts(event)
        if len(items) < _MANY:
            size += sum(_size_of_texts(part) for item in _objects(output) for part in _parts_of(item))
    return size


def _size_of_texts(value: Mapping[str, Any]) -> int:
    texts = (value.get(name) for name in ("delta", "text", "arguments"))
    return sum(len(text) for text in texts if isinstance(text, str)) + _BIT * (
        1 + len(_objects(value.get("logprobs")))
    )


def _parts_of(item: JSON) -> list[JSON]:
    return [item, *_objects(item.get("content"))]


def _objects(value: Any) -> list[JSON]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def shows_output(events: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether ``events`` contain any output."""
    return any(event.get("type") not in OPENING for event in events)
