"""Looking a row up by an id that came from outside."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from app.errors import GatewayError
from app.state.ids import storable
from app.state.tables import AnyRow


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
