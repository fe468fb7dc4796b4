"""Client keys that are created at run time: their rows, their secrets as hashes, and the ends of running calls.

A change advances the revision in its own transaction and notifies every process. What a key may do is in ``members`` as
the administrator wrote it; this module does not read it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    update,
)

from app.canonical.record import record
from app.errors import GatewayError
from app.state import audit, revisions
from app.state.audit import Actor
from app.state.budget_lines import History
from app.state.database import Database
from app.state.ids import new_id
from app.state.key_format import PREFIX_LENGTH, Hasher, make_key
from app.state.lookup import Page, by_key, find_row, read_page, require_row
from app.state.tables import AnyRow, client_key, key_ending, key_secret, tenant
from app.wire.json import dumps, loads_lenient

_ENDINGS_KEPT: Final = 3_600.0
_FORMER: Final = "former_names"
"""A member that nobody sees: the names that a key had, each with the moment until which it had it."""
_MOST_FORMER: Final = 20


@record
class StoredKey:
    """A client's key. Times are Unix seconds; ``members`` are models, operations, metadata … as they were written."""

    id: str
    tenant: str
    name: str
    prefix: str
    enabled: bool
    expires_at: int | None
    members: Mapping[str, Any]
    created_at: int
    last_used_at: int | None = None
    rotated_at: int | None = None

    @property
    def history(self) -> History:
        """Return how the ledger identifies the key, besides by its name."""
        former = self.members.get(_FORMER) or ()
        return History(tuple([(name, until) for name, until in former]), self.created_at)


@record
class FoundKey:
    """A key that was found by a secret. ``until`` is when that secret expires (Unix seconds; None: with the key);
    ``tenant_members`` are those of its tenant, None where the tenant is not in the database."""

    key: StoredKey
    digest: str
    until: float | None
    tenant_members: Mapping[str, Any] | None


@record
class KeyEnding:
    """An order to end running calls of a key at once: those with one secret, or all (``digest`` None)."""

    revision: int
    key_id: str
    digest: str | None


