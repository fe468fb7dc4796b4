"""Reading history: the walk up a response's parents, a conversation, and referenced items.

A request of a few bytes can refer to very many, so their sizes are read first and held to a limit.

Turns are linked, not copied: the history of a response is a walk up its parents, so a turn sees its own branch only, and
reading turn n costs what n turns hold. A chain that began in a conversation starts with the items that the conversation
had at that moment. Deleted ancestors still count: their content stays for their living descendants.

A referenced item is taken from the newest living response of its tenant that has it, else from a living conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Select,
    Table,
    bindparam,
    func,
    literal,
    select,
    tuple_,
)

from app.canonical.record import record
from app.errors import GatewayError
from app.state import blobs, conversation_rows, replacements
from app.state.ids import storable
from app.state.records import Source
from app.state.rows import RUNNING_STATUSES, chunks
from app.state.tables import AnyRow, conversation, conversation_item, item, response
from app.wire.json import loads_lenient


@dataclass(slots=True)
class History:
    """Stored items in order, their JSON not parsed yet; ``limit`` is the most bytes that they may have.

    ``compacted``: what an item of a compaction stands for is not read."""

    limit: int
    compacted: bool = False
    size: int = 0
    ids: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)

    def count(self, size: int) -> None:
        """Count ``size`` bytes that are about to be read; raises ``context_length`` (400) past the limit."""
        self.size += size
        if self.size > self.limit:
            raise _too_long(self.size, self.limit)

    def add(self, item_id: str, body: bytes, source: Source) -> None:
        self.ids.append(item_id)
        self.bodies.append(bytes(body))
        self.sources.append(source)


@record
class References:
    """What a turn refers to: its history, the items of its references by id, and the blobs of both by digest."""

    history: History
    referenced: Mapping[str, tuple[bytes, Source]]
    files: Mapping[str, bytes]
    conversation_head: int | None


def previous_not_found(response_id: Any) -> GatewayError:
    """Return the 400 for a parent that is missing, deleted or another tenant's."""
    return GatewayError(
        "bad_request",
        f"Previous response with id '{response_id}' not found.",
        param="previous_response_id",
        code="previous_response_not_found",
    )


def _too_long(size: int, limit: int) -> GatewayError:
    return GatewayError(
        "context_length",
        f"What this request refers to holds {size:,} bytes; at most {limit:,} can be put before its own input. "
        "Begin a new thread, compact this one, or refer to fewer items.",
        param="input",
    )


def find(
    connection: Connection,
    tenant: str,
    parent_id: str | None,
    conversation_id: str | None,
    references: Sequence[str],
    *,
    limit: int,
    deleted_too: bool = False,
    begins: bool = False,
) -> References:
    """Read what a turn refers to; raises ``context_length`` (400) for more than ``limit`` bytes.

    Of a history with more, what an item of a compaction stands for is left out. ``deleted_too`` includes what was deleted
    since the turn was accepted. ``begins`` says that the turn is about to be stored: a conversation in which another turn
    runs then raises ``conflict`` (409) before it is read.
    """

    def read(*, compacted: bool) -> References:
        history = History(limit, compacted=compacted)
        head = _read_history(
            connection, tenant, parent_id, conversation_id, history, deleted_too=deleted_too, begins=begins
        )
        return _with_references(connection, tenant, references, history, head)

    try:
        return read(compacted=False)
    except GatewayError as error:
        if error.kind.name != "context_length":
            raise
    return read(compacted=True)


def _read_history(
    connection: Connection,
    tenant: str,
    parent_id: str | None,
    conversation_id: str | None,
    history: History,
    *,
    deleted_too: bool,
    begins: bool,
) -> int | None:
    """Read a chain or a conversation; return the last position read of a conversation."""
    head = None
    if parent_id is not None:
        _read_chain(connection, tenant, parent_id, history, deleted_too=deleted_too)
    if conversation_id is not None:
        if not deleted_too:
            conversation_rows.require(connection, tenant, conversation_id)
        if begins:
            conversation_rows.check_idle(connection, conversation_id)
        head = _read_conversation(connection, tenant, conversation_id, None, history)
    return head


