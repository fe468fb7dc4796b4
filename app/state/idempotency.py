"""The first answers to requests with an ``Idempotency-Key``, for clients that send the request again.

A request *claims* its key before it is served. The row then has a lease, which the process renews while it works, so
that a process that is killed leaves no key locked. At the end the answer is kept for a day, or the key is released. Tests: tests/state/test_first_answers.py, tests/governance/test_idempotency.py.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import (
    Column,
    Connection,
    Delete,
    Double,
    Index,
    Integer,
    Table,
    Text,
    Update,
    and_,
    delete,
    select,
    update,
)

from app.errors import GatewayError
from app.state.database import Database
from app.state.encryption import SealedBytes
from app.state.loops import PeriodicTask
from app.state.records import LARGEST, FirstAnswer
from app.state.rows import chunks
from app.state.tables import AnyRow, db_now, metadata
from app.state.upserts import insert_once
from app.wire.json import dumps, loads_lenient

KEPT_SECONDS: Final = 86_400.0
LEASE_SECONDS: Final = 12.0
_RENEWED_EVERY: Final = 3.0

# The answer to a request with an Idempotency-Key; while the request runs, its row has a lease. ``name`` is the digest of
# tenant, key, path and Idempotency-Key, ``request`` that of the body. ``status`` is NULL if the answer was too large.
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
    Column("headers", SealedBytes),
    Column("body", SealedBytes),
    Column("response_id", Text),
    Index("first_answer_expires_at", "expires_at"),
    Index("first_answer_tenant", "tenant"),
)


class FirstAnswers:
    """Claims and answers. A name stands for tenant, key, path and ``Idempotency-Key`` together; a lease is in seconds."""

    def __init__(self, db: Database, *, lease: float = LEASE_SECONDS) -> None:
        self._db = db
        self._lease = lease
        self._tokens: dict[str, str] = {}  # tokens by name
        self._renewal = PeriodicTask(self._renew, _RENEWED_EVERY, "claims of idempotency keys not renewed")

    def claim(self, name: str, tenant: str, request: str) -> FirstAnswer | None:
        """Claim ``name`` for the request whose digest is ``request``; return the first answer if there is one.

        Raises ``idempotency_key_reused`` (422) for another request, ``idempotency_key_in_progress``
        (409) while the first runs, ``idempotency_key_used`` (409) for an answer too large to be kept.
        """
        token = secrets.token_hex(8)
        values = {"tenant": tenant, "request": request, "token": token}
        row = self._db.write(lambda connection: self._claim(connection, name, values), idempotent=True)
        if row is None:
            self._tokens[name] = token
            self._renewal.start()
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
        """Keep the answer to a claim for a day; None: the answer was too large. A claim that was lost keeps nothing."""
        values: dict[str, Any] = {"lease_until": None, "expires_at": db_now() + KEPT_SECONDS}
        if answer is not None and len(answer.body) <= LARGEST:
            values |= {"status": answer.status, "headers": dumps(dict(answer.headers)), "body": answer.body}
            values["response_id"] = answer.response_id
        self._end_claim(name, update(first_answer).values(values))

    def release(self, name: str) -> None:
        """Let the next request claim ``name``."""
        self._end_claim(name, delete(first_answer))

    def stop(self) -> None:
        """Stop renewing; the remaining leases expire by themselves."""
        self._renewal.stop()

    def _end_claim(self, name: str, statement: Update | Delete) -> None:
        token = self._tokens.pop(name, None)
        if token is not None:
            mine = and_(first_answer.c.name == name, first_answer.c.token == token)
            self._db.execute(statement.where(mine), idempotent=True)

    def _claim(self, connection: Connection, name: str, claim: Mapping[str, Any]) -> AnyRow | None:
        """Return None once the name is claimed, else the row that holds it."""
        values = {**claim, "lease_until": db_now() + self._lease, "expires_at": db_now() + KEPT_SECONDS}
        if insert_once(connection, first_answer, {"name": name, **values}):
            return None
        over = first_answer.c.expires_at < db_now()
        if self._db.clock.is_settled():
            over |= first_answer.c.lease_until < db_now()
        no_answer = {"status": None, "headers": None, "body": None, "response_id": None}
        takeover = update(first_answer).where(first_answer.c.name == name, over).values(values | no_answer)
        if connection.execute(takeover).rowcount:
            return None
        row = connection.execute(select(first_answer).where(first_answer.c.name == name)).first()
        if row is None:  # released between the two statements
            return self._claim(connection, name, claim)
        return None if row.token == claim["token"] else row

    def _renew(self) -> None:
        for some in chunks(list(self._tokens.values())):
            mine = and_(first_answer.c.token.in_(some), first_answer.c.lease_until.is_not(None))
            statement = update(first_answer).where(mine).values(lease_until=db_now() + self._lease)
            self._db.execute(statement)


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
