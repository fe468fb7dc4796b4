"""Request and answer as the call log stores them with ``SLUICE_LOG_BODIES``: text, cut at 64 KiB each.

Tests: tests/surfaces/test_bodies.py.
"""

from __future__ import annotations

import json
from typing import Any

from app.gateway.outcome import Outcome
from app.gateway.stream_capture import MOST
from app.wire.json import dumps


def bodies_of(outcome: Outcome) -> dict[str, Any]:
    """Return ``request`` and ``answer`` of a call that ended, each with ``text`` and whether it was ``cut``.

    What is no text has ``media_type`` and ``bytes`` instead; an answer that never began is None."""
    return {"request": _side(_encode(outcome.call.body)), "answer": _answer(outcome)}


def size_of(bodies: dict[str, Any]) -> int:
    """Return the approximate size of bodies in bytes."""
    return sum(len(side.get("text", "")) for side in bodies.values() if side is not None)


def _answer(outcome: Outcome) -> dict[str, Any] | None:
    capture = outcome.capture
    if capture is not None and capture.data:
        return _side(bytes(capture.data))
    if outcome.error is not None:
        return _side(_encode({"error": outcome.error.body()}))
    if capture is not None and capture.media_bytes:
        return {"media_type": outcome.media_type, "bytes": capture.media_bytes}
    if isinstance(outcome.body, bytes):
        return {"media_type": outcome.media_type, "bytes": len(outcome.body)}
    return None if outcome.body is None else _side(_encode(outcome.body))


def _side(data: bytes) -> dict[str, Any]:
    """Return the text of bytes; a character that the cut would split is left out."""
    return {"text": data[:MOST].decode("utf-8", "ignore"), "cut": len(data) > MOST}


def _encode(value: Any) -> bytes:
    """Return a value as JSON; a value that JSON cannot hold becomes its ``repr``."""
    try:
        return dumps(value)
    except (TypeError, ValueError):
        return json.dumps(value, default=repr, skipkeys=True).encode("utf-8", "replace")