def _with_references(
    connection: Connection, tenant: str, references: Sequence[str], history: History, head: int | None
) -> References:
    present = set(history.ids)
    fresh = [one for one in dict.fromkeys(references) if one not in present]
    items = read_references(connection, tenant, fresh, history.count)
    bodies = [*history.bodies, *(body for body, _ in items.values())]
    history.count(blobs.expanded_bytes(connection, tenant, bodies))
    return References(history, items, blobs.fetch(connection, tenant, bodies), head)


def _read_chain(
    connection: Connection, tenant: str, parent_id: str, history: History, *, deleted_too: bool
) -> None:
    """Read the turns from the first ancestor down to ``parent_id``."""
    turns: Sequence[AnyRow] = []  # the newest first
    if storable(parent_id):
        turns = connection.execute(_walk_statement(deleted_too), {"id": parent_id, "tenant": tenant}).all()
    _check_parent(turns, parent_id)
    root, place = turns[-1], None
    if history.compacted:
        place = replacements.newest_turn(connection, turns)
        turns = turns if place is None else turns[: place + 1]
    if place is None and root.conversation_id is not None:
        head = loads_lenient(root.extra).get("conversation_head")
        _read_conversation(connection, tenant, root.conversation_id, head, history)
    items = _items_by_turn(connection, [turn.id for turn in turns], history)
    for turn in reversed(turns):
        for row in items.get(turn.id, ()):
            source = Source(turn.id, row.direction, turn.realm, turn.provider)
            history.add(row.item_id, row.body, source)


@cache
def _walk_statement(deleted_too: bool) -> Select[*tuple[Any, ...]]:
    columns = (
        response.c.id,
        response.c.parent_id,
        response.c.conversation_id,
        response.c.status,
        response.c.background,
        response.c.realm,
        response.c.provider,
        response.c.extra,
    )
    start = select(*columns, literal(0).label("depth")).where(
        response.c.id == bindparam("id"),
        response.c.tenant == bindparam("tenant"),
    )
    if not deleted_too:
        start = start.where(response.c.deleted_at.is_(None), response.c.store)
    chain = start.cte("chain", recursive=True)
    parents = (
        select(*columns, chain.c.depth + 1)
        .join(chain, response.c.id == chain.c.parent_id)
        .where(response.c.tenant == bindparam("tenant"))
    )
    walk = chain.union_all(parents)
    return select(walk).order_by(walk.c.depth)


def _check_parent(turns: Sequence[AnyRow], parent_id: str) -> None:
    if not turns or (turns[0].status in RUNNING_STATUSES and not turns[0].background):
        raise previous_not_found(parent_id)
    if turns[0].status in RUNNING_STATUSES:
        raise GatewayError(
            "bad_request",
            f"Previous response with id '{parent_id}' is still in progress.",
            param="previous_response_id",
            code="previous_response_in_progress",
        )
    if turns[-1].parent_id is not None:
        raise previous_not_found(turns[-1].parent_id)


def _items_by_turn(connection: Connection, ids: Sequence[str], history: History) -> dict[str, list[AnyRow]]:
    by_turn: dict[str, list[AnyRow]] = {}
    for some in chunks(ids):
        history.count(_bytes_of(connection, item.c.body, item.c.response_id.in_(some)))
        rows = connection.execute(
            select(item.c.response_id, item.c.direction, item.c.item_id, item.c.body)
            .where(item.c.response_id.in_(some))
            .order_by(item.c.response_id, item.c.seq)
        )
        for row in rows:
            by_turn.setdefault(row.response_id, []).append(row)
    return by_turn


def _bytes_of(connection: Connection, column: Column[Any], condition: ColumnElement[bool]) -> int:
    """Return how many bytes a column holds in some rows; the bytes themselves are not read."""
    return connection.execute(select(func.sum(func.length(column))).where(condition)).scalar() or 0


def _read_conversation(
    connection: Connection, tenant: str, conversation_id: str, head: int | None, history: History
) -> int:
    """Read a conversation's items up to position ``head`` (None: all of them); return the last position read."""
    condition = (conversation_item.c.conversation_id == conversation_id) & (
        conversation_item.c.tenant == tenant
    )
    if head is not None:
        condition &= conversation_item.c.position <= head
    if history.compacted:
        condition &= conversation_item.c.position >= replacements.position(connection, condition)
    statement = (
        select(
            conversation_item.c.position,
            conversation_item.c.item_id,
            conversation_item.c.body,
            conversation_item.c.response_id,
            response.c.realm,
            response.c.provider,
        )
        .join_from(
            conversation_item,
            response,
            response.c.id == conversation_item.c.response_id,
            isouter=True,
        )
        .where(condition)
        .order_by(conversation_item.c.position)
    )
    history.count(_bytes_of(connection, conversation_item.c.body, condition))
    last = 0
    for row in connection.execute(statement):
        source = Source(row.response_id, "conversation", row.realm, row.provider)
        history.add(row.item_id, row.body, source)
        last = row.position
    return last


