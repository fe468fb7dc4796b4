"""Cached answers in Redis: a hash for each, which Redis deletes when its time is over.

``sluice:cache:answer:ID`` has the owner of the answer and its bytes, encrypted if the operator wants that;
``sluice:cache:response:ID`` names the answer of a stored response; ``sluice:cache:meaning:DIGEST``
sorts the answers whose questions may be compared, by a number that grows.

Tests: tests/governance/test_cache_of_many.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from app.errors import GatewayError
from app.gateway.redis_client import connect, leave_replica
from app.state.cache_records import CachedBody, CacheFilter, Label, Vector, digest_of_scope
from app.state.cipher import Cipher

_ANSWER: Final = "sluice:cache:answer:"
_RESPONSE: Final = "sluice:cache:response:"
_MEANING: Final = "sluice:cache:meaning:"
_COUNT: Final = "sluice:cache:count"
_AT_ONCE: Final = 500
_NEWEST: Final = 2_000  # vectors of a meaning
_OVERLAP: Final = 100  # answers that may be written after one of a greater number
_LONGEST: Final = 30 * 86_400  # seconds that any answer may live


class RedisStore:
    """The answers in the Redis at ``url``; ``cipher`` seals them. Raises ``store_unavailable``."""

    def __init__(self, url: str, cipher: Callable[[], Cipher]) -> None:
        self._redis = connect(url)
        self._cipher = cipher

    def get(self, name: str) -> CachedBody | None:
        """Return the answer of that name, None if there is none."""
        with self._translate_errors():
            pipeline = self._redis.pipeline(transaction=False)
            body, left = pipeline.hget(_ANSWER + name, "body").pttl(_ANSWER + name).execute()
        if body is None or left <= 0:
            return None
        return CachedBody(self._cipher().read(body), left / 1000)

    def put(self, label: Label, body: bytes, ttl: int) -> None:
        """Store an answer for ``ttl`` seconds; a later one replaces an earlier one."""
        place = _ANSWER + label.id
        members = {
            "tenant": label.tenant,
            "key": label.key,
            "scope": digest_of_scope(label.scope),
            "response_id": label.response_id or "",
            "body": self._cipher().write(body),
        }
        if label.vector is not None:
            members["vector"] = self._cipher().write(label.vector)
        with self._translate_errors():
            pipeline = self._redis.pipeline()
            if label.meaning is not None:
                place_of_meaning = _MEANING + label.meaning
                pipeline.zadd(place_of_meaning, {label.id: self._redis.incr(_COUNT)})
                pipeline.zremrangebyrank(place_of_meaning, 0, -1 - _NEWEST)
                pipeline.expire(place_of_meaning, _LONGEST)
            pipeline.hset(place, mapping=members)
            pipeline.expire(place, ttl)
            if label.response_id is not None:
                pipeline.set(_RESPONSE + label.response_id, label.id, ex=ttl)
            pipeline.execute()

    def vectors(self, meaning: str, after: float, most: int) -> list[Vector]:
        """Return the newest ``most`` vectors of a meaning, and of those few that were made before ``after``."""
        place = _MEANING + meaning
        with self._translate_errors():
            rows = self._redis.zrevrangebyscore(
                place, "+inf", after - _OVERLAP, start=0, num=most, withscores=True
            )
            pipeline = self._redis.pipeline(transaction=False)
            for name, _ in rows:
                pipeline.hget(_ANSWER + name.decode(), "vector")
            bodies = pipeline.execute() if rows else []
            over = [name for (name, _), body in zip(rows, bodies, strict=True) if body is None]
            if over:
                self._redis.zrem(place, *over)
        read = self._cipher().read
        return [
            Vector(name.decode(), number, read(body))
            for (name, number), body in zip(rows, bodies, strict=True)
            if body is not None
        ]

    def remove(self, name: str, response_id: str) -> None:
        """Delete one answer, if it is that of this stored response."""
        with self._translate_errors():
            if self._redis.hget(_ANSWER + name, "response_id") == response_id.encode():
                self._redis.unlink(_ANSWER + name)

    def remove_of(self, response_id: str) -> None:
        """Delete the answer of a stored response."""
        with self._translate_errors():
            name = self._redis.get(_RESPONSE + response_id)
            if name is not None:
                self.remove(name.decode(), response_id)
                self._redis.unlink(_RESPONSE + response_id)

    def clear(self, choice: CacheFilter) -> int:
        """Delete the answers that ``choice`` selects, some at a time; return how many."""
        with self._translate_errors():
            if choice.id is not None:
                return self._remove_matching([(_ANSWER + choice.id).encode()], choice)
            total, cursor = 0, 0
            while True:
                cursor, names = self._redis.scan(cursor, match=f"{_ANSWER}*", count=_AT_ONCE)
                total += self._remove_matching(names, choice)
                if not cursor:
                    return total

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _remove_matching(self, names: list[bytes], choice: CacheFilter) -> int:
        if names and (choice.tenant is not None or choice.key is not None):
            pipeline = self._redis.pipeline(transaction=False)
            for name in names:
                pipeline.hmget(name, "tenant", "key", "scope")
            names = [name for name, row in zip(names, pipeline.execute(), strict=True) if _fits(row, choice)]
        return int(self._redis.unlink(*names)) if names else 0

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Raise ``store_unavailable`` for an error of Redis."""
        from redis import RedisError

        try:
            with leave_replica(self._redis):
                yield
        except RedisError as error:
            raise GatewayError(
                "store_unavailable",
                "The cache is not available at the moment. Please try again.",
                raw=str(error),
            ) from error


def _fits(row: list[bytes | None], choice: CacheFilter) -> bool:
    tenant, key, scope = ((one or b"").decode() for one in row)
    if choice.tenant not in (None, tenant):
        return False
    return choice.key is None or choice.key == key or digest_of_scope(choice.key) == scope
