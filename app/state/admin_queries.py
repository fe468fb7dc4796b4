"""Queries of administrators: the stored responses and conversations of one tenant or of all.

Rows that are deleted, expired, or not to be stored do not exist here. Contents are read for one row only, and only when
the caller asks for them. Tests: tests/surfaces/test_admin_state.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Index, Table, or_, select

from app.errors import GatewayError
from app.state import event_log, rows
from app.state.conversation_rows import items_of
from app.state.database import Repository
from app.state.lookup import Page, Span, by_key, read_page, require_row, within
from app.state.pagination import read_items
from app.state.records import JSON, PageQuery
from app.state.tables import AnyRow, client_key, conversation, db_now, response
from app.wire.json import loads_lenient

for _table in (response, conversation):
    Index(f"{_table.name}_created_at", _table.c.created_at, _table.c.id)
    Index(f"{_table.name}_tenant_created_at", _table.c.tenant, _table.c.created_at, _table.c.id)

RESPONSE_FILTERS: Final[Mapping[str, Any]] = {
    "tenant": response.c.tenant,
    "key": response.c.key_id,
    "model": response.c.model,
    "provider": response.c.provider,
    "status": response.c.status,
    "thread": response.c.thread_id,
    "conversation": response.c.conversation_id,
    "previous_response_id": response.c.parent_id,
}
CONVERSATION_FILTERS: Final[Mapping[str, Any]] = {"tenant": conversation.c.tenant}

_STORED: Final = (
    response.c.store,
    response.c.deleted_at.is_(None),
    or_(response.c.expires_at.is_(None), response.c.expires_at > db_now()),
)
_LIVING: Final = (conversation.c.deleted_at.is_(None),)


class AdminQueries(Repository):
    """Reads stored responses and conversations of all owners."""

    def responses(self, limit: int, after: str | None, filters: Mapping[str, str], span: Span) -> Page[JSON]:
        """Return some responses, the newest first; raises ``bad_request`` for an unknown ``after``."""
        conditions = _conditions(RESPONSE_FILTERS, filters, response.c.created_at, span)
        page = read_page(self._db, response, limit, after, _response, *conditions, visible=_STORED)
        self._db.read(lambda connection: _name_keys(connection, page.rows))
        return page

    def response(self, response_id: str, *, content: bool) -> JSON:
        """Return one response; ``content`` adds the input, the object as its owner sees it, and the events.

        Raises ``not_found``."""

        def work(connection: Connection) -> JSON:
            row = _one(connection, response, response_id, _STORED)
            body = _response(row)
            _name_keys(connection, [body])
            return body | (_content(connection, row) if content else {})

        return self._db.read(work)

    def conversations(
        self, limit: int, after: str | None, filters: Mapping[str, str], span: Span
    ) -> Page[JSON]:
        """Return some conversations, the newest first; raises ``bad_request`` for an unknown ``after``."""
        conditions = _conditions(CONVERSATION_FILTERS, filters, conversation.c.created_at, span)
        return read_page(self._db, conversation, limit, after, _conversation, *conditions, visible=_LIVING)

    def conversation(self, conversation_id: str, *, content: bool) -> JSON:
        """Return one conversation; ``content`` adds the metadata. Raises ``not_found``."""
        row = self._db.read(lambda connection: _one(connection, conversation, conversation_id, _LIVING))
        return _conversation(row) | ({"metadata": loads_lenient(bytes(row.metadata))} if content else {})

    def items(self, conversation_id: str, query: PageQuery) -> tuple[list[JSON], bool]:
        """Return a page of a conversation's items, and whether there are more; raises ``not_found``."""

        def work(connection: Connection) -> tuple[list[JSON], bool]:
            row = _one(connection, conversation, conversation_id, _LIVING)
            return read_items(connection, row.tenant, items_of(conversation_id), query)

        return self._db.read(work)


def _conditions(
    columns: Mapping[str, Any], filters: Mapping[str, str], created_at: Any, span: Span
) -> list[Any]:
    equals = {name: columns[name] == value for name, value in filters.items()}
    if "key" in equals:
        of_name = select(client_key.c.id).where(client_key.c.name == filters["key"])
        equals["key"] = or_(equals["key"], columns["key"].in_(of_name))
    return [*equals.values(), *within(created_at, span)]


def _name_keys(connection: Connection, rows: Sequence[JSON]) -> None:
    """Replace the ids of keys by their names; a deleted key keeps its id."""
    columns = (client_key.c.id, client_key.c.name)
    some = select(*columns).where(client_key.c.id.in_({row["key"] for row in rows}))
    names = {row.id: row.name for row in connection.execute(some)}
    for row in rows:
        row["key"] = names.get(row["key"], row["key"])


def _one(connection: Connection, table: Table, row_id: str, visible: Sequence[Any]) -> AnyRow:
    error = GatewayError("not_found", f"There is no stored {table.name} with the id '{row_id[:80]}'.")
    return require_row(connection, by_key(table, row_id, *visible), row_id, error)


def _response(row: AnyRow) -> JSON:
    """Return a response without its content."""
    value = loads_lenient(bytes(row.object)) if row.object is not None else {}
    extra = loads_lenient(bytes(row.extra)) if row.extra is not None else {}
    return {
        "id": row.id,
        "object": "stored_response",
        "created_at": int(row.created_at),
        "completed_at": None if row.completed_at is None else int(row.completed_at),
        "tenant": row.tenant,
        "key": row.key_id,
        "door": row.mount,
        "status": row.status,
        "background": row.background,
        "stream": row.stream,
        "model_requested": extra.get("model"),
        "model": row.model,
        "provider": row.provider,
        "thread": row.thread_id,
        "previous_response_id": row.parent_id,
        "conversation": row.conversation_id,
        "usage": value.get("usage"),
        "error": (value.get("error") or {}).get("code"),
        "warnings": len(extra.get("warnings") or ()),
    }


def _content(connection: Connection, row: AnyRow) -> JSON:
    items = {
        direction: rows.present_items(connection, row.tenant, rows.item_rows(connection, row.id, direction))
        for direction in ("input", "output")
    }
    return {
        "input": items["input"],
        "response": rows.show(row, items["output"]),
        "events": event_log.read(connection, row.id, after=-1),
    }


def _conversation(row: AnyRow) -> JSON:
    return {
        "id": row.id,
        "object": "stored_conversation",
        "created_at": int(row.created_at),
        "tenant": row.tenant,
    }