class Keys:
    """The keys of all tenants."""

    def __init__(self, db: Database, hasher: Hasher) -> None:
        self._db = db
        self.hasher = hasher

    # --- for calls -----------------------------------------------------------------------------

    def find(self, secret: str) -> FoundKey | None:
        """Return the key that ``secret`` opens; a secret that was hashed under an older operator secret is hashed anew."""
        digests = self.hasher.digests(secret)
        key = self._db.read(lambda connection: _find(connection, key_secret.c.digest.in_(digests)))
        if key is not None and key.digest != digests[0]:
            stale = update(key_secret).where(key_secret.c.digest == key.digest)
            self._db.execute(stale.values(digest=digests[0], mark=self.hasher.marks[0]))
            return replace(key, digest=digests[0])
        return key

    def of_name(self, tenant_name: str, name: str) -> FoundKey | None:
        """Return the key of a tenant by its name."""
        mine = (client_key.c.tenant == tenant_name, client_key.c.name == name, key_secret.c.until.is_(None))
        return self._db.read(lambda connection: _find(connection, *mine))

    def of_id(self, tenant_name: str, key_id: str) -> FoundKey | None:
        """Return the key of a tenant by its id."""
        mine = (client_key.c.tenant == tenant_name, client_key.c.id == key_id, key_secret.c.until.is_(None))
        return self._db.read(lambda connection: _find(connection, *mine))

    def find_by_name(self, text: str, tenant_name: str | None = None) -> list[StoredKey]:
        """Return the keys with the id ``text``, and those with that name, of one tenant or of all; a hundred at most."""
        mine = () if tenant_name is None else (client_key.c.tenant == tenant_name,)
        return self._db.read(lambda connection: find_keys(connection, text, *mine, most=100))

    def used_last(self, count: int) -> list[tuple[StoredKey, Mapping[str, Any] | None]]:
        """Return the enabled keys that were used last, each with its tenant's members as ``FoundKey`` has them."""
        keys = client_key.outerjoin(tenant, tenant.c.name == client_key.c.tenant)
        latest = (func.coalesce(client_key.c.last_used_at, client_key.c.created_at).desc(), client_key.c.id)
        statement = (
            select(client_key, tenant.c.members.label("tenant_members"))
            .select_from(keys)
            .where(client_key.c.enabled)
            .order_by(*latest)
            .limit(count)
        )
        return [(_key(row), _parse(row.tenant_members)) for row in self._db.fetch_all(statement)]

    def revision(self) -> int:
        """Return the number of the last change."""
        return self._db.read(revisions.current)

    def endings(self, after: int) -> list[KeyEnding]:
        """Return the endings of the changes after the number ``after``."""
        statement = select(key_ending).where(key_ending.c.revision > after)
        return [KeyEnding(row.revision, row.key_id, row.digest) for row in self._db.fetch_all(statement)]

    def note_uses(self, times: Mapping[str, float]) -> None:
        """Store when keys were last used: Unix seconds by id."""
        statement = (
            update(client_key).where(client_key.c.id == bindparam("of")).values(last_used_at=bindparam("at"))
        )
        rows = [{"of": key_id, "at": moment} for key_id, moment in sorted(times.items())]
        self._db.write(lambda connection: connection.execute(statement, rows) and None, idempotent=True)

    def under_older_secrets(self) -> int:
        """Return how many secrets of keys are hashed under an operator secret that is not the first."""
        return self._count(key_secret.c.mark.in_(self.hasher.marks[1:]))

    def under_lost_secrets(self) -> int:
        """Return how many secrets of keys are hashed under none of the operator secrets, so that they open nothing."""
        return self._count(key_secret.c.mark.not_in(self.hasher.marks))

    def unknown_tenants(self) -> list[str]:
        """Return the tenants of keys that are not stored, in order; the configuration may have them."""
        names = select(client_key.c.tenant).where(client_key.c.tenant.not_in(select(tenant.c.name)))
        return [row.tenant for row in self._db.fetch_all(names.distinct().order_by(client_key.c.tenant))]

    def _count(self, which: ColumnElement[bool]) -> int:
        """Return how many secrets of keys fit; sessions expire anyway, so they do not count."""
        of_keys = ~key_secret.c.owner_id.startswith("session:") & (key_secret.c.owner_id != "link")
        return self._db.fetch_value(select(func.count()).where(which, of_keys)) or 0

    # --- for administrators --------------------------------------------------------------------

    def create(
        self, actor: Actor, key: StoredKey, *, is_tenant_stored: bool = False
    ) -> tuple[StoredKey, str]:
        """Create a key as ``key`` describes it; return it and its secret, which nobody sees again.

        Raises ``conflict`` for a name that its tenant has already, and ``bad_request`` where its tenant should be stored
        and is not, perhaps since a moment ago.
        """
        secret = make_key()
        new = replace(key, id=new_id("key"), prefix=secret[:PREFIX_LENGTH], created_at=int(time.time()))

        def work(connection: Connection, number: int) -> None:
            if is_tenant_stored and find_row(connection, by_key(tenant, key.tenant), key.tenant) is None:
                raise _no_tenant(key.tenant)
            _check_name(connection, new)
            connection.execute(insert(client_key).values(_row(new)))
            add_secret(connection, self.hasher, new.id, secret)
            audit.note(connection, actor, "key.created", new.id, None, show(new))

        revisions.change(self._db, work)
        return new, secret

    def get(self, key_id: str) -> StoredKey:
        """Return a key; raises ``not_found``."""
        return self._db.read(lambda connection: _get(connection, key_id))

    def page(self, limit: int, after: str | None, tenant_name: str | None = None) -> Page[StoredKey]:
        """Return some keys, the newest first, of one tenant or of all."""
        mine = () if tenant_name is None else (client_key.c.tenant == tenant_name,)
        return read_page(self._db, client_key, limit, after, _key, *mine)

    def change(
        self, actor: Actor, key_id: str, changes: Mapping[str, Any], *, end_now: bool = False
    ) -> StoredKey:
        """Change ``name``, ``enabled``, ``expires_at`` and members (None removes one), and return the key.

        ``end_now`` ends running calls. Raises ``not_found``, and ``conflict`` for a name that is taken."""

        def work(connection: Connection, number: int) -> StoredKey:
            before = _get(connection, key_id)
            after = _change(before, changes)
            if after.name != before.name:
                _check_name(connection, after)
                after = _with_former(after, before.name)
            connection.execute(update(client_key).where(client_key.c.id == key_id).values(_row(after)))
            if end_now:
                _end(connection, number, client_key, client_key.c.id == key_id)
            audit.note(connection, actor, "key.changed", key_id, show(before), show(after))
            return after

        return revisions.change(self._db, work)

    def delete(self, actor: Actor, key_id: str, *, end_now: bool = False) -> None:
        """Delete a key; ``end_now`` ends its running calls. Raises ``not_found``."""

        def work(connection: Connection, number: int) -> None:
            before = _get(connection, key_id)
            drop(connection, number, client_key.c.id == before.id, end_now=end_now)
            audit.note(connection, actor, "key.deleted", key_id, show(before), None)

        revisions.change(self._db, work)

    def rotate(
        self, actor: Actor, key_id: str, grace: int, *, end_now: bool = False
    ) -> tuple[StoredKey, str]:
        """Give a key a new secret; the old one works for ``grace`` seconds more.

        ``end_now`` ends the running calls with the old one. Raises ``not_found``."""
        secret, now = make_key(), time.time()

        def work(connection: Connection, number: int) -> StoredKey:
            before = _get(connection, key_id)
            after = replace(before, prefix=secret[:PREFIX_LENGTH], rotated_at=int(now))
            _expire_secrets(connection, key_id, now, grace, number if end_now else None)
            add_secret(connection, self.hasher, key_id, secret)
            connection.execute(update(client_key).where(client_key.c.id == key_id).values(_row(after)))
            audit.note(connection, actor, "key.rotated", key_id, show(before), show(after))
            return after

        return revisions.change(self._db, work), secret


