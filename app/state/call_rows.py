"""The rows of the call log: their members, and how they are stored.

A member with a column of its own is in that column alone, and what is null is left out: the bytes that are written
are most of what a row costs. Tests: tests/state/test_call_log.py, tests/surfaces/test_calls.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from app.wire.json import dumps_ascii, loads_lenient

Members = Mapping[str, Any]


class CallRow(NamedTuple):
    """A row as it is stored: the columns of the table, in its order. ``body`` has the other members as JSON."""

    id: str
    created_at: int
    tenant: str
    key: str
    provider: str | None
    model: str | None
    request_type: str
    status: int
    request_id: str
    response_id: str | None
    key_id: str | None
    body: bytes


class Figures(NamedTuple):
    """The members of a call without columns that its sums are made of. All are flat, so that a row that waits to be written
    holds little memory. ``latency`` and ``first_content`` are in milliseconds, ``cost`` in dollars; ``unpriced``: the call
    cost something that nobody knows, so that ``cost`` is the least."""

    door: str | None
    error_code: str | None
    user: str | None
    metadata: Members | None
    input_tokens: int
    output_tokens: int
    cost: float | None
    cache: str | None
    latency: int | None
    first_content: int | None
    unpriced: bool | None = False


QueuedRow = tuple[CallRow, Figures]
"""A row as it waits to be written."""

_NAMES: Final = CallRow._fields[:-1]
_LEFT_OUT: Final = frozenset((*_NAMES, "object"))
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


def row_of(members: Members) -> QueuedRow:
    """Return the row and the figures of a call as it is shown, of which any member may be missing."""
    body = body_of({name: value for name, value in members.items() if name not in _LEFT_OUT})
    usage = members.get("usage") or {}
    counts = {name: usage.get(name) or 0 for name in ("input_tokens", "output_tokens")}
    figures = Figures._make(map({**members, **counts}.get, Figures._fields))
    return CallRow._make((*map(members.get, _NAMES), body)), figures


def with_user(row: CallRow, user: str) -> CallRow:
    """Return a row whose body names another user."""
    return row._replace(body=dumps_ascii({**loads_lenient(row.body), "user": user}))


def body_of(others: Members) -> bytes:
    """Return members without columns as they are stored."""
    return dumps_ascii({name: value for name, value in others.items() if value is not None})


def members_of(row: Any) -> Members:
    """Return the members of a stored row; one from before version 0021 has all of them in its body."""
    columns = {name: getattr(row, name) for name in _NAMES}
    columns["created_at"] = int(row.created_at)
    members: Members = {**_MEMBERS, **columns, **loads_lenient(bytes(row.body))}
    return members
