"""What the sweep reads of tables that may be large."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, event

from app.state import retention
from app.state.state import State

PLANS = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN "}


@pytest.mark.parametrize(
    ("read", "index"),
    [(retention._expired_ids, "response_unstored")],
    ids=["those that were not to be stored"],
)
def test_the_sweep_finds_rows_by_their_index(state: State, read: Any, index: str) -> None:
    def work(connection: Connection) -> str:
        kind = connection.dialect.name
        asked: list[Any] = []
        event.listen(connection, "before_cursor_execute", lambda *told: asked.append(told[2:4]))
        if kind == "postgresql":  # a table without rows is read as a whole
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        read(connection)
        statement, parameters = asked[-1]
        return str(list(connection.exec_driver_sql(PLANS[kind] + statement, parameters)))

    assert index in state.db.read(work)
