"""What all tables share: their metadata, the database's clock, the length of a lease, and the type of a row."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from sqlalchemy import Double, MetaData, Row
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

metadata = MetaData()

#: How long work is its process's own unless the lease is renewed.
LEASE_SECONDS: Final = 10.0

#: A fetched row, of whatever columns.
AnyRow: TypeAlias = Row[*tuple[Any, ...]]


class db_now(FunctionElement[float]):
    """The database's clock: Unix seconds, with fractions."""

    type = Double()
    inherit_cache = True


@compiles(db_now, "sqlite")
def _sqlite_now(element: Any, compiler: Any, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(db_now, "postgresql")
def _postgresql_now(element: Any, compiler: Any, **kw: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"
