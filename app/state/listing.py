"""Lists of an administrator: the rows of a table, the newest first, page by page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, Table, select, tuple_

from app.errors import GatewayError
from app.state.ids import storable
from app.state.tables import AnyRow

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows, and whether there are more."""

    rows: list[T]
    has_more: bool


def read(
    connection: Connection, table: Table, limit: int, after: str | None, *conditions: ColumnElement[bool]
) -> tuple[list[AnyRow], bool]:
    """Return up to ``limit`` rows of ``table``, by ``created_at`` and the key, after the row ``after``.

    Raises ``bad_request`` when there is no such row.
    """
    (key,) = table.primary_key.columns
    place = (table.c.created_at, key)
    statement = select(table).where(*conditions).order_by(place[0].desc(), place[1].desc()).limit(limit + 1)
    if after is not None:
        statement = statement.where(tuple_(*place) < tuple_(*_place(connection, place, after)))
    rows: list[Any] = list(connection.execute(statement))
    return rows[:limit], len(rows) > limit


def _place(connection: Connection, place: tuple[Any, Any], after: str) -> Any:
    found = None
    if storable(after):
        found = connection.execute(select(*place).where(place[1] == after)).first()
    if found is None:
        raise GatewayError(
            "bad_request",
            f"Invalid 'after': there is nothing with the id '{after[:80]}' in this list.",
            param="after",
            code="invalid_value",
        )
    return found
