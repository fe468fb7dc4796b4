"""The table of events: one row for each batch, with the events as JSON lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select

from app.state.records import JSON
from app.state.tables import event
from app.state.upserts import insert_new
from app.wire.json import dumps, loads_lenient

_AFTER: Final = (
    select(event.c.body)
    .where(event.c.response_id == bindparam("id"), event.c.last_seq > bindparam("after"))
    .order_by(event.c.first_seq)
)


def append(connection: Connection, response_id: str, events: Sequence[Mapping[str, Any]]) -> None:
    """Store one batch of numbered events; the same batch again changes nothing."""
    if not events:
        return
    row = {
        "response_id": response_id,
        "first_seq": events[0]["sequence_number"],
        "last_seq": events[-1]["sequence_number"],
        "body": b"\n".join(dumps(one) for one in events),
    }
    insert_new(connection, event, [row])


def read(connection: Connection, response_id: str, *, after: int) -> list[JSON]:
    """Return the events numbered above ``after``, in order."""
    return parse(read_bodies(connection, response_id, after=after), after=after)


def read_bodies(connection: Connection, response_id: str, *, after: int) -> list[bytes]:
    """Return the batches that hold an event numbered above ``after``."""
    found = connection.execute(_AFTER, {"id": response_id, "after": after})
    return [bytes(row.body) for row in found]


def parse(bodies: Sequence[bytes], *, after: int) -> list[JSON]:
    """Return the events of ``bodies`` that are numbered above ``after``."""
    events = (loads_lenient(line) for body in bodies for line in body.split(b"\n"))
    return [one for one in events if one["sequence_number"] > after]


def exists(connection: Connection, response_id: str) -> bool:
    """Tell whether any event of the response is stored."""
    statement = select(event.c.first_seq).where(event.c.response_id == response_id).limit(1)
    return connection.execute(statement).first() is not None
