"""The values that callers hand to the store and get from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from app.canonical.record import record

JSON = dict[str, Any]


@record
class Fence:
    """Who may write to a running response: the lease's owner and the attempt it was given.

    A process that lost its lease holds an old fence, and its writes change nothing.
    """

    owner: str
    attempt: int


@record
class Source:
    """Where a stored item came from: dispatch puts secrets of a realm back only there."""

    response_id: str | None
    direction: str
    realm: str | None = None
    provider: str | None = None


@record
class NewResponse:
    """A response about to run.

    ``input``: this turn's own items, references resolved (`Expansion.own`).
    ``object``: the response object as it would be shown now; its ``output`` is not
    read. ``store`` False: it is kept for a while after its end, and not continued. ``request`` and ``headers`` are what a background run needs later; ``key_id``
    names the caller's key, for whom it acts.
    """

    id: str
    tenant: str
    object: Mapping[str, Any]
    input: Sequence[Mapping[str, Any]] = ()
    parent_id: str | None = None
    conversation_id: str | None = None
    conversation_head: int | None = None
    background: bool = False
    stream: bool = False
    store: bool = True
    key_id: str | None = None
    mount: str | None = None
    api_version: str | None = None
    realm: str | None = None
    provider: str | None = None
    model: str | None = None
    request: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


@record
class Ending:
    """How a response ended: one of completed, incomplete, failed, cancelled.

    ``object`` is the terminal response object; its ``output`` is stored as items.
    ``events`` is what the log still lacks: the last batch, or, for background without
    stream, all events from number 2 (`response.in_progress`) on. ``extra`` joins what the
    row's own holds.
    """

    status: str
    object: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]] = ()
    realm: str | None = None
    provider: str | None = None
    model: str | None = None
    upstream_id: str | None = None
    upstream_state: bytes | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@record
class StoredResponse:
    """A stored response: ``object`` is what GET shows, ``output`` included."""

    id: str
    tenant: str
    status: str
    object: JSON
    background: bool
    stream: bool
    attempt: int
    key_id: str | None
    mount: str | None
    api_version: str | None
    realm: str | None
    provider: str | None
    model: str | None
    parent_id: str | None
    conversation_id: str | None
    extra: JSON
    created_at: float
    completed_at: float | None
