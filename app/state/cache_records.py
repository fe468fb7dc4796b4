"""The values that callers pass to the cached answers of `app.state.cache` and get from them."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from app.canonical.record import record


class Label(NamedTuple):
    """Where a cached answer belongs: its name, the tenant and key of the call, the caller's own scope ("" for none), and
    the stored response that it came from. ``vector`` is that of the question; only vectors with the same ``meaning`` are
    compared."""

    id: str
    tenant: str
    key: str
    scope: str = ""
    response_id: str | None = None
    meaning: str | None = None
    vector: bytes | None = None


class Vector(NamedTuple):
    """The vector of a cached answer's question, and when it was stored, in Unix seconds."""

    id: str
    made_at: float
    vector: bytes


class CachedBody(NamedTuple):
    """The bytes of a cached answer, and the seconds until it expires."""

    body: bytes
    seconds: float


@record
class CacheFilter:
    """Cached answers that fit every member that is not None; ``key`` is the name of a client key, or a scope."""

    tenant: str | None = None
    key: str | None = None
    id: str | None = None

    def members(self) -> dict[str, str | None]:
        """Return the filter as an administrator sees it."""
        return {"tenant": self.tenant, "key": self.key, "id": self.id}


def digest_of_scope(scope: str) -> str:
    """Return the digest that is stored for a scope: 32 hexadecimal digits; "" for none."""
    return hashlib.sha256(scope.encode()).hexdigest()[:32] if scope else ""
