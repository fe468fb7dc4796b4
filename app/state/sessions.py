"""Sessions of the window: keys of an administrator that expire by themselves, stored as keyed hashes like all keys.

An owner is the text by which its sessions are found. A link that logs in works once: its hash is stored, as an owner's
row that opens nothing, until the link is too old.
"""

from __future__ import annotations

import hmac
import secrets
import time
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, or_, select

from app.errors import GatewayError
from app.state.database import Database
from app.state.key_format import Hasher
from app.state.tables import key_secret
from app.state.upserts import insert_once

_SESSION: Final = "session:"
_LINK: Final = "link"
_OURS: Final = or_(key_secret.c.owner_id == _LINK, key_secret.c.owner_id.startswith(_SESSION))


class Sessions:
    """Begins, finds and ends sessions."""

    def __init__(self, db: Database, hasher: Hasher) -> None:
        self._db = db
        self._hasher = hasher

    def begin(self, owner: str, seconds: float, *, link: tuple[str, float] | None = None) -> str:
        """Begin a session of ``seconds`` and return its secret.

        ``link`` is the link that was used to log in, with the seconds for which it stays valid otherwise. Raises
        ``conflict`` when it was used before."""
        secret, now = secrets.token_urlsafe(32), time.time()

        def work(connection: Connection) -> None:
            connection.execute(delete(key_secret).where(key_secret.c.until < now, _OURS))
            if link is not None and not insert_once(
                connection, key_secret, self._row(link[0], _LINK, now + link[1])
            ):
                raise GatewayError("conflict", "This link was used before.")
            row = self._row(secret, f"{_SESSION}{owner}", now + seconds)
            connection.execute(insert(key_secret).values(row))

        self._db.write(work)
        return secret

    def owner(self, secret: str) -> str | None:
        """Return whose session ``secret`` is; None when it has ended or never existed."""
        query = select(key_secret.c.owner_id).where(
            self._is_session(secret), key_secret.c.until > time.time()
        )
        owner: str | None = self._db.fetch_value(query)
        return None if owner is None else owner.removeprefix(_SESSION)

    def end(self, secret: str) -> None:
        """End one session."""
        self._db.execute(delete(key_secret).where(self._is_session(secret)), idempotent=True)

    def end_all(self, owner: str) -> None:
        """End all sessions of an owner."""
        mine = key_secret.c.owner_id == f"{_SESSION}{owner}"
        self._db.execute(delete(key_secret).where(mine), idempotent=True)

    def _is_session(self, secret: str) -> ColumnElement[bool]:
        digests = self._hasher.digests(secret)
        return and_(key_secret.c.digest.in_(digests), key_secret.c.owner_id.startswith(_SESSION))

    def mark(self, text: str) -> str:
        """Return a keyed hash of ``text`` under the operator's secret."""
        return self._hasher.digest(text)

    def is_mark(self, mark: str, text: str) -> bool:
        """Tell whether ``mark`` is a hash of ``text`` under one of the operator's secrets."""
        data = mark.encode("utf-8", "surrogateescape")
        return any(hmac.compare_digest(data, one.encode()) for one in self._hasher.digests(text))

    def _row(self, secret: str, owner: str, until: float) -> dict[str, Any]:
        digest = self._hasher.digest(secret)
        return {"digest": digest, "owner_id": owner, "mark": self._hasher.marks[0], "until": until}
