"""The values that callers pass to the state and get from it."""

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
    """A fencing token: the owner of a lease, and the number of the claim. It guards every write to a running row.

    A process that lost its lease holds an old fence, and its writes change nothing.
    """

    owner: str
    attempt: int


@record
class LeasedWork:
    """A claimed row: its id, its tenant, and the fence that guards every write to it."""

    id: str
    tenant: str
    fence: Fence


@record
class Source:
    """Where a stored item came from: secrets of a realm go back to that realm only."""

    response_id: str | None
    direction: str
    realm: str | None = None
    provider: str | None = None


@record
class NewResponse:
    """A response that is about to run.

    ``input`` are this turn's own items, their references resolved (`Expansion.own`). ``object`` is the response object as
    it would be shown now; its ``output`` is not read. ``store`` False: the response can be fetched for a while after its
    end, and no turn may continue it. ``request`` and ``headers`` are what a background run needs later; ``key_id`` names
    the caller's key.
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
    """How a response ended: ``status`` is completed, incomplete, failed or cancelled.

    ``object`` is the terminal response object; its ``output`` is stored as items. ``events`` are those that the log does
    not have yet: the last batch, or, for background without stream, all events from number 2 (`response.in_progress`)
    on. ``extra`` is merged into the row's own.
    """

    status: str
    object: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]] = ()
    realm: str | None = None
    provider: str | None = None
    model: str | None = None
    upstream_id: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@record
class StoredResponse:
    """A stored response: ``object`` is what GET shows, ``output`` included."""

    id: str
    tenant: str
    status: str
    object: JSON
    background: bool
    attempt: int
    provider: str | None
    model: str | None
    extra: JSON


@record
class NewAttempt:
    """An attempt that is about to begin; ``target`` is ``provider/model``, ``realm`` that of the account.

    ``run`` counts, from 1, how often a background response was started; ``key_name`` is the name of the
    provider's key, never its value.
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
    """A request's input with everything that it refers to.

    ``input`` is the history, then this turn's items; ``sources`` has the source of each, None for items that the client
    sent. ``own`` are this turn's items alone, to be stored. ``changed`` says that items of the client were rewritten.
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
        """Tell whether the request refers to anything stored, so that ``input`` replaces its own input."""
        continues = self.parent_id is not None or self.conversation_id is not None
        return continues or any(source is not None for source in self.sources)


_MAX: Final = 100


@record
class PageQuery:
    """A query for one page of a list: ``limit`` 1 to 100, ``order`` asc or desc, cursors by item id.

    Raises ``bad_request`` for any other value.
    """

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
    """A file that is about to be written. ``members`` are its name and what else is known of its contents.

    ``expires_in`` are the seconds until it expires, None for as long as the operator keeps files. ``provider``, ``realm`` and
    ``upstream_id`` name the file at a provider that has its bytes; None: they are stored here.
    """

    id: str
    tenant: str
    purpose: str
    members: Mapping[str, Any] = field(default_factory=dict)
    expires_in: float | None = None
    provider: str | None = None
    realm: str | None = None
    upstream_id: str | None = None


@record
class StoredFile:
    """A file of a tenant; ``provider`` is None where its bytes are stored here. Times are Unix seconds."""

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
"""The size in bytes of the largest first answer that is kept."""


@record
class FirstAnswer:
    """An answer as it was sent; ``response_id`` is set where the body is the events of that background response."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    response_id: str | None = None


def missing(file_id: str, param: str = "file_id") -> GatewayError:
    """Return the 404 for a file that is missing or another tenant's."""
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
        match = re.fullmatch(r"(\d{1,18})-(\d{1,15})", text, re.ASCII)
        return None if match is None else cls(int(match[1]), int(match[2]) / 1000)


def ended_at(body: Mapping[str, Any]) -> float:
    """Return when a call of the call log ended, in Unix seconds."""
    return float(body["created_at"] + body["latency"] / 1000)
