"""Cursor pages over stored items: limit, order, after, before, in OpenAI's list shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, func, select

from app.canonical.record import record
from app.errors import GatewayError
from app.state.ids import storable
from app.state.items import ItemRow
from app.state.records import JSON, PageQuery


@record
class Scope:
    """Which items are listed: a table, the condition that picks the owner's, the ordering column."""

    table: Table
    condition: ColumnElement[bool]
    position: Column[Any]


def read_page(connection: Connection, scope: Scope, query: PageQuery) -> tuple[list[ItemRow], bool]:
    """Return one page of rows and whether there are more in the direction of reading.

    ``before`` alone reads backwards from the cursor, and its page is still in ``order``.
    """
    backwards = query.before is not None and query.after is None
    ascending = (query.order == "asc") != backwards
    statement = select(scope.table.c.item_id, scope.table.c.body).where(scope.condition)
    for name, flip in (("after", False), ("before", True)):
        cursor = getattr(query, name)
        if cursor is not None:
            place = _place(connection, scope, name, cursor)
            beyond = (query.order == "asc") != flip
            statement = statement.where(scope.position > place if beyond else scope.position < place)
    ordering = scope.position.asc() if ascending else scope.position.desc()
    found = connection.execute(statement.order_by(ordering).limit(query.limit + 1)).all()
    page = [ItemRow(row.item_id, bytes(row.body)) for row in found[: query.limit]]
    return (page[::-1] if backwards else page), len(found) > query.limit


def as_list(data: Sequence[JSON], has_more: bool) -> JSON:
    """Return OpenAI's list object."""
    return {
        "object": "list",
        "data": list(data),
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": has_more,
    }


def _place(connection: Connection, scope: Scope, name: str, item_id: str) -> Any:
    place = None
    if storable(item_id):
        place = connection.execute(
            select(func.max(scope.position)).where(scope.condition, scope.table.c.item_id == item_id)
        ).scalar()
    if place is None:
        raise GatewayError(
            "bad_request",
            f"Invalid '{name}': there is no item with id '{item_id}' in this list.",
            param=name,
            code="invalid_value",
        )
    return place
