"""Reading rows that a caller names: one by its id, or a list by age, page by page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, Table, select, tuple_

from app.canonical.record import record
from app.errors import GatewayError
from app.state.database import Database
from app.state.ids import storable
from app.state.tables import AnyRow

T = TypeVar("T")

Span = tuple[float | None, float | None]
"""From a moment and before another, in Unix seconds; None: without that bound."""


@record
class Page(Generic[T]):
    """Some rows of a list, and whether there are more."""

    rows: list[T]
    has_more: bool


def by_key(table: Table, row_id: str, *conditions: Any, lock: bool = False) -> Select[Any]:
    """Return the query for the row with the primary key ``row_id``; with ``lock`` it locks the row until the commit."""
    (key,) = table.primary_key.columns
    query = select(table).where(key == row_id, *conditions)
    return query.with_for_update() if lock else query


def find_row(connection: Connection, query: Any, row_id: object) -> AnyRow | None:
    """Return the first row of ``query``, which looks for ``row_id``; None when there is none, or the id may not reach
    the database."""
    return connection.execute(query).first() if storable(row_id) else None


def require_row(connection: Connection, query: Any, row_id: object, missing: GatewayError) -> AnyRow:
    """Return what ``find_row`` finds; raises ``missing`` where it finds nothing."""
    row = find_row(connection, query, row_id)
    if row is None:
        raise missing
    return row


def read_page(
    db: Database,
    table: Table,
    limit: int,
    after: str | None,
    show: Callable[[AnyRow], T],
    *conditions: ColumnElement[bool],
    visible: Sequence[ColumnElement[bool]] = (),
    oldest_first: bool = False,
) -> Page[T]:
    """Return up to ``limit`` rows of ``table`` after the row with the id ``after``, each as ``show`` returns it.

    Rows are in the order of ``created_at`` and id. ``visible`` are the conditions under which a row exists for the
    caller; the row ``after`` must fit them, but not ``conditions``. Raises ``bad_request`` when there is no such row.
    """
    (key,) = table.primary_key.columns
    place = (table.c.created_at, key)
    order = [column.asc() if oldest_first else column.desc() for column in place]
    statement = select(table).where(*visible, *conditions).order_by(*order).limit(limit + 1)

    def work(connection: Connection) -> list[AnyRow]:
        if after is None:
            return list(connection.execute(statement))
        last = tuple_(*_find_place(connection, place, after, visible))
        beyond = tuple_(*place) > last if oldest_first else tuple_(*place) < last
        return list(connection.execute(statement.where(beyond)))

    rows = db.read(work)
    return Page([show(row) for row in rows[:limit]], len(rows) > limit)


def _find_place(
    connection: Connection, place: tuple[Any, Any], after: str, visible: Sequence[ColumnElement[bool]]
) -> AnyRow:
    error = GatewayError(
        "bad_request",
        f"Invalid 'after': there is nothing with the id '{after[:80]}' in this list.",
        param="after",
        code="invalid_value",
    )
    return require_row(connection, select(*place).where(place[1] == after, *visible), after, error)


def within(column: Any, span: Span) -> list[ColumnElement[bool]]:
    """Return the conditions under which ``column`` lies in ``span``."""
    begin, end = span
    conditions = [] if begin is None else [column >= begin]
    return conditions if end is None else [*conditions, column < end]
