"""Conversations: lists of items that turns read and append to.

Items that a client adds and items of finished turns are in one order. Ids and string contents are normalised as for
responses, so an item has the same id everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from app.errors import GatewayError
from app.state import blobs, conversation_rows, retention
from app.state.conversation_rows import items_of
from app.state.database import Repository
from app.state.ids import CONVERSATION, new_id
from app.state.items import ItemRow, PackedItems, pack
from app.state.lookup import require_row
from app.state.pagination import as_list, read_items
from app.state.records import JSON, PageQuery
from app.state.rows import present_items, touch_thread
from app.state.tables import AnyRow, conversation, conversation_item, db_now, response
from app.wire.json import dumps, loads_lenient

MAX_ITEMS: Final = 20


class Conversations(Repository):
    """The conversations of all tenants; each method takes the tenant."""

    def create(
        self,
        tenant: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        items: Sequence[Mapping[str, Any]] = (),
    ) -> JSON:
        """Create a conversation with at most 20 items and return its object."""
        _check_count(items)
        content = pack(items)
        conversation_id = new_id(CONVERSATION)

        def work(connection: Connection) -> JSON:
            connection.execute(
                insert(conversation).values(
                    id=conversation_id,
                    tenant=tenant,
                    metadata=dumps(dict(metadata or {})),
                    created_at=db_now(),
                )
            )
            _add(connection, tenant, conversation_id, content)
            return _object(conversation_rows.require(connection, tenant, conversation_id))

        return self._db.write(work)

    def get(self, tenant: str, conversation_id: str) -> JSON:
        """Return the conversation object."""
        return self._db.read(lambda connection: _object(_require(connection, tenant, conversation_id)))

    def update(self, tenant: str, conversation_id: str, metadata: Mapping[str, Any]) -> JSON:
        """Replace the metadata and return the object."""

        def work(connection: Connection) -> JSON:
            _require(connection, tenant, conversation_id, lock=True)
            statement = update(conversation).where(conversation.c.id == conversation_id)
            connection.execute(statement.values(metadata=dumps(dict(metadata))))
            return _object(_require(connection, tenant, conversation_id))

        return self._db.write(work)

    def delete(self, tenant: str, conversation_id: str) -> JSON:
        """Delete a conversation; its items stay only while they are the history of living responses."""

        def work(connection: Connection) -> None:
            _require(connection, tenant, conversation_id, lock=True)
            connection.execute(
                update(conversation).where(conversation.c.id == conversation_id).values(deleted_at=db_now())
            )
            if not _is_history(connection, conversation_id):
                retention.drop_conversation(connection, conversation_id)

        self._db.write(work)
        return {"id": conversation_id, "object": "conversation.deleted", "deleted": True}

    def add_items(self, tenant: str, conversation_id: str, items: Sequence[Mapping[str, Any]]) -> JSON:
        """Append at most 20 items and return them as a list object."""
        _check_count(items)
        content = pack(items)

        def work(connection: Connection) -> list[JSON]:
            _require(connection, tenant, conversation_id, lock=True)
            _add(connection, tenant, conversation_id, content)
            return present_items(connection, tenant, content.rows)

        return as_list(self._db.write(work), has_more=False)

    def list_items(self, tenant: str, conversation_id: str, query: PageQuery) -> JSON:
        """Return a page of items."""

        def work(connection: Connection) -> tuple[list[JSON], bool]:
            _require(connection, tenant, conversation_id)
            return read_items(connection, tenant, items_of(conversation_id), query)

        return as_list(*self._db.read(work))

    def get_item(self, tenant: str, conversation_id: str, item_id: str) -> JSON:
        """Return one item."""

        def work(connection: Connection) -> JSON:
            _require(connection, tenant, conversation_id)
            row = ItemRow(item_id, _item_body(connection, conversation_id, item_id))
            return present_items(connection, tenant, [row])[0]

        return self._db.read(work)

    def delete_item(self, tenant: str, conversation_id: str, item_id: str) -> JSON:
        """Delete one item and return the conversation object."""

        def work(connection: Connection) -> JSON:
            row = _require(connection, tenant, conversation_id, lock=True)
            _item_body(connection, conversation_id, item_id)
            connection.execute(delete(conversation_item).where(_is_item(conversation_id, item_id)))
            return _object(row)

        return self._db.write(work)


def _require(connection: Connection, tenant: str, conversation_id: str, *, lock: bool = False) -> AnyRow:
    """Return a conversation that a path names: its 404 names no member of a body."""
    return conversation_rows.require(connection, tenant, conversation_id, lock=lock, param=None)


def _add(connection: Connection, tenant: str, conversation_id: str, content: PackedItems) -> None:
    conversation_rows.append(connection, tenant, conversation_id, content.rows)
    blobs.keep(connection, tenant, conversation_id, content.blobs)
    touch_thread(connection, conversation_id, tenant)


def _is_history(connection: Connection, conversation_id: str) -> bool:
    statement = select(response.c.id).where(
        response.c.conversation_id == conversation_id, response.c.deleted_at.is_(None)
    )
    return connection.execute(statement.limit(1)).first() is not None


def _item_body(connection: Connection, conversation_id: str, item_id: str) -> bytes:
    """Return the body of the newest item with that id; raises ``not_found``."""
    newest = (
        select(conversation_item.c.body)
        .where(_is_item(conversation_id, item_id))
        .order_by(conversation_item.c.position.desc())
        .limit(1)
    )
    error = GatewayError("not_found", f"Item with id '{item_id}' not found.")
    return bytes(require_row(connection, newest, item_id, error).body)


def _is_item(conversation_id: str, item_id: str) -> ColumnElement[bool]:
    return (conversation_item.c.conversation_id == conversation_id) & (conversation_item.c.item_id == item_id)


def _object(row: AnyRow) -> JSON:
    return {
        "id": row.id,
        "object": "conversation",
        "created_at": int(row.created_at),
        "metadata": loads_lenient(row.metadata),
    }


def _check_count(items: Sequence[Mapping[str, Any]]) -> None:
    if len(items) > MAX_ITEMS:
        raise GatewayError(
            "bad_request",
            f"Invalid 'items': array too long. Expected an array with maximum length {MAX_ITEMS}, "
            f"but got an array with length {len(items)} instead.",
            param="items",
            code="array_above_max_length",
        )