def find_keys(
    connection: Connection, text: str, *conditions: ColumnElement[bool], most: int | None = None
) -> list[StoredKey]:
    """Return the keys with the id ``text``, and those with that name."""
    query = select(client_key).where(or_(client_key.c.id == text, client_key.c.name == text), *conditions)
    return [_key(row) for row in connection.execute(query.limit(most))]


def add_secret(connection: Connection, hasher: Hasher, owner: str, secret: str) -> None:
    """Store the hash of a key's secret."""
    row = {"digest": hasher.digest(secret), "owner_id": owner, "mark": hasher.marks[0]}
    connection.execute(insert(key_secret).values(row))


def drop(connection: Connection, number: int, which: ColumnElement[bool], *, end_now: bool) -> None:
    """Delete the keys that ``which`` selects, however many, with their secrets, by the change ``number``."""
    ids = select(client_key.c.id).where(which)
    if end_now:
        _end(connection, number, client_key, which)
    connection.execute(delete(key_secret).where(key_secret.c.owner_id.in_(ids)))
    connection.execute(delete(client_key).where(which))


def show(key: StoredKey) -> dict[str, Any]:
    """Return a key as an administrator sees it: everything but its secret."""
    return {
        "id": key.id,
        "object": "key",
        "name": key.name,
        "tenant": key.tenant,
        "prefix": key.prefix,
        "source": "store",
        "enabled": key.enabled,
        "expires_at": key.expires_at,
        "models": key.members.get("models"),
        "operations": key.members.get("operations"),
        "limits": key.members.get("limits") or [],
        "budgets": key.members.get("budgets") or [],
        "metadata": key.members.get("metadata") or {},
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
        "rotated_at": key.rotated_at,
    }


def _find(connection: Connection, *conditions: ColumnElement[bool]) -> FoundKey | None:
    keys = key_secret.join(client_key, client_key.c.id == key_secret.c.owner_id).outerjoin(
        tenant, tenant.c.name == client_key.c.tenant
    )
    columns = (*client_key.c, key_secret.c.digest, key_secret.c.until)
    statement = select(*columns, tenant.c.members.label("of_tenant")).select_from(keys).where(*conditions)
    row: Any = connection.execute(statement).first()
    if row is None:
        return None
    return FoundKey(_key(row), row.digest, row.until, _parse(row.of_tenant))


