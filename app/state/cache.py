"""Cached answers that all processes share: rows that expire.

An answer is bytes under a name; only the gateway reads them. Each row says whose it is, so that some can be deleted;
``scope`` is the caller's own name for a part of the cache, stored as a digest.

Tests: tests/state/test_cache.py, tests/governance/test_cache_of_many.py.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, delete, func, or_, select, true

from app.state import comparison, revisions
from app.state.audit import Actor, note
from app.state.cache_records import CachedBody, CacheFilter, Label, Vector, digest_of_scope
from app.state.database import Database
from app.state.deletion import delete_all
from app.state.tables import cached_answer, db_now
from app.state.upserts import upsert_for
from app.state.wakeups import CACHE

_MOST: Final = 1024 * 1024 * 1024  # bytes of all tenants together, which the sweep enforces
_AT_ONCE: Final = 200  # rows of a transaction
_FOR_ROOM: Final = 20  # rows of up to some MiB each that make room
_CHANGED: Final = (
    *("tenant", "key", "scope", "response_id", "size", "expires_at"),
    *("body", "meaning", "made_at", "vector", "numbers"),
)
_OVERLAP: Final = 5.0  # seconds by which a row may be committed after a later one


class SharedAnswers:
    """The cached answers of all tenants."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._compares: bool | None = None

    def compares(self) -> bool:
        """Tell whether the database compares vectors: it can, and nothing is sealed."""
        if self._compares is None:
            self._compares = not self._db.seals and self._db.read(comparison.is_installed)
        return self._compares

    def get(self, name: str) -> CachedBody | None:
        """Return the answer with that name; None when there is none or it expired."""
        columns = select(cached_answer.c.body, cached_answer.c.expires_at - db_now())
        query = columns.where(cached_answer.c.id == name, cached_answer.c.expires_at > db_now())
        row = self._db.fetch_first(query)
        return None if row is None else CachedBody(row[0], row[1])

    def put(self, label: Label, body: bytes, ttl: int) -> None:
        """Store an answer for ``ttl`` seconds; a later answer replaces an earlier one."""
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
        """Return the newest ``most`` vectors of a meaning that were stored after ``after`` (Unix seconds), and a few before."""
        table = cached_answer.c
        columns = select(table.id, table.made_at, table.vector)
        query = columns.where(
            table.meaning == meaning,
            table.vector.is_not(None),
            table.made_at > after - _OVERLAP,
            table.expires_at > db_now(),
        )
        newest = query.order_by(table.made_at.desc()).limit(most)
        return [Vector(*row) for row in self._db.fetch_all(newest)]

    def nearest(self, meaning: str, vector: bytes, newest: int, most: int) -> list[tuple[str, float]]:
        """Return the ``most`` nearest of the ``newest`` answers of a meaning, with the cosine, the nearest first."""
        return self._db.read(lambda connection: comparison.nearest(connection, meaning, vector, newest, most))

    def remove(self, name: str, response_id: str) -> None:
        """Delete an answer if it came from this stored response."""
        mine = (cached_answer.c.id == name) & (cached_answer.c.response_id == response_id)
        self._db.execute(delete(cached_answer).where(mine), idempotent=True)

    def clear(self, criteria: CacheFilter) -> int:
        """Delete the answers that fit, in short transactions; return how many."""
        return delete_all(self._db, cached_answer, _condition(criteria), _AT_ONCE)

    def note_cleared(self, actor: Actor, criteria: CacheFilter, entries: int) -> None:
        """Write into the audit log that answers were deleted, and let every process drop those in its memory."""

        def work(connection: Connection) -> None:
            revisions.advance(connection, CACHE)
            after = {**criteria.members(), "entries": entries}
            note(connection, actor, "cache.clear", criteria.id or "cache", None, after)

        self._db.write(work, [CACHE])

    def revision(self) -> int:
        """Return the number that grows when answers are deleted."""
        return self._db.read(lambda connection: revisions.current(connection, CACHE), single=True)


def purge(db: Database, most: int = _MOST) -> None:
    """Delete expired answers, and those that expire next while there are more than ``most`` bytes."""
    delete_all(db, cached_answer, cached_answer.c.expires_at <= db_now(), _AT_ONCE)
    size = select(func.sum(cached_answer.c.size))
    first = select(cached_answer.c.id).order_by(cached_answer.c.expires_at).limit(_FOR_ROOM)
    while (db.fetch_value(size) or 0) > most:
        db.execute(delete(cached_answer).where(cached_answer.c.id.in_(first)))


def purge_unsealed(db: Database) -> None:
    """Delete the answers whose vectors are numbers, which are never sealed."""
    delete_all(db, cached_answer, cached_answer.c.numbers.is_not(None), _AT_ONCE)


def purge_tenant(db: Database, tenant: str) -> None:
    """Delete the answers of a tenant."""
    delete_all(db, cached_answer, cached_answer.c.tenant == tenant, _AT_ONCE)


def _condition(criteria: CacheFilter) -> ColumnElement[bool]:
    table = cached_answer.c
    conditions = (
        (criteria.tenant, table.tenant == criteria.tenant),
        (criteria.key, or_(table.key == criteria.key, table.scope == digest_of_scope(criteria.key or ""))),
        (criteria.id, table.id == criteria.id),
    )
    return and_(true(), *(condition for value, condition in conditions if value is not None))
