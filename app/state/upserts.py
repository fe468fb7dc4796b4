"""Fast execution of the statements of every call, and inserts for rows whose key may exist.

Building a statement costs more than running it, so each is built once for each kind of database and cached where it is
built (`functools.cache` over immutable arguments). On SQLite, `run` and `run_all` pass the text that SQLAlchemy compiled
once to the driver, because its own execution costs more than the statement. Values go through the types of their columns;
results are as SQLite returns them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from importlib import import_module
from itertools import chain
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Dialect, Table

_TEXTS: Final = 256
_ROWS: Final = 512
"""Most rows of one insert; fewer go by powers of two, so that there are few different statements."""

Write = Callable[[Any], Any]


def run(connection: Connection, statement: Any, values: Mapping[str, Any]) -> Any:
    """Execute a cached statement; return a result with ``fetchone``, ``fetchall`` and ``rowcount``."""
    if connection.dialect.name != "sqlite":
        return connection.execute(statement, values)
    text = _text(statement, None, connection.dialect)
    return driver_of(connection).execute(text.sql, text.convert(text.row(values)))


def run_all(connection: Connection, statement: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Execute a cached insert for all ``rows``, which have the same columns."""
    if not rows:
        return
    if connection.dialect.name != "sqlite":
        connection.execute(statement, rows)
        return
    text = _text(statement, tuple(rows[0]), connection.dialect)
    _insert(connection, text, [text.row(row) for row in rows])


def run_all_values(
    connection: Connection, statement: Any, names: tuple[str, ...], rows: Sequence[Sequence[Any]]
) -> None:
    """Execute a cached insert for all ``rows``: the values of the columns ``names``, which are in the order of the table."""
    if not rows:
        return
    if connection.dialect.name != "sqlite":
        connection.execute(statement, [dict(zip(names, row, strict=True)) for row in rows])
        return
    text = _text(statement, names, connection.dialect)
    assert text.names == names
    _insert(connection, text, rows)


def _insert(connection: Connection, text: _Text, rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows into SQLite, many in one statement.

    The driver gives up the interpreter's lock for each statement, and a thread that asks for it again keeps the others from
    their work."""
    execute, start = driver_of(connection).execute, 0
    while start < len(rows):
        count = min(_ROWS, 1 << (len(rows) - start).bit_length() - 1)
        values = list(chain.from_iterable(rows[start : start + count]))
        execute(_repeat_row(text.sql, count), text.convert(values))
        start += count


def insert_for(dialect: str, table: Table) -> Any:
    """Return an ``INSERT`` into ``table`` that knows ``ON CONFLICT`` in this dialect of SQL.

    The other dialect, tens of milliseconds of importing, is never loaded.
    """
    sql: Any = import_module(f"sqlalchemy.dialects.{dialect}")
    return sql.insert(table)


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert ``rows``; those whose key exists already stay as they are."""
    run_all(connection, _insert_ignoring(connection.dialect.name, table), rows)


def insert_new_values(
    connection: Connection, table: Table, names: tuple[str, ...], rows: Sequence[Sequence[Any]]
) -> None:
    """Insert ``rows`` as ``run_all_values`` does; those whose key exists already stay as they are."""
    run_all_values(connection, _insert_ignoring(connection.dialect.name, table), names, rows)


def insert_once(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert ``row`` (values or expressions); return false when its key exists already."""
    statement = insert_for(connection.dialect.name, table).values(**row).on_conflict_do_nothing()
    return connection.execute(statement.returning(*table.primary_key)).first() is not None


def insert_of_new(dialect: str, table: Table, row: Mapping[str, Any]) -> Any:
    """Return the statement that inserts ``row`` (parameters or expressions) unless its key exists, for `is_inserted`."""
    statement = insert_for(dialect, table).values(**row).on_conflict_do_nothing()
    return statement if dialect == "sqlite" else statement.returning(*table.primary_key)


def is_inserted(connection: Connection, statement: Any, values: Mapping[str, Any]) -> bool:
    """Execute what `insert_of_new` returned; tell whether there is a new row.

    Drivers do not agree on the row count of such an insert; what comes back is certain. So is SQLite's count, and there
    RETURNING costs as much as the insert."""
    result = run(connection, statement, values)
    return bool(result.rowcount if connection.dialect.name == "sqlite" else result.fetchall())


def upsert_for(dialect: str, table: Table, row: Mapping[str, Any], change: Sequence[str]) -> Any:
    """Return the statement that inserts ``row``, or sets the columns ``change`` of the row with its key."""
    statement = insert_for(dialect, table).values(**row)
    return statement.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={name: row[name] for name in change},
    )


@cache
def _insert_ignoring(dialect: str, table: Table) -> Any:
    return insert_for(dialect, table).on_conflict_do_nothing()


class _Text(NamedTuple):
    """SQL with the names of its values in order, the values that are the statement's own, and what some go through."""

    sql: str
    names: tuple[str, ...]
    own: Mapping[str, Any]
    writes: tuple[tuple[int, Write], ...]

    def row(self, values: Mapping[str, Any]) -> list[Any]:
        """Return the values of ``names``."""
        if self.own:
            values = {**self.own, **values}
        return [values[name] for name in self.names]

    def convert(self, values: list[Any]) -> list[Any]:
        """Return the values of one row or of many as the driver takes them."""
        for place, write in self.writes:
            values[place :: len(self.names)] = map(write, values[place :: len(self.names)])
        return values


@lru_cache(_TEXTS)
def _text(statement: Any, columns: tuple[str, ...] | None, dialect: Dialect) -> _Text:
    """Return what SQLAlchemy makes of ``statement``, of these columns where it is a bare insert."""
    sql = statement.compile(dialect=dialect, column_keys=columns)
    binds = sql.binds
    names = tuple(sql.positiontup)
    own = {name: bind.effective_value for name, bind in binds.items() if not bind.required}
    kinds = [binds[name].type.dialect_impl(dialect).bind_processor(dialect) for name in names]
    writes = tuple((place, write) for place, write in enumerate(kinds) if write is not None)
    return _Text(str(sql), names, own, writes)


@lru_cache(_TEXTS)
def _repeat_row(sql: str, count: int) -> str:
    """Return an insert of one row as an insert of ``count`` rows."""
    head, values, row = sql.partition(" VALUES ")
    row, end, rest = row.partition(")")
    return head + values + ", ".join([row + end] * count) + rest


def driver_of(connection: Connection) -> Any:
    """Return the driver's own connection: on SQLite, SQLAlchemy's execution costs more than a small statement."""
    return connection.connection.driver_connection
