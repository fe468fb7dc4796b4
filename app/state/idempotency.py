"""First answers of requests with an ``Idempotency-Key``, for who asks again.

A request *claims* its key before it is served. The row then has a lease, which the process renews while it
works, so that a killed one leaves no key locked. At the end the answer is kept for a day, or the key is
released. Tests: tests/state/test_first_answers.py, tests/governance/test_idempotency.py.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from typing import Any, Final

import gevent
from sqlalchemy import Column, Connection, Double, Index, Integer, Table, Text, and_, delete, select, update

from app.errors import GatewayError
from app.state.database import Database
from app.state.encryption import Sealed
from app.state.loops import Loop
from app.state.records import LARGEST, FirstAnswer
from app.state.rows import chunks
from app.state.tables import AnyRow, db_now, metadata
from app.state.upserts import insert_once
from app.wire.json import dumps, loads_lenient

KEPT_SECONDS: Final = 86_400.0
LEASE_SECONDS: Final = 12.0
_RENEWED_EVERY: Final = 3.0
_SWEPT_AT_ONCE: Final = 500
_LOG: Final = logging.getLogger(__name__)

# What was answered to a request with an Idempotency-Key; while it runs it has a lease. ``name`` is the digest of
# tenant, key, path and Idempotency-Key, ``request`` that of the body; no ``status``: the answer was too large.
first_answer = Table(
    "first_answer",
    metadata,
    Column("name", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("lease_until", Double),
    Column("expires_at", Double, nullable=False),
    Column("status", Integer),
    Column("headers", Sealed),
    Column("body", Sealed),
    Column("response_id", Text),
    Index("first_answer_expires_at", "expires_at"),
    Index("first_answer_tenant", "tenant"),
)


class FirstAnswers:
    """Claims and answers, by the name of tenant, key, path and ``Idempotency-Key`` together."""

    def __init__(self, db: Database, *, lease: float = LEASE_SECONDS) -> None:
        self._db = db
        self._lease = lease
        self._held: dict[str, str] = {}
        self._loop = Loop(self._run)

    def claim(self, name: str, tenant: str, request: str) -> FirstAnswer | None:
        """Claim ``name`` for the request with the digest ``request``; return the first answer where there is one.

        Raises GatewayError: ``idempotency_key_reused`` (422) for another request, ``idempotency_key_in_progress``
        (409) while the first runs, ``idempotency_key_used`` (409) for an answer too large to be kept.
        """
        token = secrets.token_hex(8)
        values = {"tenant": tenant, "request": request, "token": token}
        row = self._db.write(lambda connection: self._claim(connection, name, values), idempotent=True)
        if row is None:
            self._held[name] = token
            self._loop.start()
            return None
        if row.request != request:
            raise GatewayError(
                "bad_request",
                "This Idempotency-Key was used for another request; send a new key with a new request.",
                code="idempotency_key_reused",
                status=422,
            )
        return _answer_of(row)

    def keep(self, name: str, answer: FirstAnswer | None) -> None:
        """Keep the answer of a claim for a day; None: that it was too large. A claim that was lost keeps nothing."""
        token = self._held.pop(name, None)
        if token is None:
            return
        values: dict[str, Any] = {"lease_until": None, "expires_at": db_now() + KEPT_SECONDS}
        if answer is not None and len(answer.body) <= LARGEST:
            values |= {"status": answer.status, "headers": dumps(dict(answer.headers)), "body": answer.body}
            values["response_id"] = answer.response_id
        mine = and_(first_answer.c.name == name, first_answer.c.token == token)
        self._db.write(
            lambda connection: connection.execute(update(first_answer).where(mine).values(values)),
            idempotent=True,
        )

    def release(self, name: str) -> None:
        """Let the next request have ``name``."""
        token = self._held.pop(name, None)
        if token is not None:
            mine = and_(first_answer.c.name == name, first_answer.c.token == token)
            self._db.write(
                lambda connection: connection.execute(delete(first_answer).where(mine)), idempotent=True
            )

    def stop(self) -> None:
        """End the renewing; leases still held run out by themselves."""
        self._loop.stop()

    def _claim(self, connection: Connection, name: str, claim: Mapping[str, Any]) -> AnyRow | None:
        """Return None once the name is claimed, else the row that holds it."""
        values = {**claim, "lease_until": db_now() + self._lease, "expires_at": db_now() + KEPT_SECONDS}
        if insert_once(connection, first_answer, {"name": name, **values}):
            return None
        over = (first_answer.c.expires_at < db_now()) | (first_answer.c.lease_until < db_now())
        cleared = {"status": None, "headers": None, "body": None, "response_id": None}
        taken = update(first_answer).where(first_answer.c.name == name, over).values(values | cleared)
        if connection.execute(taken).rowcount:
            return None
        row = connection.execute(select(first_answer).where(first_answer.c.name == name)).first()
        if row is None:  # released between the two statements
            return self._claim(connection, name, claim)
        return None if row.token == claim["token"] else row

    def _run(self) -> None:
        while True:
            gevent.sleep(_RENEWED_EVERY)
            if not self._held:
                continue
            try:
                self._db.write(self._renew)
            except GatewayError as error:
                _LOG.warning("claims of idempotency keys not renewed: %s", error.raw or error.message)

    def _renew(self, connection: Connection) -> None:
        for some in chunks(list(self._held.values())):
            mine = and_(first_answer.c.token.in_(some), first_answer.c.lease_until.is_not(None))
            connection.execute(update(first_answer).where(mine).values(lease_until=db_now() + self._lease))


def drop_old(connection: Connection) -> int:
    """Delete some of the rows whose time is over; return how many."""
    old = select(first_answer.c.name).where(first_answer.c.expires_at < db_now()).limit(_SWEPT_AT_ONCE)
    return connection.execute(delete(first_answer).where(first_answer.c.name.in_(old))).rowcount


def drop_of_tenant(connection: Connection, tenant: str) -> int:
    """Delete some of a tenant's rows; return how many."""
    mine = select(first_answer.c.name).where(first_answer.c.tenant == tenant).limit(_SWEPT_AT_ONCE)
    return connection.execute(delete(first_answer).where(first_answer.c.name.in_(mine))).rowcount


def _answer_of(row: AnyRow) -> FirstAnswer:
    if row.lease_until is not None:
        raise GatewayError(
            "conflict",
            "The first request with this Idempotency-Key still runs; try again in a moment.",
            code="idempotency_key_in_progress",
            retry_after=1,
        )
    if row.status is None:
        raise GatewayError(
            "conflict",
            f"The first answer to this Idempotency-Key was larger than {LARGEST} bytes and was not kept.",
            code="idempotency_key_used",
        )
    return FirstAnswer(row.status, loads_lenient(bytes(row.headers)), bytes(row.body), row.response_id)
