"""Keys by the names that they have now. A row of a call has the id of its key, and the name that the key had then.

A name means the keys that have it now, whatever their names were before; it also means keys of the file, which have
no id, and deleted keys, under the name that they had. Tests: tests/surfaces/test_renamed_keys.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Table, and_, or_, select

from app.state.database import Database
from app.state.ids import storable
from app.state.keys import find_keys
from app.state.tables import client_key

_AT_ONCE: Final = 1_000


class KeyFilter:
    """Finds the rows of the keys that a name or an id means."""

    def __init__(self, db: Database, text: str) -> None:
        self._db = db
        self._text = text
        keys = db.read(lambda connection: find_keys(connection, text)) if storable(text) else []
        self._names = {key.id: {key.name, *(name for name, _ in key.history.former)} for key in keys}
        self._others: dict[str, bool] = {}

    def has(self, key_id: str | None, name: str | None) -> bool:
        """Tell whether a call of a key with this id, and this name at the time, fits."""
        if key_id in self._names or key_id == self._text:
            return True
        return name == self._text and (key_id is None or not self._has_other_name(key_id))

    def condition(self, table: Table) -> ColumnElement[bool]:
        """Return the condition of the rows that fit. It says which names they have, because there is an index of names."""
        other = client_key.select().where(client_key.c.id == table.c.key_id, client_key.c.name != self._text)
        own = and_(table.c.key == self._text, ~other.exists())
        renamed = {key_id: names for key_id, names in self._names.items() if names != {self._text}}
        if not self._names and self._text.startswith("key_"):
            return or_(own, table.c.key_id == self._text)
        if not renamed:
            return own
        return and_(
            table.c.key.in_(sorted({self._text}.union(*renamed.values()))),
            or_(own, table.c.key_id.in_(sorted(renamed))),
        )

    def _has_other_name(self, key_id: str) -> bool:
        if key_id not in self._others:
            self._others[key_id] = bool(names_of(self._db, [key_id]))
        return self._others[key_id]


def conditions(db: Database, table: Table, filters: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    """Return the conditions under which the rows of calls or attempts fit filters by their columns."""
    return [
        KeyFilter(db, value).condition(table) if name == "key" else table.c[name] == value
        for name, value in filters.items()
    ]


def names_of(db: Database, ids: Sequence[str]) -> dict[str, str]:
    """Return the names that keys have now, by id; deleted keys have none."""
    columns = (client_key.c.id, client_key.c.name)
    names: dict[str, str] = {}
    for begin in range(0, len(ids), _AT_ONCE):
        some = select(*columns).where(client_key.c.id.in_(ids[begin : begin + _AT_ONCE]))
        names.update((row.id, row.name) for row in db.fetch_all(some))
    return names
