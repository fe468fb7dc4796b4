"""Reading history: the walk up a response's parents, a conversation, a referenced item.

Turns are linked, not copied: the history of a response is a walk, so a turn sees its
own branch only, and reading turn n costs what n turns hold. A chain that began in a
conversation starts with what that conversation held at that moment. Deleted ancestors
still count: their content stays for their living descendants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, literal, select

from app.errors import GatewayError
from app.state import blobs, conversationrows
from app.state.ids import storable
from app.state.rows import RUNNING_STATUSES, chunks
from app.state.tables import AnyRow, conversation, conversation_item, item, response
from app.wire.json import loads_lenient


@dataclass(frozen=True, slots=True)
class Source:
    """Where a stored item came from: dispatch puts secrets of a realm back only there."""

    response_id: str | None
    direction: str
    realm: str | None = None
    provider: str | None = None


@dataclass(slots=True)
class Past:
    """Stored items in order, before their JSON is read."""

    ids: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)

    def add(self, item_id: str, body: bytes, source: Source) -> None:
        self.ids.append(item_id)
        self.bodies.append(bytes(body))
        self.sources.append(source)


@dataclass(frozen=True, slots=True)
class Found:
    """All that one reading transaction brought."""

    past: Past
    referenced: Mapping[str, tuple[bytes, Source]]
    files: Mapping[str, bytes]
    conversation_head: int | None


def previous_not_found(response_id: Any) -> GatewayError:
    """Make the 400 of a parent that is missing, foreign or deleted."""
    return GatewayError(
        "bad_request",
        f"Previous response with id '{response_id}' not found.",
        param="previous_response_id",
        code="previous_response_not_found",
    )


def _item_not_found(item_id: str) -> GatewayError:
    return GatewayError(
        "not_found",
        f"Item with id '{item_id}' not found. Items are not persisted when `store` is set to "
        "false. Try again with `store` set to true, or remove this item from your input.",
        param="input",
    )


def find(
    connection: Connection,
    tenant: str,
    parent_id: str | None,
    conversation_id: str | None,
    references: Sequence[str],
    *,
    deleted_too: bool = False,
) -> Found:
    """Read what a turn refers to; ``deleted_too``: also what was deleted since it was accepted."""
    past, head = Past(), None
    if parent_id is not None:
        _read_chain(connection, tenant, parent_id, past, deleted_too=deleted_too)
    if conversation_id is not None:
        if not deleted_too:
            conversationrows.live(connection, tenant, conversation_id)
        head = _read_conversation(connection, tenant, conversation_id, None, past)
    wanted = set(references) - set(past.ids)
    referenced = {one: _read_reference(connection, tenant, one) for one in wanted}
    bodies = [*past.bodies, *(body for body, _ in referenced.values())]
    return Found(past, referenced, blobs.fetch(connection, tenant, bodies), head)


def _read_chain(
    connection: Connection, tenant: str, parent_id: str, past: Past, *, deleted_too: bool
) -> None:
    """Read the turns from the first ancestor down to ``parent_id``."""
    turns = _walk(connection, tenant, parent_id, deleted_too=deleted_too)
    _check_parent(turns, parent_id)
    root = turns[-1]
    if root.conversation_id is not None:
        head = loads_lenient(root.extra).get("conversation_head")
        _read_conversation(connection, tenant, root.conversation_id, head, past)
    stored = _items_by_turn(connection, [turn.id for turn in turns])
    for turn in reversed(turns):
        for row in stored.get(turn.id, ()):
            source = Source(turn.id, row.direction, turn.realm, turn.provider)
            past.add(row.item_id, row.body, source)


def _walk(connection: Connection, tenant: str, response_id: str, *, deleted_too: bool) -> Sequence[AnyRow]:
    """Return the turn and its ancestors, newest first."""
    if not storable(response_id):
        return []
    return connection.execute(_walk_statement(deleted_too), {"id": response_id, "tenant": tenant}).all()


@cache
def _walk_statement(deleted_too: bool) -> Select[*tuple[Any, ...]]:
    columns = (
        response.c.id,
        response.c.parent_id,
        response.c.conversation_id,
        response.c.status,
        response.c.background,
        response.c.realm,
        response.c.provider,
        response.c.extra,
    )
    start = select(*columns, literal(0).label("depth")).where(
        response.c.id == bindparam("id"),
        response.c.tenant == bindparam("tenant"),
    )
    if not deleted_too:
        start = start.where(response.c.deleted_at.is_(None))
    chain = start.cte("chain", recursive=True)
    parents = (
        select(*columns, chain.c.depth + 1)
        .join(chain, response.c.id == chain.c.parent_id)
        .where(response.c.tenant == bindparam("tenant"))
    )
    walk = chain.union_all(parents)
    return select(walk).order_by(walk.c.depth)


def _check_parent(turns: Sequence[AnyRow], parent_id: str) -> None:
    if not turns or (turns[0].status in RUNNING_STATUSES and not turns[0].background):
        raise previous_not_found(parent_id)
    if turns[0].status in RUNNING_STATUSES:
        raise GatewayError(
            "bad_request",
            f"Previous response with id '{parent_id}' is still in progress.",
            param="previous_response_id",
            code="previous_response_in_progress",
        )
    if turns[-1].parent_id is not None:
        raise previous_not_found(turns[-1].parent_id)


def _items_by_turn(connection: Connection, ids: Sequence[str]) -> dict[str, list[AnyRow]]:
    by_turn: dict[str, list[AnyRow]] = {}
    for some in chunks(ids):
        found = connection.execute(
            select(item.c.response_id, item.c.direction, item.c.item_id, item.c.body)
            .where(item.c.response_id.in_(some))
            .order_by(item.c.response_id, item.c.seq)
        )
        for row in found:
            by_turn.setdefault(row.response_id, []).append(row)
    return by_turn


def _read_conversation(
    connection: Connection, tenant: str, conversation_id: str, head: int | None, past: Past
) -> int:
    """Read a conversation's items up to position ``head``; return the last position read."""
    statement = (
        select(
            conversation_item.c.position,
            conversation_item.c.item_id,
            conversation_item.c.body,
            conversation_item.c.response_id,
            response.c.realm,
            response.c.provider,
        )
        .join_from(
            conversation_item,
            response,
            response.c.id == conversation_item.c.response_id,
            isouter=True,
        )
        .where(
            conversation_item.c.conversation_id == conversation_id,
            conversation_item.c.tenant == tenant,
        )
        .order_by(conversation_item.c.position)
    )
    if head is not None:
        statement = statement.where(conversation_item.c.position <= head)
    last = 0
    for row in connection.execute(statement):
        source = Source(row.response_id, "conversation", row.realm, row.provider)
        past.add(row.item_id, row.body, source)
        last = row.position
    return last


def _read_reference(connection: Connection, tenant: str, item_id: str) -> tuple[bytes, Source]:
    """Find an item of this tenant that can still be seen: newest first, then conversations."""
    if not storable(item_id):
        raise _item_not_found(item_id)
    row = connection.execute(
        select(item.c.body, item.c.direction, response.c.id, response.c.realm, response.c.provider)
        .join(response, response.c.id == item.c.response_id)
        .where(
            item.c.tenant == tenant,
            item.c.item_id == item_id,
            response.c.deleted_at.is_(None),
        )
        .order_by(response.c.created_at.desc())
        .limit(1)
    ).first()
    if row is not None:
        return bytes(row.body), Source(row.id, row.direction, row.realm, row.provider)
    body = connection.execute(
        select(conversation_item.c.body)
        .join(conversation, conversation.c.id == conversation_item.c.conversation_id)
        .where(
            conversation_item.c.tenant == tenant,
            conversation_item.c.item_id == item_id,
            conversation.c.deleted_at.is_(None),
        )
        .limit(1)
    ).scalar()
    if body is None:
        raise _item_not_found(item_id)
    return bytes(body), Source(None, "conversation")
