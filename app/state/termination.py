"""Ending a response that nobody will finish: it was cancelled, lost or given up.

One transaction makes the row terminal, stores the output that its log showed, and closes the log. The caller holds the
row's lock.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from app.responses_form.events import FIRST_NUMBER, QUEUED, closing, opening, start
from app.responses_form.fold import fold
from app.state import event_log, rows
from app.state.items import pack
from app.state.records import JSON, Ending
from app.state.tables import AnyRow
from app.wire.json import loads_lenient


def terminate(connection: Connection, row: AnyRow, status: str, error: Mapping[str, str] | None) -> bool:
    """End the running ``row`` as ``status``; return false when it ended before."""
    events = event_log.read(connection, row.id, after=-1)
    output = fold(events)
    terminal = _terminal(row, status, output, error)
    ending = Ending(status, terminal)
    if not rows.end_row(connection, row.id, ending, cancelled=status == "cancelled"):
        return False
    first = rows.count_items(connection, row.id)
    rows.insert_items(connection, row.tenant, row.id, "output", pack(output), first=first)
    rows.touch_thread(connection, row.thread_id, row.tenant)
    if row.background:
        _close_log(connection, row, events, terminal, error)
    return True


def _terminal(row: AnyRow, status: str, output: list[JSON], error: Mapping[str, str] | None) -> JSON:
    terminal: JSON = loads_lenient(row.object)
    terminal.update(status=status, output=output, error=dict(error) if error else None)
    return terminal


def _close_log(
    connection: Connection,
    row: AnyRow,
    events: list[JSON],
    terminal: JSON,
    error: Mapping[str, str] | None,
) -> None:
    snapshot = loads_lenient(row.object)
    fresh = [] if events else opening(snapshot)
    last = (events or fresh)[-1]
    if row.status == "in_progress" and last["type"] == QUEUED:  # its log was still to be written
        last = start(snapshot, FIRST_NUMBER)
        fresh.append(last)
    event_log.append(connection, row.id, [*fresh, *closing(terminal, last["sequence_number"] + 1, error)])
