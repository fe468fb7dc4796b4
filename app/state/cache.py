"""Kept answers that all processes share: rows that live until their time is over.

What an answer is, only the gateway knows: here it is bytes under a name. Each row tells whose it is, so that some can be
taken away; ``scope`` is the caller's own word for a part of the cache, stored as a digest.

Tests: tests/state/test_cache.py, tests/governance/test_cache_of_many.py.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, delete, func, or_, select, true

from app.state import comparison, revisions
from app.state.audit import Actor, note
from app.state.cache_records import Choice, Found, Label, Vector, digest_of_scope
from app.state.database import Database
from app.state.deletion import delete_all
from app.state.signals import Signals
from app.state.tables import cached_answer, db_now
from app.state.upserts import upsert_for
from app.state.wakeups import CACHE

_MOST: Final = 1024 * 1024 * 1024  # bytes of all tenants together, looked for by the sweep
_AT_ONCE: Final = 200  # rows of a transaction
_FOR_ROOM: Final = 20  # rows of up to some MiB each that make room
_CHANGED: Final = (
    *("tenant", "key", "scope", "response_id", "size", "expires_at"),
    *("body", "meaning", "made_at", "vector", "numbers"),
)
_OVERLAP: Final = 5.0  # seconds by which a row may be committed after a later one


class SharedAnswers:
    """The rows of all tenants."""

    def __init__(self, signals: Signals) -> None:
        self._db = signals.db
        self._signals = signals
        self._compares: bool | None = None

    def compares(self) -> bool:
        """Tell whether the database compares vectors itself: where it can, and nothing is sealed."""
        if self._compares is None:
            self._compares = not self._db.seals and self._db.read(comparison.is_installed)
        return self._compares

    def get(self, name: str) -> Found | None:
        """Return the answer of that name while it lives."""
        columns = select(cached_answer.c.body, cached_answer.c.expires_at - db_now())
        wanted = columns.where(cached_answer.c.id == name, cached_answer.c.expires_at > db_now())
        row = self._db.fetch_first(wanted)
        return None if row is None else Found(row[0], row[1])

    def put(self, label: Label, body: bytes, ttl: int) -> None:
        """Keep an answer for ``ttl`` seconds; a later one replaces an earlier one."""
        numbers = comparison.numbers_of(label.vector) if label.vector and self.compares() else None
        row: dict[str, Any] = {
            **label._asdict(),
            "vector": label.vector if numbers is None else None,
            "numbers": numbers,
            "scope": digest_of_scope(label.scope),
            "size": len(body) + len(label.vector or b""),
            "expires_at": db_now() + ttl,
            "made_at": db_now() if label.meaning is not None else None,
            "body": body,
        }

        def work(connection: Connection) -> None:
            connection.execute(upsert_for(connection.dialect.name, cached_answer, row, _CHANGED))

        self._db.write(work, idempotent=True)

    def vectors(self, meaning: str, after: float, most: int) -> list[Vector]:
        """Return the newest ``most`` vectors of a meaning, and of those few that were made before ``after``."""
        table = cached_answer.c
        columns = select(table.id, table.made_at, table.vector)
        wanted = columns.where(
            table.meaning == meaning,
            table.vector.is_not(None),
            table.made_at > after - _OVERLAP,
            table.expires_at > db_now(),
        )
        newest = wanted.order_by(table.made_at.desc()).limit(most)
        return [Vector(*row) for row in self._db.fetch_all(newest)]

    def nearest(self, meaning: str, vector: bytes, newest: int, most: int) -> list[tuple[str, float]]:
        """Return the ``most`` nearest of the ``newest`` answers of a meaning, with the cosine, the nearest first."""
        return self._db.read(lambda connection: comparison.nearest(connection, meaning, vector, newest, most))

    def remove(self, name: str, response_id: str) -> None:
        """Take one answer away, if it came from this stored response."""
        mine = (cached_answer.c.id == name) & (cached_answer.c.response_id == response_id)
        self._db.execute(delete(cached_answer).where(mine), idempotent=True)

    def clear(self, choice: Choice) -> int:
        """Take away those that ``choice`` means, in short transactions; return how many."""
        return delete_all(self._db, cached_answer, _condition(choice), _AT_ONCE)

    def note_cleared(self, actor: Actor, choice: Choice, entries: int) -> None:
        """Write into the audit that so many were taken away, and have every process forget its own."""

        def work(connection: Connection) -> None:
            revisions.advance(connection, CACHE)
            after = {**choice.shown(), "entries": entries}
            note(connection, actor, "cache.clear", choice.id or "cache", None, after)

        self._signals.write(work, [CACHE])

    def revision(self) -> int:
        """Return the number that grows when answers were taken away."""
        return self._db.read(lambda connection: revisions.current(connection, CACHE), single=True)


def purge(db: Database, most: int = _MOST) -> None:
    """Delete what is over, and what would end next while there are more than ``most`` bytes."""
    delete_all(db, cached_answer, cached_answer.c.expires_at <= db_now(), _AT_ONCE)
    size = select(func.sum(cached_answer.c.size))
    first = select(cached_answer.c.id).order_by(cached_answer.c.expires_at).limit(_FOR_ROOM)
    while (db.fetch_value(size) or 0) > most:
        db.execute(delete(cached_answer).where(cached_answer.c.id.in_(first)))


def purge_unsealed(db: Database) -> None:
    """Delete what lies there with its vector as numbers, which are never sealed."""
    delete_all(db, cached_answer, cached_answer.c.numbers.is_not(None), _AT_ONCE)


def purge_tenant(db: Database, tenant: str) -> None:
    """Delete all of a tenant."""
    delete_all(db, cached_answer, cached_answer.c.tenant == tenant, _AT_ONCE)


def _condition(choice: Choice) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = []
    if choice.tenant is not None:
        conditions.append(cached_answer.c.tenant == choice.tenant)
    if choice.key is not None:
        scope = digest_of_scope(choice.key)
        conditions.append(or_(cached_answer.c.key == choice.key, cached_answer.c.scope == scope))
    if choice.id is not None:
        conditions.append(cached_answer.c.id == choice.id)
    return and_(true(), *conditions)
