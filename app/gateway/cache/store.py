"""Where cached answers are: in the memory of this process, and in a store that all processes share.

That is Redis if there is one, else the database. A question to it that takes longer than ``WAIT`` seconds, or fails, is
a miss; after a failure, or several slow answers in a row, it is left alone for a second. When an administrator deletes
answers, in whatever process, the memory is cleared: by NOTIFY, else by polling one number.

Tests: tests/governance/test_cache_of_many.py.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import gevent
from gevent.pool import Pool

from app.config import Settings
from app.errors import GatewayError
from app.gateway.cache.memory import Entry, Memory
from app.gateway.cache.records import bytes_of, entry_of_bytes
from app.gateway.cache.redis_store import RedisStore
from app.gateway.cache.semantics import Meaning
from app.gateway.cache.vectors import NEAREST, NEWEST, Vectors, pack, round_cosine
from app.state.cache_records import CachedBody, CacheFilter, Label, Vector
from app.state.cipher import Cipher, Unreadable
from app.state.loops import Watch
from app.state.wakeups import CACHE
from app.wire.offload import aside

if TYPE_CHECKING:
    from app.state.audit import Actor
    from app.state.state import State


WAIT: Final = 0.05
"""Seconds that a call waits for the shared store."""

_AWAY: Final = 1.0  # seconds without requests after a failure
_SLOW: Final = 3  # slow answers in a row that count as a failure
_OPENING: Final = (
    5.0  # seconds after the first question in which the store may still be opening, which is not slow
)
_ASKING: Final = 16  # questions at once, fewer than the database has connections
_LOOK_SECONDS: Final = 0.5
_LAST_WRITES: Final = 1.0
_LOG: Final = logging.getLogger(__name__)

T = TypeVar("T")


class _Shared(Protocol):
    def get(self, name: str) -> CachedBody | None: ...

    def put(self, label: Label, body: bytes, ttl: int) -> None: ...

    def vectors(self, meaning: str, after: float, most: int) -> list[Vector]: ...

    def remove(self, name: str, response_id: str) -> None: ...

    def clear(self, choice: CacheFilter) -> int: ...


class CacheStore:
    """The cached answers. ``state`` opens the database."""

    def __init__(self, settings: Settings, state: Callable[[], State]) -> None:
        self._url = settings.redis_url
        self._state = state
        self._memory = Memory()
        self._vectors = Vectors()
        self._redis: RedisStore | None = None
        self._asking = Pool(_ASKING)
        self._away_until = 0.0
        self._is_away = False
        self._slow = 0
        self._opens_until: float | None = None
        self._revision: int | None = None
        self._watch = Watch(
            lambda: state().db,
            CACHE,
            self._check_revision,
            _LOOK_SECONDS,
            "cannot look whether the cache was emptied",
        )

    def use(self) -> None:
        """Prepare for calls, because a cache is configured."""
        if self._url is not None:
            self._redis = RedisStore(self._url, self._cipher)  # connects at its first use

    def find(self, name: str) -> Entry | None:
        """Return the answer of that name, None if there is none."""
        if self._watch.start():  # so that no deleted answer stays in memory
            self._ask(self._check_revision)  # or the first look would empty what the first call left there
        entry = self._memory.get(name)
        if entry is not None:
            return entry
        number = self._revision
        cached = self._ask(lambda: self._shared.get(name))
        entry = None if cached is None else _read(cached.body)
        if cached is None or entry is None or entry.id != name:
            return None
        if number == self._revision:  # else it may have been deleted since
            self._memory.put(entry, cached.seconds)
        return entry

    def put(self, entry: Entry, label: Label, ttl: int, meaning: Meaning | None = None) -> None:
        """Store an answer for ``ttl`` seconds, unless it is too large; with ``meaning``, also for similar requests."""
        if not self._memory.put(entry, ttl):
            return
        vector = None if meaning is None else pack(meaning.vector)
        if meaning is not None and vector is not None:
            self._vectors.add(meaning.group, entry.id, meaning.vector)
            label = label._replace(meaning=meaning.group, vector=vector)
        try:
            body = aside(len(entry.body), lambda: bytes_of(entry))
        except (TypeError, ValueError):
            _LOG.exception("an answer cannot be shared with other processes")
            return
        self._ask(lambda: self._shared.put(label, body, ttl))

    def similar(self, meaning: Meaning, least: float) -> Iterator[tuple[Entry, float]]:
        """Yield the few answers whose questions are most similar, with their cosines, which are at least ``least``."""
        group = meaning.group
        names = self._ask(lambda: self._similar_names(meaning, least))
        if names is None:  # a late answer serves the next call
            names = self._vectors.near(group, meaning.vector, least)
        for name, cosine in names:
            entry = self.find(name)
            if entry is not None:
                yield entry, cosine
            else:
                self._vectors.drop(group, name)

    def _similar_names(self, meaning: Meaning, least: float) -> list[tuple[str, float]]:
        """Return the nearest answers: by the database if it compares, else here, with the new vectors of other processes."""
        group = meaning.group
        if self._redis is None and self._state().answers.compares():
            vector = pack(meaning.vector)
            nearest = [] if vector is None else self._state().answers.nearest(group, vector, NEWEST, NEAREST)
            names = [(name, round_cosine(cosine)) for name, cosine in nearest]
            return [(name, cosine) for name, cosine in names if cosine >= least]
        self._vectors.learn(group, self._shared.vectors(group, self._vectors.newest(group), NEWEST))
        return self._vectors.near(group, meaning.vector, least)

    def holds(self, name: str) -> bool:
        """Tell whether this process has an answer of that name."""
        return self._memory.get(name) is not None

    def drop(self, name: str, response_id: str) -> Entry | None:
        """Delete an answer whose response is gone; return one that another process has stored since."""
        self._memory.drop(name)
        entry = self.find(name)
        if entry is None or entry.response_id != response_id:
            return entry
        self._memory.drop(name)
        self._ask(lambda: self._shared.remove(name, response_id))
        return None

    def forget_response(self, response_id: str) -> None:
        """Delete the answer of a stored response from Redis; the database deletes it with the response."""
        redis = self._redis
        if redis is not None:
            self._ask(lambda: redis.remove_of(response_id))

    def clear(self, actor: Actor, choice: CacheFilter) -> int:
        """Delete the answers that ``choice`` selects, in every process; return how many were shared.

        Raises ``store_unavailable``."""
        answers = self._state().answers
        total = answers.clear(choice)
        if self._url is not None:
            total += self._redis_store().clear(choice)
        answers.note_cleared(actor, choice, total)
        self._memory.clear()
        self._vectors.clear()
        return total

    def drop_tenant(self, tenant: str) -> None:
        """Delete what Redis has of a tenant, some at a time; the purge and the memories do the rest.

        Raises ``store_unavailable``."""
        if self._url is not None:
            self._redis_store().clear(CacheFilter(tenant=tenant))

    def drop_tenant_soon(self, tenant: str) -> None:
        """Delete the answers of a deleted tenant in the background; the purge deletes what this does not."""
        gevent.spawn(self._drop_entries, tenant)

    def make_room_for(self, tenant: str) -> None:
        """Delete what is left of a former tenant of this name, before there is one again.

        Raises ``store_unavailable``."""
        state = self._state()
        if state.tenants.is_gone(tenant):
            state.answers.clear(CacheFilter(tenant=tenant))
            self.drop_tenant(tenant)

    def _drop_entries(self, tenant: str) -> None:
        try:
            self._state().answers.clear(CacheFilter(tenant=tenant))
            self.drop_tenant(tenant)
        except GatewayError as error:
            _LOG.warning("the sweep will delete what is kept of '%s': %s", tenant, error.raw or error.message)

    def _redis_store(self) -> RedisStore:
        """Return the answers in Redis, also if no cache is configured."""
        self._redis = self._redis or RedisStore(self._url or "", self._cipher)
        return self._redis

    def close(self) -> None:
        """Wait for the last writes, and close the connections to Redis."""
        self._watch.stop()
        self._asking.join(_LAST_WRITES)
        if self._redis is not None:
            self._redis.close()

    def _cipher(self) -> Cipher:
        return self._state().cipher

    @property
    def _shared(self) -> _Shared:
        return self._redis or self._state().answers

    def _ask(self, ask: Callable[[], T]) -> T | None:
        """Return the answer of the shared store; None if it is slow, away, or has none."""
        started = time.monotonic()
        if self._opens_until is None:
            self._opens_until = started + _OPENING
        if started < self._away_until:
            return None
        asking: gevent.Greenlet[..., tuple[T | None, str | None]] | None = None
        if self._asking.wait_available(WAIT):
            asking = self._asking.spawn(_attempt, ask)
            asking.join(max(0.0, started + WAIT - time.monotonic()))
        if asking is None or not asking.ready():
            self._slow += started >= self._opens_until
            if self._slow >= _SLOW:
                self._note_away(f"no answer within {WAIT * 1000:g} ms")
            return None
        answer, failure = asking.value or (None, None)
        if failure is not None:
            self._note_away(failure)
            return None
        self._slow = 0
        self._opens_until = started
        if self._is_away:
            self._is_away = False
            _LOG.warning("the shared cache answers again")
        return answer

    def _note_away(self, reason: str) -> None:
        self._slow = 0
        self._away_until = time.monotonic() + _AWAY
        if not self._is_away:
            self._is_away = True
            _LOG.warning("the shared cache does not answer, so what it keeps is a miss: %s", reason)

    def _check_revision(self) -> None:
        number = self._state().answers.revision()
        if number != self._revision:
            self._revision = number
            self._memory.clear()
            self._vectors.clear()


def _attempt(ask: Callable[[], T]) -> tuple[T | None, str | None]:
    """Return the answer, None for one that cannot be decrypted; and why the question failed, None if it did not."""
    try:
        return ask(), None
    except Unreadable as error:
        _LOG.warning("the shared cache holds an answer that cannot be read: %s", error.raw)
        return None, None
    except GatewayError as error:
        return None, str(error.raw or error.message)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the cache, the call continues without it
        _LOG.exception("a question to the shared cache failed")
        return None, str(error)


def _read(body: bytes) -> Entry | None:
    try:
        return aside(len(body), lambda: entry_of_bytes(body))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        _LOG.warning("the shared cache holds an answer that cannot be read: %s", error)
        return None
