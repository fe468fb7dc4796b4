"""Pages of stored items by cursor: limit, order, after and before, in the shape of OpenAI's lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, select

from app.canonical.record import record
from app.errors import GatewayError
from app.state.items import ItemRow
from app.state.lookup import require_row
from app.state.records import JSON, PageQuery
from app.state.rows import present_items


@record
class Scope:
    """A list of items: the table, the condition that its items fit, and the column that orders them."""

    table: Table
    condition: ColumnElement[bool]
    position: Column[Any]


def read_items(
    connection: Connection, tenant: str, scope: Scope, query: PageQuery
) -> tuple[list[JSON], bool]:
    """Return one page of items as their owner sees them, and whether there are more in the direction of reading.

    ``before`` alone reads backwards from the cursor; its page is in ``order`` all the same. Raises ``bad_request`` for a
    cursor that is no item of the list.
    """
    backwards = query.before is not None and query.after is None
    ascending = (query.order == "asc") != backwards
    statement = select(scope.table.c.item_id, scope.table.c.body).where(scope.condition)
    for name, flip in (("after", False), ("before", True)):
        cursor = getattr(query, name)
        if cursor is not None:
            position = _find_position(connection, scope, name, cursor)
            beyond = (query.order == "asc") != flip
            statement = statement.where(scope.position > position if beyond else scope.position < position)
    ordering = scope.position.asc() if ascending else scope.position.desc()
    rows = connection.execute(statement.order_by(ordering).limit(query.limit + 1)).all()
    page = [ItemRow(row.item_id, bytes(row.body)) for row in rows[: query.limit]]
    items = present_items(connection, tenant, page[::-1] if backwards else page)
    return items, len(rows) > query.limit


def as_list(data: Sequence[JSON], has_more: bool) -> JSON:
    """Return OpenAI's list object."""
    return {
        "object": "list",
        "data": list(data),
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": has_more,
    }


def _find_position(connection: Connection, scope: Scope, name: str, item_id: str) -> Any:
    mine = (scope.condition, scope.table.c.item_id == item_id)
    newest = select(scope.position).where(*mine).order_by(scope.position.desc()).limit(1)
    error = GatewayError(
        "bad_request",
        f"Invalid '{name}': there is no item with id '{item_id}' in this list.",
        param=name,
        code="invalid_value",
    )
    return require_row(connection, newest, item_id, error)[0]
