"""The connection to Redis. Nothing is retried, because every caller works without Redis too."""

from __future__ import annotations

from typing import Any, Final

_SECONDS: Final = 1.0


def connect(url: str, seconds: float = _SECONDS, *, text: bool = False) -> Any:
    """Return a client of the Redis at ``url``, which waits so long for a connection and for each answer.

    ``text``: values are text, else bytes. What it is asked raises ``redis.RedisError``."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    times = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
    return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), decode_responses=text, **times)
