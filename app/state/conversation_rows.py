"""Statements on conversations and their items.

Positions are assigned under the lock of the conversation's row (on SQLite, by the one writer), so that the items of
concurrent turns do not mix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, func, select

from app.errors import GatewayError
from app.state import blobs
from app.state.items import ItemRow
from app.state.lookup import require_row
from app.state.pagination import Scope
from app.state.records import NewResponse
from app.state.tables import RUNNING, AnyRow, conversation, conversation_item, item, response
from app.state.upserts import insert_new

LOCKED: Final = "conversation_locked"


def items_of(conversation_id: str) -> Scope:
    """Return the list of a conversation's items."""
    mine = conversation_item.c.conversation_id == conversation_id
    return Scope(conversation_item, mine, conversation_item.c.position)


def require(
    connection: Connection,
    tenant: str,
    conversation_id: Any,
    *,
    lock: bool = False,
    param: str | None = "conversation",
) -> AnyRow:
    """Return the tenant's living conversation, with ``lock`` locked until the commit.

    Raises ``not_found`` for one that is missing, deleted or another tenant's."""
    query = _living(tenant, conversation_id)
    message = f"Conversation with id '{conversation_id}' not found."
    error = GatewayError("not_found", message, param=param)
    return require_row(connection, query.with_for_update() if lock else query, conversation_id, error)


def _living(tenant: str, conversation_id: Any) -> Any:
    mine = (conversation.c.id == conversation_id, conversation.c.tenant == tenant)
    return select(conversation).where(*mine, conversation.c.deleted_at.is_(None))


def check_next_turn(connection: Connection, new: NewResponse) -> None:
    """Check that a new turn may begin: no other turn runs, and this one was expanded from the newest items.

    Raises ``not_found``, or ``conflict`` (409 ``conversation_locked``).
    """
    require(connection, new.tenant, new.conversation_id, lock=True)
    conversation_id = str(new.conversation_id)
    if new.conversation_head != _last_position(connection, conversation_id):
        raise _lock_error()
    check_idle(connection, conversation_id, excluding=new.id)


def check_idle(connection: Connection, conversation_id: str, *, excluding: str = "") -> None:
    """Raise 409 ``conversation_locked`` while a turn other than ``excluding`` runs; read no items."""
    running = select(response.c.id).where(
        response.c.conversation_id == conversation_id, RUNNING, response.c.id != excluding
    )
    if connection.execute(running.limit(1)).first() is not None:
        raise _lock_error()


def _lock_error() -> GatewayError:
    return GatewayError(
        "conflict",
        "Another process is currently operating on this conversation. Please retry in a few seconds.",
        param="conversation",
        code=LOCKED,
        retry_after=1,
    )


def append(
    connection: Connection,
    tenant: str,
    conversation_id: str,
    rows: Sequence[ItemRow],
    *,
    response_id: str | None = None,
) -> None:
    """Append items at the next positions; the caller holds the conversation's lock."""
    if not rows:
        return
    first = _last_position(connection, conversation_id) + 1
    values = [
        {
            "conversation_id": conversation_id,
            "position": first + offset,
            "tenant": tenant,
            "item_id": row.item_id,
            "body": row.body,
            "response_id": response_id,
        }
        for offset, row in enumerate(rows)
    ]
    insert_new(connection, conversation_item, values)
    blobs.use(connection, tenant, conversation_id, blobs.find_marks(row.body for row in rows))


def _last_position(connection: Connection, conversation_id: str) -> int:
    """Return the position of the newest item; 0 when there is none."""
    statement = select(func.max(conversation_item.c.position)).where(
        conversation_item.c.conversation_id == conversation_id
    )
    return connection.execute(statement).scalar() or 0


def append_turn(connection: Connection, tenant: str, conversation_id: str, response_id: str) -> None:
    """Append the input and output of a finished turn; do nothing when the conversation was deleted."""
    own_row = connection.execute(_living(tenant, conversation_id).with_for_update()).first()
    if own_row is None:
        return
    turn = connection.execute(
        select(item.c.item_id, item.c.body).where(item.c.response_id == response_id).order_by(item.c.seq)
    )
    rows = [ItemRow(row.item_id, bytes(row.body)) for row in turn]
    append(connection, tenant, conversation_id, rows, response_id=response_id)
