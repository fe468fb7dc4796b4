"""The values that callers hand to the kept answers of `app.state.cache` and get from them."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from app.canonical.record import record


class Label(NamedTuple):
    """Whose an answer is: its name, the tenant and key that asked, the caller's own scope ("" for none), and the
    stored response that it came from. ``vector`` is that of its question, among those of ``meaning``."""

    id: str
    tenant: str
    key: str
    scope: str = ""
    response_id: str | None = None
    meaning: str | None = None
    vector: bytes | None = None


class Vector(NamedTuple):
    """The vector of a kept answer's question, and when it was made: a number that grows."""

    id: str
    made_at: float
    vector: bytes


class Found(NamedTuple):
    """The bytes of an answer, and the seconds that it has to live."""

    body: bytes
    seconds: float


@record
class Choice:
    """Which answers are meant: those that fit all that is given. ``key`` is a client key's name, or a scope."""

    tenant: str | None = None
    key: str | None = None
    id: str | None = None

    def shown(self) -> dict[str, str | None]:
        """Return what is given, as members."""
        return {"tenant": self.tenant, "key": self.key, "id": self.id}


def digest_of_scope(scope: str) -> str:
    """Return what is stored of a scope: 32 hexadecimal digits, "" for none."""
    return hashlib.sha256(scope.encode()).hexdigest()[:32] if scope else ""