def _parse(members: Any) -> Mapping[str, Any] | None:
    value: Mapping[str, Any] | None = None if members is None else loads_lenient(bytes(members))
    return value


def _get(connection: Connection, key_id: str) -> StoredKey:
    error = GatewayError("not_found", f"There is no key with the id '{key_id[:80]}'.")
    return _key(require_row(connection, by_key(client_key, key_id), key_id, error))


def _check_name(connection: Connection, key: StoredKey) -> None:
    mine = (client_key.c.tenant == key.tenant, client_key.c.name == key.name)
    if connection.execute(select(client_key.c.id).where(*mine)).first() is not None:
        raise name_taken(key.tenant, key.name)


def _no_tenant(name: str) -> GatewayError:
    message = f"Invalid 'tenant': there is no tenant '{name}'; create it first."
    return GatewayError("bad_request", message, param="tenant", code="invalid_value")


def name_taken(tenant_name: str, name: str) -> GatewayError:
    """Return the error for a second key with the same name."""
    return GatewayError(
        "conflict",
        f"The tenant '{tenant_name}' has a key with the name '{name}' already; choose another name.",
        param="name",
    )


def _expire_secrets(connection: Connection, key_id: str, now: float, grace: int, number: int | None) -> None:
    """Let the secrets of a key expire ``grace`` seconds after ``now``, or earlier as they would.

    ``number`` is that of the change that ends their running calls now; None: the calls go on.
    """
    mine = key_secret.c.owner_id == key_id
    if number is not None:
        _end(connection, number, key_secret, and_(mine, key_secret.c.until.is_(None)))
    if grace:
        statement = update(key_secret).where(mine, key_secret.c.until.is_(None))
        connection.execute(statement.values(until=now + grace))
    else:
        connection.execute(delete(key_secret).where(mine))
    connection.execute(delete(key_secret).where(mine, key_secret.c.until < now))


def _end(connection: Connection, number: int, rows: FromClause, which: ColumnElement[bool]) -> None:
    """Order that running calls end: all of the keys that ``which`` selects, or those with the secrets that it selects."""
    now = time.time()
    connection.execute(delete(key_ending).where(key_ending.c.created_at < now - _ENDINGS_KEPT))
    key_id, digest = (rows.c.id, null()) if rows is client_key else (rows.c.owner_id, rows.c.digest)
    row = {
        "id": literal(f"end_{number}_") + func.coalesce(digest, key_id),
        "revision": literal(number),
        "key_id": key_id,
        "digest": digest,
        "created_at": literal(now),
    }
    connection.execute(insert(key_ending).from_select(list(row), select(*row.values()).where(which)))


def _change(key: StoredKey, changes: Mapping[str, Any]) -> StoredKey:
    columns = {name: changes[name] for name in ("name", "enabled", "expires_at") if name in changes}
    members = {**key.members, **{name: value for name, value in changes.items() if name not in columns}}
    return replace(
        key, **columns, members={name: value for name, value in members.items() if value is not None}
    )


def _with_former(key: StoredKey, name: str) -> StoredKey:
    """Return a key with a name that it had until now."""
    former = [*(key.members.get(_FORMER) or ()), (name, time.time())]
    return replace(key, members={**key.members, _FORMER: former[-_MOST_FORMER:]})


def _row(key: StoredKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "tenant": key.tenant,
        "name": key.name,
        "prefix": key.prefix,
        "enabled": key.enabled,
        "expires_at": key.expires_at,
        "members": dumps(dict(key.members)),
        "created_at": key.created_at,
        "rotated_at": key.rotated_at,
    }


def _key(row: AnyRow) -> StoredKey:
    return StoredKey(
        id=row.id,
        tenant=row.tenant,
        name=row.name,
        prefix=row.prefix,
        enabled=bool(row.enabled),
        expires_at=row.expires_at,
        members=loads_lenient(bytes(row.members)),
        created_at=int(row.created_at),
        last_used_at=None if row.last_used_at is None else int(row.last_used_at),
        rotated_at=None if row.rotated_at is None else int(row.rotated_at),
    )