# --- referenced items ------------------------------------------------------------------------------


@record
class Place:
    """Where an item is stored: the key of its row, the size of its body in bytes, and its source."""

    table: Table
    key: tuple[Any, ...]
    size: int
    source: Source


def item_not_found(item_id: str) -> GatewayError:
    """Return the 404 for an item that is missing, deleted or another tenant's."""
    return GatewayError(
        "not_found",
        f"Item with id '{item_id}' not found. Items are not persisted when `store` is set to "
        "false. Try again with `store` set to true, or remove this item from your input.",
        param="input",
    )


def read_references(
    connection: Connection, tenant: str, ids: Iterable[str], count: Callable[[int], None]
) -> dict[str, tuple[bytes, Source]]:
    """Return body and source of each of ``ids``; raises ``not_found`` for the first that the tenant does not have.

    ``count`` is called with the size of some bodies in bytes before they are read, and may raise.
    """
    items: dict[str, tuple[bytes, Source]] = {}
    for some in chunks(list(ids)):
        places = _locate(connection, tenant, some)
        count(sum(place.size for place in places.values()))
        bodies = _bodies(connection, places.values())
        items.update((one, (bodies[place.table, place.key], place.source)) for one, place in places.items())
    return items


def _locate(connection: Connection, tenant: str, ids: Sequence[str]) -> dict[str, Place]:
    storable_ids = [one for one in ids if storable(one)]
    places = {}
    for row in connection.execute(_items_of_responses(tenant, storable_ids)):
        source = Source(row.response_id, row.direction, row.realm, row.provider)
        places[row.item_id] = Place(item, (row.response_id, row.seq), row.size, source)
    missing = [one for one in storable_ids if one not in places]
    if missing:
        for row in connection.execute(_items_of_conversations(tenant, missing)):
            key = (row.conversation_id, row.position)
            places[row.item_id] = Place(conversation_item, key, row.size, Source(None, "conversation"))
    for one in ids:
        if one not in places:
            raise item_not_found(one)
    return places


def _items_of_responses(tenant: str, ids: Sequence[str]) -> Select[*tuple[Any, ...]]:
    """Return the query for items of living responses, the oldest first, so that the newest one stays."""
    return (
        select(
            item.c.item_id,
            item.c.response_id,
            item.c.seq,
            item.c.direction,
            func.length(item.c.body).label("size"),
            response.c.realm,
            response.c.provider,
        )
        .join(response, response.c.id == item.c.response_id)
        .where(
            item.c.tenant == tenant,
            item.c.item_id.in_(ids),
            response.c.deleted_at.is_(None),
            response.c.store,
        )
        .order_by(response.c.created_at, item.c.seq.desc())
    )


def _items_of_conversations(tenant: str, ids: Sequence[str]) -> Select[*tuple[Any, ...]]:
    return (
        select(
            conversation_item.c.item_id,
            conversation_item.c.conversation_id,
            conversation_item.c.position,
            func.length(conversation_item.c.body).label("size"),
        )
        .join(conversation, conversation.c.id == conversation_item.c.conversation_id)
        .where(
            conversation_item.c.tenant == tenant,
            conversation_item.c.item_id.in_(ids),
            conversation.c.deleted_at.is_(None),
        )
        .order_by(conversation_item.c.position)
    )


def _bodies(connection: Connection, places: Iterable[Place]) -> dict[tuple[Table, tuple[Any, ...]], bytes]:
    keys: dict[Table, list[tuple[Any, ...]]] = {}
    for place in places:
        keys.setdefault(place.table, []).append(place.key)
    return {
        (table, (row[0], row[1])): bytes(row[2])
        for table, some in keys.items()
        for row in connection.execute(_by_key(table, some))
    }


def _by_key(table: Table, keys: Sequence[tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    primary: list[Column[Any]] = list(table.primary_key.columns)
    return select(*primary, table.c.body).where(tuple_(*primary).in_(keys))
