"""References: the stored items that an ``item_reference`` stands for.

Many of them are looked up by few statements, and their sizes are read before their bodies. An item is taken from the
newest living response of its tenant that has it, else from a living conversation.
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
from app.state.tables import conversation, conversation_item, item, response


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


def read(
    connection: Connection, tenant: str, ids: Iterable[str], count: Callable[[int], None]
) -> dict[str, tuple[bytes, Source]]:
    """Return body and source of each of ``ids``; raises ``not_found`` for the first that the tenant does not have.

    ``count`` is called with the size of some bodies in bytes before they are read, and may raise.
    """
    found: dict[str, tuple[bytes, Source]] = {}
    for some in chunks(list(ids)):
        places = _locate(connection, tenant, some)
        count(sum(place.size for place in places.values()))
        bodies = _bodies(connection, places.values())
        found.update((one, (bodies[place.table, place.key], place.source)) for one, place in places.items())
    return found


def _locate(connection: Connection, tenant: str, ids: Sequence[str]) -> dict[str, Place]:
    known = [one for one in ids if storable(one)]
    places = {}
    for row in connection.execute(_items_of_responses(tenant, known)):
        source = Source(row.response_id, row.direction, row.realm, row.provider)
        places[row.item_id] = Place(item, (row.response_id, row.seq), row.size, source)
    missing = [one for one in known if one not in places]
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
