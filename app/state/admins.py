"""Administrators: their keys, as hashes, with a name and a role each."""

from __future__ import annotations

import time
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select

from app.canonical.record import record
from app.errors import GatewayError
from app.state import audit, listing, revisions
from app.state.audit import Actor
from app.state.ids import new_id, storable
from app.state.key_format import ADMIN, SHOWN, Hasher, make_key
from app.state.keys import add_secret
from app.state.listing import Page
from app.state.signals import Signals
from app.state.tables import AnyRow, admin_key, key_secret
from app.state.wakeups import KEYS

_TOPICS: Final = (KEYS,)


@record
class StoredAdmin:
    """An administrator's key; ``role`` is ``admin`` or ``viewer``."""

    id: str
    name: str
    role: str
    prefix: str
    created_at: int


class Admins:
    """The administrators that the master key, or one of them, made."""

    def __init__(self, signals: Signals, hasher: Hasher) -> None:
        self._signals = signals
        self._db = signals.db
        self._hasher = hasher

    def find(self, secret: str) -> StoredAdmin | None:
        """Return the administrator whose key ``secret`` is."""
        joined = key_secret.join(admin_key, admin_key.c.id == key_secret.c.owner_id)
        mine = key_secret.c.digest.in_(self._hasher.digests(secret))
        statement = select(*admin_key.c).select_from(joined).where(mine)
        row: Any = self._db.read(lambda connection: connection.execute(statement).first())
        return None if row is None else _admin(row)

    def get(self, admin_id: str) -> StoredAdmin | None:
        """Return the administrator with that id."""
        statement = select(admin_key).where(admin_key.c.id == admin_id)
        row: Any = self._db.read(lambda connection: connection.execute(statement).first())
        return None if row is None else _admin(row)

    def page(self, limit: int, after: str | None) -> Page[StoredAdmin]:
        """Return some administrators, the newest first."""
        rows, more = self._db.read(lambda connection: listing.read(connection, admin_key, limit, after))
        return Page([_admin(row) for row in rows], more)

    def create(self, actor: Actor, name: str, role: str) -> tuple[StoredAdmin, str]:
        """Make an administrator's key; raises ``conflict`` for a name that is taken."""
        secret = make_key(ADMIN)
        made = StoredAdmin(new_id("admin"), name, role, secret[:SHOWN], int(time.time()))

        def work(connection: Connection) -> None:
            revisions.advance(connection)
            taken = select(admin_key.c.id).where(admin_key.c.name == name)
            if name == actor.name or connection.execute(taken).first() is not None:
                raise GatewayError(
                    "conflict", f"There is an administrator with the name '{name}' already.", param="name"
                )
            row = {column: getattr(made, column) for column in ("id", "name", "role", "prefix", "created_at")}
            connection.execute(insert(admin_key).values(row))
            add_secret(connection, self._hasher, made.id, secret)
            audit.note(connection, actor, "admin.created", made.id, None, show(made))

        self._signals.write(work, _TOPICS)
        return made, secret

    def delete(self, actor: Actor, admin_id: str) -> None:
        """Take an administrator's key away; raises ``not_found``."""

        def work(connection: Connection) -> None:
            revisions.advance(connection)
            before = _get(connection, admin_id)
            connection.execute(delete(key_secret).where(key_secret.c.owner_id == admin_id))
            connection.execute(delete(admin_key).where(admin_key.c.id == admin_id))
            audit.note(connection, actor, "admin.deleted", admin_id, show(before), None)

        self._signals.write(work, _TOPICS)


def show(stored: StoredAdmin) -> dict[str, Any]:
    """Return an administrator as others see him."""
    return {
        "id": stored.id,
        "object": "admin",
        "name": stored.name,
        "role": stored.role,
        "prefix": stored.prefix,
        "created_at": stored.created_at,
    }


def _get(connection: Connection, admin_id: str) -> StoredAdmin:
    row: Any = None
    if storable(admin_id):
        row = connection.execute(select(admin_key).where(admin_key.c.id == admin_id)).first()
    if row is None:
        raise GatewayError("not_found", f"There is no administrator with the id '{admin_id[:80]}'.")
    return _admin(row)


def _admin(row: AnyRow) -> StoredAdmin:
    return StoredAdmin(row.id, row.name, row.role, row.prefix, int(row.created_at))
