"""Tenants that are created at run time: what they may use, and how they are deleted with everything of theirs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from app.canonical.record import record
from app.errors import GatewayError
from app.state import audit, keys, revisions
from app.state.audit import Actor
from app.state.database import Repository
from app.state.idempotency import first_answer
from app.state.lookup import Page, by_key, find_row, read_page, require_row
from app.state.tables import (
    AnyRow,
    batch,
    client_key,
    conversation,
    file,
    gone_tenant,
    response,
    tenant,
    thread,
    vault,
)
from app.state.wakeups import CACHE, KEYS
from app.wire.json import dumps, loads_lenient


@record
class StoredTenant:
    """A tenant; ``members`` are models, operations, metadata … as they were written."""

    name: str
    members: Mapping[str, Any]
    created_at: int


class Tenants(Repository):
    """The tenants of the database."""

    def is_gone(self, name: str) -> bool:
        """Tell whether a tenant of this name was deleted and some of its data may remain."""
        statement = select(gone_tenant.c.name).where(gone_tenant.c.name == name)
        return self._db.fetch_first(statement) is not None

    def get(self, name: str) -> StoredTenant:
        """Return a tenant; raises ``not_found``."""
        return self._db.read(lambda connection: _get(connection, name))

    def page(self, limit: int, after: str | None) -> Page[StoredTenant]:
        """Return some tenants, the newest first."""
        return read_page(self._db, tenant, limit, after, _tenant)

    def create(self, actor: Actor, name: str, members: Mapping[str, Any]) -> StoredTenant:
        """Create a tenant; raises ``conflict`` for a name that is taken, or whose former tenant still has data
        here."""
        new = StoredTenant(name, members, int(time.time()))

        def work(connection: Connection, number: int) -> None:
            _check_free(connection, name)
            row = {"name": name, "members": dumps(dict(members)), "created_at": new.created_at}
            connection.execute(insert(tenant).values(row))
            audit.note(connection, actor, "tenant.created", name, None, show(new))

        revisions.change(self._db, work)
        return new

    def change(self, actor: Actor, name: str, changes: Mapping[str, Any]) -> StoredTenant:
        """Change members (None removes one) and return the tenant; raises ``not_found``."""

        def work(connection: Connection, number: int) -> StoredTenant:
            before = _get(connection, name)
            members = {**before.members, **changes}
            after = replace(before, members={n: v for n, v in members.items() if v is not None})
            values = {"members": dumps(dict(after.members))}
            connection.execute(update(tenant).where(tenant.c.name == name).values(values))
            audit.note(connection, actor, "tenant.changed", name, show(before), show(after))
            return after

        return revisions.change(self._db, work)

    def counts(self, name: str) -> dict[str, int]:
        """Return how many keys, responses and conversations of a tenant are stored."""
        return self._db.read(lambda connection: _count(connection, name))

    def delete(self, actor: Actor, name: str) -> dict[str, int]:
        """Delete a tenant with its keys, whose calls end at once; the next purge deletes everything else.

        Returns what ``counts`` returned before; raises ``not_found``."""

        def work(connection: Connection, number: int) -> dict[str, int]:
            revisions.advance(connection, CACHE)  # so that no process remembers its answers
            before = _get(connection, name)
            counts = _count(connection, name)
            keys.drop(connection, number, client_key.c.tenant == name, end_now=True)
            connection.execute(delete(tenant).where(tenant.c.name == name))
            connection.execute(delete(gone_tenant).where(gone_tenant.c.name == name))
            connection.execute(insert(gone_tenant).values(name=name, gone_at=time.time()))
            audit.note(connection, actor, "tenant.deleted", name, {**show(before), "stored": counts}, None)
            return counts

        return revisions.change(self._db, work, (KEYS, CACHE))


def show(tenant: StoredTenant) -> dict[str, Any]:
    """Return a tenant as an administrator sees it."""
    return {
        "id": tenant.name,
        "object": "tenant",
        "name": tenant.name,
        "source": "store",
        "models": tenant.members.get("models"),
        "operations": tenant.members.get("operations"),
        "limits": tenant.members.get("limits") or [],
        "budgets": tenant.members.get("budgets") or [],
        "metadata": tenant.members.get("metadata") or {},
        "created_at": tenant.created_at,
    }


def name_taken(name: str) -> GatewayError:
    """Return the error for a second tenant with the same name."""
    return GatewayError("conflict", f"There is a tenant with the name '{name}' already.", param="name")


def missing(name: str) -> GatewayError:
    """Return the error for a tenant that does not exist."""
    return GatewayError("not_found", f"There is no tenant with the name '{name[:80]}'.")


def _check_free(connection: Connection, name: str) -> None:
    if find_row(connection, by_key(tenant, name), name) is not None:
        raise name_taken(name)
    remains = [select(table.c.id).where(table.c.tenant == name).limit(1) for table in (thread, file, batch)]
    if any(connection.execute(one).first() is not None for one in remains):
        raise GatewayError(
            "conflict",
            f"Data of a former tenant '{name}' is still stored; the next sweep deletes it, within ten minutes.",
            param="name",
        )
    for table in (vault, first_answer):
        connection.execute(delete(table).where(table.c.tenant == name))
    connection.execute(delete(gone_tenant).where(gone_tenant.c.name == name))


def _count(connection: Connection, name: str) -> dict[str, int]:
    tables = {
        "keys": (client_key, ()),
        "responses": (response, (response.c.deleted_at.is_(None),)),
        "conversations": (conversation, (conversation.c.deleted_at.is_(None),)),
    }
    count = select(func.count())
    return {
        label: connection.execute(
            count.select_from(table).where(table.c.tenant == name, *conditions)
        ).scalar_one()
        for label, (table, conditions) in tables.items()
    }


def _get(connection: Connection, name: str) -> StoredTenant:
    return _tenant(require_row(connection, by_key(tenant, name), name, missing(name)))


def _tenant(row: AnyRow) -> StoredTenant:
    return StoredTenant(row.name, loads_lenient(bytes(row.members)), int(row.created_at))
