"""The values that callers hand to the store and get from it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Final, NamedTuple, Self

from app.canonical.record import record
from app.errors import GatewayError

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


@record
class NewAttempt:
    """A try about to be made; ``target`` is ``provider/model``, ``realm`` the account's.

    ``run`` counts the times a background response's work was begun, from 1; ``key_name``
    names the provider's key, never its value.
    """

    id: str
    tenant: str
    call_id: str
    target: str
    realm: str | None = None
    response_id: str | None = None
    run: int | None = None
    key_name: str | None = None


EXPANDED_MAX: Final = 32 * 1024 * 1024


@record
class Expansion:
    """A request's input with everything it refers to.

    ``input``: history first, then this turn's items. ``sources`` runs beside it, None for
    items the client sent itself. ``own``: this turn's items alone, to be stored. ``changed``: what the
    client sent itself was put otherwise.
    """

    input: list[JSON]
    sources: list[Source | None]
    own: list[JSON]
    parent_id: str | None = None
    conversation_id: str | None = None
    conversation_head: int | None = None
    changed: bool = False

    @property
    def refers(self) -> bool:
        """Say whether the request referred to anything stored, so that ``input`` replaces its own."""
        named = self.parent_id is not None or self.conversation_id is not None
        return named or any(source is not None for source in self.sources)


_MAX: Final = 100


@record
class PageQuery:
    """What a caller asked of a list: ``limit`` 1 to 100, ``order`` asc or desc, cursors by item id."""

    limit: int = 20
    order: str = "desc"
    after: str | None = None
    before: str | None = None

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise _bad_limit("below minimum", ">= 1", self.limit, "integer_below_min_value")
        if self.limit > _MAX:
            raise _bad_limit("above maximum", f"<= {_MAX}", self.limit, "integer_above_max_value")
        if self.order not in ("asc", "desc"):
            raise GatewayError(
                "bad_request",
                f"Invalid value: '{self.order}'. Supported values are: 'asc' and 'desc'.",
                param="order",
                code="invalid_value",
            )


def _bad_limit(how: str, bound: str, limit: int, code: str) -> GatewayError:
    message = f"Invalid 'limit': integer {how} value. Expected a value {bound}, but got {limit} instead."
    return GatewayError("bad_request", message, param="limit", code=code)


@record
class NewFile:
    """A file about to be written. ``members`` are its name and what else is known of its contents;
    ``keeps`` the seconds after which it goes, None for as long as the operator keeps such things.
    ``provider``, ``realm`` and ``upstream_id`` say where its bytes are, where that is not here."""

    id: str
    tenant: str
    purpose: str
    members: Mapping[str, Any] = field(default_factory=dict)
    keeps: float | None = None
    provider: str | None = None
    realm: str | None = None
    upstream_id: str | None = None


@record
class StoredFile:
    """A file of a tenant; ``provider`` is None where its bytes are here."""

    id: str
    purpose: str
    bytes: int
    created_at: int
    expires_at: int | None
    members: JSON
    provider: str | None
    realm: str | None
    upstream_id: str | None


LARGEST: Final = 1024 * 1024
"""Bytes of the largest answer that is kept."""


@record
class FirstAnswer:
    """An answer as it went out. ``response_id`` is that of a background response whose events are the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    response_id: str | None = None


def missing(file_id: str, param: str = "file_id") -> GatewayError:
    """Return the error for a file that there is not, for this caller."""
    return GatewayError("not_found", f"No such File object: {file_id[:80]}", param=param)


class Cursor(NamedTuple):
    """A place among the live events: the last row of SQLite's call log (0 on PostgreSQL) and Unix seconds."""

    row: int
    moment: float

    def __str__(self) -> str:
        return f"{self.row}-{self.moment * 1000:.0f}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the cursor that ``str`` wrote; None for any other text."""
        found = re.fullmatch(r"(\d{1,18})-(\d{1,15})", text, re.ASCII)
        return None if found is None else cls(int(found[1]), int(found[2]) / 1000)


def ended_at(body: Mapping[str, Any]) -> float:
    """Return when a call of the log ended, in Unix seconds."""
    return float(body["created_at"] + body["latency"] / 1000)
