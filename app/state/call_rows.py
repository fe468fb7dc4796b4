"""The rows of the call log: their members, and how they are stored.

A member with a column of its own is in that column alone, and what is null is left out: the bytes that are written
are most of what a row costs. Tests: tests/state/test_call_log.py, tests/surfaces/test_calls.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.wire.json import dumps_ascii, loads_lenient

Members = Mapping[str, Any]

COLUMNS: Final = (
    *(
        "id",
        "created_at",
        "tenant",
        "key",
        "provider",
        "model",
        "request_type",
        "status",
        "request_id",
        "response_id",
    ),
    "key_id",
    "body",
)
"""The columns of the table, in its order."""

_NAMES: Final = COLUMNS[:-1]
_WHOLE: Final = frozenset(_NAMES) - {"created_at"}  # whose columns say all; that of a time is no whole number
_LEFT_OUT: Final = _WHOLE | {"object"}
_MEMBERS: Final[Members] = {
    **dict.fromkeys(
        ("id", "object", "created_at", "request_id", "tenant", "key", "key_id", "door", "request_type")
    ),
    **dict.fromkeys(("model_requested", "model", "provider", "provider_key", "status", "error_code")),
    **dict.fromkeys(("finish_reason", "usage", "cost", "cost_details", "latency", "first_content", "queued")),
    **dict.fromkeys(("attempts", "cache", "warnings", "user", "metadata", "response_id")),
    "object": "call",
}
"""All members in order, as they are where a row has none."""


def body_of(row: Members) -> bytes:
    """Return the body of a row as it is stored."""
    return dumps_ascii({n: v for n, v in row.items() if v is not None and n not in _LEFT_OUT})


def values_of(row: Members, body: bytes) -> tuple[Any, ...]:
    """Return the values of ``COLUMNS``."""
    return (*map(row.get, _NAMES), body)


def members_of(row: Any) -> Members:
    """Return the members of a stored row; one from before version 0021 has all of them in its body."""
    columns = {name: getattr(row, name) for name in _WHOLE}
    members: Members = {**_MEMBERS, **columns, **loads_lenient(bytes(row.body))}
    return members
