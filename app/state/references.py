"""References: the stored items that an ``item_reference`` stands for.

Many are looked up by few statements, and measured before any of them is read. An item is found
where it was seen last: in the newest living response of its tenant, else in a living
conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Select, Table, func, select, tuple_

from app.canonical.record import record
from app.errors import GatewayError
from app.state.ids import storable
from app.state.records import Source
from app.state.rows import chunks
from app.state.tables import AnyRow, conversation, conversation_item, item, response


@record
class Place:
    """Where an item lies: the key of its row, the bytes of its body, and its source."""

    table: Table
    key: tuple[Any, ...]
    size: int
    source: Source


def item_not_found(item_id: str) -> GatewayError:
    """Make the 404 of an item that is missing, foreign or deleted."""
    return GatewayError(
        "not_found",
        f"Item with id '{item_id}' not found. Items are not persisted when `store` is set to "
        "false. Try again with `store` set to true, or remove this item from your input.",
        param="input",
    )


def read(
    connection: Connection, tenant: str, ids: Iterable[str], hold: Callable[[int], None]
) -> dict[str, tuple[bytes, Source]]:
    """Return body and source of each of ``ids``; 404 for the first that cannot be seen.

    ``hold`` is told the bytes of some bodies before they are read, and may raise.
    """
    found: dict[str, tuple[bytes, Source]] = {}
    for some in chunks(list(ids)):
        places = _locate(connection, tenant, some)
        hold(sum(place.size for place in places.values()))
        bodies = _bodies(connection, places.values())
        found.update((one, (bodies[place.table, place.key], place.source)) for one, place in places.items())
    return found


def _locate(connection: Connection, tenant: str, ids: Sequence[str]) -> dict[str, Place]:
    for one in ids:
        if not storable(one):
            raise item_not_found(one)
    places = {row.item_id: _in_response(row) for row in connection.execute(_seen_in_responses(tenant, ids))}
    missing = [one for one in ids if one not in places]
    if missing:
        rows = connection.execute(_seen_in_conversations(tenant, missing))
        places.update((row.item_id, _in_conversation(row)) for row in rows)
    for one in missing:
        if one not in places:
            raise item_not_found(one)
    return places


def _seen_in_responses(tenant: str, ids: Sequence[str]) -> Select[*tuple[Any, ...]]:
    """The oldest first, so that the newest one stays."""
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


def _seen_in_conversations(tenant: str, ids: Sequence[str]) -> Select[*tuple[Any, ...]]:
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


def _in_response(row: AnyRow) -> Place:
    source = Source(row.response_id, row.direction, row.realm, row.provider)
    return Place(item, (row.response_id, row.seq), row.size, source)


def _in_conversation(row: AnyRow) -> Place:
    key = (row.conversation_id, row.position)
    return Place(conversation_item, key, row.size, Source(None, "conversation"))


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
