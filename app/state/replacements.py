"""Items of compactions that stand for all before them, in stored threads.

They are looked for only where a thread has more bytes than a request may refer to. Tests: tests/lifecycle/test_context_management.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, Connection, select

from app.responses_form.items import is_replacement
from app.state.rows import chunks
from app.state.tables import AnyRow, conversation_item, item
from app.wire.json import loads_lenient

_COMPACTIONS: Final = "cmp~_%"  # their ids


def newest_turn(connection: Connection, turns: Sequence[AnyRow]) -> int | None:
    """Return the place of the newest of ``turns`` with an item that stands for all before it."""
    places = {turn.id: place for place, turn in enumerate(turns)}
    rows: list[AnyRow] = []
    for some in chunks(list(places)):
        condition = item.c.response_id.in_(some) & item.c.item_id.like(_COMPACTIONS, escape="~")
        rows += connection.execute(select(item.c.response_id, item.c.seq).where(condition))
    for row in sorted(rows, key=lambda row: places[row.response_id]):
        condition = (item.c.response_id == row.response_id) & (item.c.seq == row.seq)
        body = connection.execute(select(item.c.body).where(condition)).scalar()
        if body is not None and is_replacement(loads_lenient(bytes(body))):
            return places[row.response_id]
    return None


def position(connection: Connection, condition: ColumnElement[bool]) -> int:
    """Return the position of the newest item of a conversation that stands for all before it, 0 if there is none."""
    positions = (
        select(conversation_item.c.position)
        .where(condition & conversation_item.c.item_id.like(_COMPACTIONS, escape="~"))
        .order_by(conversation_item.c.position.desc())
    )
    for one in connection.execute(positions).scalars().all():
        at_one = condition & (conversation_item.c.position == one)
        body = connection.execute(select(conversation_item.c.body).where(at_one)).scalar()
        if body is not None and is_replacement(loads_lenient(bytes(body))):
            return int(one)
    return 0
