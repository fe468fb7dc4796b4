"""Re-encryption: rewriting the stored values as the settings would store them now.

They become sealed, unsealed, or sealed with another key: row after row, in short transactions, while gateways serve. A row
that somebody changes meanwhile stays as they wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy import (
    Column,
    Connection,
    LargeBinary,
    Table,
    func,
    literal,
    select,
    tuple_,
    type_coerce,
    update,
)

from app.state.cache import purge_unsealed
from app.state.cipher import Cipher
from app.state.database import Database
from app.state.encryption import SealedBytes
from app.state.tables import AnyRow, blob, metadata

_AT_ONCE: Final = 50
_FILES_AT_ONCE: Final = 1  # each may be as large as a body

Progress = Callable[[str, int, int], None]
"""Called with the name of a table, how many of its rows are done, and how many there are."""


def reencrypt(db: Database, cipher: Cipher, progress: Progress) -> int:
    """Rewrite every row that is not as ``cipher`` would store it; return how many.

    Cached answers whose vectors cannot be sealed are deleted when ``cipher`` seals."""
    if cipher.seals:
        purge_unsealed(db)
    return sum(
        _rewrite(db, table, cipher, progress) for table in metadata.sorted_tables if _sealed_columns(table)
    )


def _sealed_columns(table: Table) -> list[Column[Any]]:
    return [column for column in table.columns if isinstance(column.type, SealedBytes)]


def _rewrite(db: Database, table: Table, cipher: Cipher, progress: Progress) -> int:
    total = db.fetch_value(select(func.count()).select_from(table))
    seen, count, last = 0, 0, None
    while rows := db.read(lambda connection, after=last: _page(connection, table, after)):  # type: ignore[misc]
        stale = [row for row in rows if not _is_current(row, table, cipher)]
        count += db.write(partial(_seal, table=table, rows=stale, cipher=cipher))
        seen, last = seen + len(rows), tuple(rows[-1][: len(table.primary_key)])
        progress(table.name, seen, max(seen, total))
    return count


def _page(connection: Connection, table: Table, after: tuple[Any, ...] | None) -> Sequence[AnyRow]:
    """Return the next rows: the key, then the sealed columns as they are stored."""
    key = list(table.primary_key.columns)
    raw = [type_coerce(column, LargeBinary) for column in _sealed_columns(table)]
    statement = select(*key, *raw).order_by(*key).limit(_FILES_AT_ONCE if table is blob else _AT_ONCE)
    if after is not None:
        statement = statement.where(tuple_(*key) > tuple_(*map(literal, after)))
    return connection.execute(statement).all()


def _is_current(row: AnyRow, table: Table, cipher: Cipher) -> bool:
    return all(
        cipher.is_current(bytes(value)) for value in row[len(table.primary_key) :] if value is not None
    )


def _seal(connection: Connection, table: Table, rows: Sequence[AnyRow], cipher: Cipher) -> int:
    return sum(_seal_one(connection, table, row, cipher) for row in rows)


def _seal_one(connection: Connection, table: Table, row: AnyRow, cipher: Cipher) -> int:
    key = list(table.primary_key.columns)
    statement = update(table).where(*(column == value for column, value in zip(key, row, strict=False)))
    for column, old in zip(_sealed_columns(table), row[len(key) :], strict=True):
        if old is not None:
            old_value = literal(bytes(old), LargeBinary)
            new = literal(cipher.write(cipher.read(bytes(old))), LargeBinary)
            statement = statement.where(type_coerce(column, LargeBinary) == old_value).values({column: new})
    return connection.execute(statement).rowcount
