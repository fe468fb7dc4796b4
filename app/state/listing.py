"""Lists of rows by age, page by page: the newest first, or the oldest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, Table, select, tuple_

from app.canonical.record import record
from app.errors import GatewayError
from app.state.ids import storable
from app.state.tables import AnyRow

T = TypeVar("T")


@record
class Page(Generic[T]):
    """Some rows, and whether there are more."""

    rows: list[T]
    has_more: bool


def read(
    connection: Connection,
    table: Table,
    limit: int,
    after: str | None,
    *conditions: ColumnElement[bool],
    owned: Sequence[ColumnElement[bool]] = (),
    oldest_first: bool = False,
) -> tuple[list[AnyRow], bool]:
    """Return up to ``limit`` rows of ``table``, by ``created_at`` and the key, after the row ``after``.

    ``owned`` are conditions of the rows that there are for the caller: the row ``after`` is one of them, too.
    Raises ``bad_request`` when there is no such row.
    """
    (key,) = table.primary_key.columns
    place = (table.c.created_at, key)
    order = [column.asc() if oldest_first else column.desc() for column in place]
    statement = select(table).where(*owned, *conditions).order_by(*order).limit(limit + 1)
    if after is not None:
        found = tuple_(*_place(connection, place, after, owned))
        statement = statement.where(tuple_(*place) > found if oldest_first else tuple_(*place) < found)
    rows: list[Any] = list(connection.execute(statement))
    return rows[:limit], len(rows) > limit


def _place(
    connection: Connection, place: tuple[Any, Any], after: str, owned: Sequence[ColumnElement[bool]]
) -> Any:
    found = None
    if storable(after):
        found = connection.execute(select(*place).where(place[1] == after, *owned)).first()
    if found is None:
        raise GatewayError(
            "bad_request",
            f"Invalid 'after': there is nothing with the id '{after[:80]}' in this list.",
            param="after",
            code="invalid_value",
        )
    return found
