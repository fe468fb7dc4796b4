"""The connection to Redis. Nothing is retried, because every caller works without Redis too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

_SECONDS: Final = 1.0
_MOST: Final = 16
"""Connections of a client. To open one costs as much as ten requests on it, so a crowd waits for those there are."""


def connect(url: str, seconds: float = _SECONDS, *, text: bool = False) -> Any:
    """Return a client of the Redis at ``url``, which waits so long for a connection and for each answer.

    ``text``: values are text, else bytes. What it is asked raises ``redis.RedisError``."""
    import redis
    from redis.backoff import NoBackoff
    from redis.maint_notifications import MaintNotificationsConfig
    from redis.retry import Retry

    pool = redis.BlockingConnectionPool.from_url(
        url,
        max_connections=_MOST,
        timeout=seconds,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=Retry(NoBackoff(), 0),
        decode_responses=text,
        driver_info=None,  # this and the next line save three round trips for each connection
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    return redis.Redis.from_pool(pool)


@contextmanager
def leave_replica(client: Any) -> Iterator[None]:
    """Close the idle connections to a server that became a replica and takes no writes: after a fail-over, its name leads
    new connections to the new master."""
    from redis import ReadOnlyError

    try:
        yield
    except ReadOnlyError:
        client.connection_pool.disconnect(inuse_connections=False)
        raise
