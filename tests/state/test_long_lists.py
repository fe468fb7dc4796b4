"""Pages of administrators' lists and of OpenAI's: an index has the order of each, so none is sorted, however long it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from app.state.records import PageQuery
from app.state.state import State, open_state
from tests.state.conftest import ENVIRON

WHOLE = (None, None)
TENANT = {"tenant": "red"}
Page = Callable[[State], Any]
PAGES: dict[str, Page] = {
    "keys": lambda state: state.keys.page(20, None),
    "keys of a tenant": lambda state: state.keys.page(20, None, "red"),
    "tenants": lambda state: state.tenants.page(20, None),
    "audit": lambda state: state.audit.page(20, None),
    "calls": lambda state: state.call_log.page(20, None, {}, WHOLE),
    "calls of a tenant": lambda state: state.call_log.page(20, None, TENANT, WHOLE),
    "calls of a key": lambda state: state.call_log.page(20, None, {"key": "ann"}, WHOLE),
    "responses of a key": lambda state: state.admin_queries.responses(20, None, {"key": "ann"}, WHOLE),
    "a key by its name": lambda state: state.keys.find_by_name("ann"),
    "ledger": lambda state: state.ledger.page(20, None, {}, WHOLE),
    "ledger of a key": lambda state: state.ledger.page(20, None, {**TENANT, "key": "ann"}, WHOLE),
    "responses": lambda state: state.admin_queries.responses(20, None, {}, WHOLE),
    "responses of a tenant": lambda state: state.admin_queries.responses(20, None, TENANT, WHOLE),
    "conversations": lambda state: state.admin_queries.conversations(20, None, {}, WHOLE),
    "conversations of a tenant": lambda state: state.admin_queries.conversations(20, None, TENANT, WHOLE),
    "batches": lambda state: state.batches.page("red", 20, None),
    "files": lambda state: state.files.page("red", 20, None, purpose=None, oldest_first=True),
    "items": lambda state: state.conversations.list_items("red", conversation(state), PageQuery()),
}


@pytest.fixture
def state(sqlite_template: Path, tmp_path: Path) -> Iterator[State]:
    shutil.copy(sqlite_template, tmp_path / "sluice.db")
    opened = open_state(f"sqlite:///{tmp_path}/sluice.db", ENVIRON)
    yield opened
    opened.stop()


def conversation(state: State) -> str:
    made: str = state.conversations.create("red", metadata={}, items=())["id"]
    return made


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_read_in_the_order_of_an_index(name: str, state: State) -> None:
    plans: list[str] = []
    event.listen(Engine, "before_cursor_execute", hear := partial(_plan, plans))
    try:
        PAGES[name](state)
    finally:
        event.remove(Engine, "before_cursor_execute", hear)
    assert any(" USING " in step for step in plans)
    assert "USE TEMP B-TREE FOR ORDER BY" not in plans
    assert "SCAN client_key" not in plans


def _plan(
    plans: list[str], connection: Any, cursor: Any, statement: str, parameters: Any, *rest: Any
) -> None:
    if statement.startswith("SELECT"):
        rows = connection.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        plans.extend(row[3] for row in rows)
