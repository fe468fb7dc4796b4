"""What an administrator sees of the stored responses and conversations of all tenants.

Rows are found by an index on their age, of one tenant or of all. What was deleted, is past its time or was not
to be stored is not there. Contents are read for one row only, and only where the caller says so.
Tests: tests/surfaces/test_admin_state.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, Index, or_, select

from app.errors import GatewayError
from app.state import event_rows, listing
from app.state.database import Database
from app.state.ids import storable
from app.state.listing import Page
from app.state.pagination import Scope, read_page
from app.state.records import JSON, PageQuery
from app.state.rows import item_rows, present_items, show
from app.state.tables import AnyRow, conversation, conversation_item, db_now, response
from app.wire.json import loads_lenient

for _table in (response, conversation):
    Index(f"{_table.name}_created_at", _table.c.created_at, _table.c.id)
    Index(f"{_table.name}_tenant_created_at", _table.c.tenant, _table.c.created_at, _table.c.id)

Span = tuple[float | None, float | None]

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


class AdminQueries:
    """Reads what is stored, whoever owns it."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def responses(self, limit: int, after: str | None, filters: Mapping[str, str], span: Span) -> Page[JSON]:
        """Return some responses, the newest first; raises ``bad_request`` for an ``after`` that is none."""
        fitting = _conditions(RESPONSE_FILTERS, filters, response.c.created_at, span)
        rows, more = self._db.read(
            lambda connection: listing.read(connection, response, limit, after, *fitting, owned=_STORED)
        )
        return Page([_response(row) for row in rows], more)

    def response(self, response_id: str, *, content: bool) -> JSON:
        """Return one response, with ``content`` as its owner sees it, its input and its events; raises ``not_found``."""

        def work(connection: Connection) -> JSON:
            row = _one(connection, response, response_id, _STORED, "response")
            return _response(row) | (_content(connection, row) if content else {})

        return self._db.read(work)

    def conversations(
        self, limit: int, after: str | None, filters: Mapping[str, str], span: Span
    ) -> Page[JSON]:
        """Return some conversations, the newest first; raises as ``responses`` does."""
        fitting = _conditions(CONVERSATION_FILTERS, filters, conversation.c.created_at, span)
        rows, more = self._db.read(
            lambda connection: listing.read(connection, conversation, limit, after, *fitting, owned=_LIVING)
        )
        return Page([_conversation(row) for row in rows], more)

    def conversation(self, conversation_id: str, *, content: bool) -> JSON:
        """Return one conversation, with ``content`` its metadata; raises ``not_found``."""
        row = self._db.read(lambda c: _one(c, conversation, conversation_id, _LIVING, "conversation"))
        return _conversation(row) | ({"metadata": loads_lenient(bytes(row.metadata))} if content else {})

    def items(self, conversation_id: str, query: PageQuery) -> tuple[list[JSON], bool]:
        """Return a page of a conversation's items, and whether there are more; raises ``not_found``."""

        def work(connection: Connection) -> tuple[list[JSON], bool]:
            row = _one(connection, conversation, conversation_id, _LIVING, "conversation")
            mine = conversation_item.c.conversation_id == conversation_id
            scope = Scope(conversation_item, mine, conversation_item.c.position)
            page, more = read_page(connection, scope, query)
            return present_items(connection, row.tenant, page), more

        return self._db.read(work)


def _conditions(columns: Mapping[str, Any], filters: Mapping[str, str], age: Any, span: Span) -> list[Any]:
    begin, end = span
    fitting = [columns[name] == value for name, value in filters.items()]
    fitting += [] if begin is None else [age >= begin]
    return fitting if end is None else [*fitting, age < end]


def _one(connection: Connection, table: Any, row_id: str, owned: Any, kind: str) -> AnyRow:
    row = None
    if storable(row_id):
        row = connection.execute(select(table).where(table.c.id == row_id, *owned)).first()
    if row is None:
        raise GatewayError("not_found", f"There is no stored {kind} with the id '{row_id[:80]}'.")
    return row


def _response(row: AnyRow) -> JSON:
    """Return what is told of a response without its content."""
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
    sides = {
        side: present_items(connection, row.tenant, item_rows(connection, row.id, side))
        for side in ("input", "output")
    }
    return {
        "input": sides["input"],
        "response": show(row, sides["output"]),
        "events": event_rows.read(connection, row.id, after=-1),
    }


def _conversation(row: AnyRow) -> JSON:
    return {
        "id": row.id,
        "object": "stored_conversation",
        "created_at": int(row.created_at),
        "tenant": row.tenant,
    }
