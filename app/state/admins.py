"""Administrators: a key, stored as a hash, with a name and a role."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from app.canonical.record import record
from app.errors import GatewayError
from app.state import audit, revisions
from app.state.audit import Actor
from app.state.database import Database
from app.state.ids import new_id
from app.state.key_format import ADMIN, PREFIX_LENGTH, Hasher, make_key
from app.state.keys import add_secret
from app.state.lookup import Page, by_key, read_page, require_row
from app.state.tables import AnyRow, admin_key, key_secret


@record
class StoredAdmin:
    """An administrator. ``role`` is ``admin`` or ``viewer``, ``prefix`` the beginning of the key."""

    id: str
    name: str
    role: str
    prefix: str
    created_at: int


class Admins:
    """The administrators that were created with the master key or by another administrator."""

    def __init__(self, db: Database, hasher: Hasher) -> None:
        self._db = db
        self._hasher = hasher

    def find(self, secret: str) -> StoredAdmin | None:
        """Return the administrator whose key ``secret`` is; None when there is none."""
        keys = key_secret.join(admin_key, admin_key.c.id == key_secret.c.owner_id)
        mine = key_secret.c.digest.in_(self._hasher.digests(secret))
        return self._read(select(*admin_key.c).select_from(keys).where(mine))

    def get(self, admin_id: str) -> StoredAdmin | None:
        """Return the administrator with that id; None when there is none."""
        return self._read(by_key(admin_key, admin_id))

    def _read(self, query: Any) -> StoredAdmin | None:
        row = self._db.fetch_first(query)
        return None if row is None else _admin(row)

    def page(self, limit: int, after: str | None) -> Page[StoredAdmin]:
        """Return some administrators, the newest first."""
        return read_page(self._db, admin_key, limit, after, _admin)

    def create(self, actor: Actor, name: str, role: str) -> tuple[StoredAdmin, str]:
        """Create an administrator and return it with its key; raises ``conflict`` for a name that is taken."""
        secret = make_key(ADMIN)
        new = StoredAdmin(new_id("admin"), name, role, secret[:PREFIX_LENGTH], int(time.time()))

        def work(connection: Connection, number: int) -> None:
            namesake = select(admin_key.c.id).where(admin_key.c.name == name)
            if name == actor.name or connection.execute(namesake).first() is not None:
                raise GatewayError(
                    "conflict", f"There is an administrator with the name '{name}' already.", param="name"
                )
            connection.execute(insert(admin_key).values(asdict(new)))
            add_secret(connection, self._hasher, new.id, secret)
            audit.note(connection, actor, "admin.created", new.id, None, show(new))

        revisions.change(self._db, work)
        return new, secret

    def delete(self, actor: Actor, admin_id: str) -> None:
        """Delete an administrator with the key; raises ``not_found``."""

        def work(connection: Connection, number: int) -> None:
            before = _get(connection, admin_id)
            connection.execute(delete(key_secret).where(key_secret.c.owner_id == admin_id))
            connection.execute(delete(admin_key).where(admin_key.c.id == admin_id))
            audit.note(connection, actor, "admin.deleted", admin_id, show(before), None)

        revisions.change(self._db, work)


def show(admin: StoredAdmin) -> dict[str, Any]:
    """Return an administrator as administrators see it."""
    return {
        "id": admin.id,
        "object": "admin",
        "name": admin.name,
        "role": admin.role,
        "prefix": admin.prefix,
        "created_at": admin.created_at,
    }


def _get(connection: Connection, admin_id: str) -> StoredAdmin:
    error = GatewayError("not_found", f"There is no administrator with the id '{admin_id[:80]}'.")
    return _admin(require_row(connection, by_key(admin_key, admin_id), admin_id, error))


def _admin(row: AnyRow) -> StoredAdmin:
    return StoredAdmin(row.id, row.name, row.role, row.prefix, int(row.created_at))
