"""What a call costs in round trips to PostgreSQL and Redis, BEGIN and COMMIT among them, counted on the wire.

Before the upstream hears of a call: at most one to each. After it: one each, while nobody waits. The rows of the call log and
of the ledger go out in batches, each a transaction of many calls.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, NamedTuple

import gevent
import pytest

from tests.behaviour.world import chat_body
from tests.counting_proxy import CountingProxy, Trip, counting_proxy
from tests.governance.city import City, running_city
from tests.services import new_postgres, own_redis
from tests.traffic.replay import Reply, Request

LIMITS = (
    'limits = [{ requests = 1000, per = "minute" }, { tokens = 100000, per = "minute" }, { concurrent = 9 }]'
)
BUDGETS = 'budgets = [{ usd = 90, per = "day" }, { usd = 90, per = "total" }]'
CONFIG = f"""
[server]
budgets = []
[tenants.red]
[tenants.blue]
{BUDGETS}
[keys.bare]
key = "sk-bare"
tenant = "red"
[keys.limited]
key = "sk-limited"
tenant = "red"
{LIMITS}
[keys.budgeted]
key = "sk-budgeted"
tenant = "blue"
{BUDGETS}
[keys.both]
key = "sk-both"
tenant = "blue"
{LIMITS}
{BUDGETS}
[models.kept]
target = "groq/x"
cache = {{ ttl = "1h" }}
[providers.groq.prices]
x = {{ input = 1, output = 1 }}
"""
CALLS = 5


@dataclass
class Wires:
    """Two gateways with a proxy before each store, and how many trips there were each time that the upstream was asked."""

    city: City
    postgres: CountingProxy
    redis: CountingProxy
    asked: list[tuple[int, int]]

    @property
    def trips(self) -> tuple[int, int]:
        return len(self.postgres.trips), len(self.redis.trips)

    def calls(self, key: str, gateway: int = 0, **members: Any) -> Counted:
        """Make some calls, each with another temperature, and wait until all of them is written."""
        before, first = [], self.trips
        for number in range(CALLS):
            begin = self.trips
            self.asked.clear()
            answer = self.city.ask(key, gateway, temperature=number / 10, **members)
            assert answer.status == 200, answer.text
            end = self.asked[0] if self.asked else self.trips
            sent = of_calls(self.postgres.trips[begin[0] : end[0]]), self.redis.trips[begin[1] : end[1]]
            before.append((_count(sent[0]), _count([[trip.sent] for trip in sent[1]])))
        self.settle()
        redis = [trip for trip in self.redis.trips[first[1] :] if b"renew" not in trip.sent]
        return Counted(min(before), self.postgres.trips[first[0] :], redis, len(self.asked))

    def settle(self) -> None:
        """Wait until rows that were gathered are written."""
        seen = -1
        while seen != (seen := sum(map(len, of_batches(self.postgres.trips)))):
            gevent.sleep(0.6)


class Counted(NamedTuple):
    """The fewest trips to PostgreSQL and to Redis that a call made before the upstream was asked (chance may add to those of
    one); all trips in the time of these calls; and whether the last one went upstream."""

    before: tuple[int, int]
    postgres: list[Trip]
    redis: list[Trip]
    asked: int


def _wires(stack: ExitStack, *, shares_redis: bool = True, log: str = "on") -> Wires:
    database = stack.enter_context(new_postgres())
    url, _ = stack.enter_context(own_redis())
    postgres = stack.enter_context(counting_proxy(database, 5432))
    redis = stack.enter_context(counting_proxy(url, 6379))
    asked: list[tuple[int, int]] = []

    def script(request: Request) -> Reply:
        asked.append((len(postgres.trips), len(redis.trips)))
        return Reply.json(chat_body())

    env = {"DATABASE_URL": postgres.url, "SLUICE_SECRET_KEY": "s", "SLUICE_CALL_LOG": log}
    if shares_redis:
        env["REDIS_URL"] = redis.url
    city = stack.enter_context(running_city(CONFIG, gateways=2, env=env, script=script))
    found = Wires(city, postgres, redis, asked)
    for key in (
        "bare",
        "limited",
        "budgeted",
        "both",
    ):  # connections, scripts, and the rows of the budgets' periods
        for gateway in range(2):
            assert [city.ask(key, gateway, model=name).status for name in ("groq/x", "kept")] == [200, 200]
    found.settle()
    return found


@pytest.fixture(scope="module")
def wires() -> Iterator[Wires]:
    with ExitStack() as stack:
        yield _wires(stack)


_BACKGROUND = (
    b"FROM response",
    b"FROM batch",
    b"FROM revision",
    b"UPDATE reservation",
    b"SELECT budget.used_at",
    b"WITH added AS",
    b"UPDATE budget SET owner",
    b"SELECT budget.id",
    b"reservation.lease_until <",
)
"""What is looked for now and then, whoever calls."""
_BATCHED = (b"INSERT INTO call_log ", b"INSERT INTO ledger ")


def works(trips: list[Trip]) -> list[list[bytes]]:
    """Return what was sent as one piece of work each: a trip, or those of a transaction from BEGIN to COMMIT."""
    running: dict[int, list[bytes]] = {}
    found = []
    for trip in trips:
        work = running.setdefault(trip.connection, [])
        work.append(trip.sent)
        ends = re.search(rb"COMMIT|ROLLBACK", trip.sent[:64])
        if b"BEGIN" not in work[0][:64] or ends:
            found.append(running.pop(trip.connection))
            if ends and len(work) == 1:  # it began before the first of ``trips``
                found.pop()
    return [work for work in found if not any(word in b"".join(work) for word in _BACKGROUND)]


def of_calls(trips: list[Trip]) -> list[list[bytes]]:
    """Return the work that is done for each call by itself."""
    return [work for work in works(trips) if not any(word in b"".join(work[1:]) for word in _BATCHED)]


def _count(works: list[list[bytes]]) -> int:
    """Return how many trips are in some pieces of work, but for what the call before does at its end."""
    return sum(len(work) for work in works if not any(word in work[0] for word in (b"settle", b"WITH gone")))


def of_batches(trips: list[Trip]) -> list[list[bytes]]:
    """Return the work that is done for many calls at once."""
    return [work for work in works(trips) if any(word in b"".join(work[1:]) for word in _BATCHED)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "before", "after"),
    [
        ("bare", (0, 0), (0, 0)),
        ("limited", (0, 1), (0, 1)),
        ("budgeted", (1, 0), (1, 0)),
        ("both", (1, 1), (1, 1)),
    ],
)
def test_a_call_makes_one_round_trip_to_each_store_before_the_upstream_and_one_after(
    wires: Wires, key: str, before: tuple[int, int], after: tuple[int, int]
) -> None:
    counted = wires.calls(key)
    assert counted.before == before
    work = of_calls(counted.postgres)
    assert [len(one) for one in work] == [1] * CALLS * (before[0] + after[0]), work
    assert len(counted.redis) == CALLS * (before[1] + after[1])


@pytest.mark.slow
def test_the_rows_of_many_calls_are_one_piece_of_work(wires: Wires) -> None:
    first = wires.trips[0]
    assert wires.city.crowd(60, "bare") == {200: 60}
    wires.settle()
    batches = of_batches(wires.postgres.trips[first:])
    assert 0 < sum(map(len, batches)) < 60, batches


@pytest.mark.slow
def test_without_a_log_a_call_that_uses_nothing_sends_nothing() -> None:
    with ExitStack() as stack:
        counted = _wires(stack, log="off").calls("bare")
    assert (counted.before, works(counted.postgres), counted.redis) == ((0, 0), [], [])


@pytest.mark.slow
@pytest.mark.parametrize("shares_redis", [True, False], ids=["redis", "postgresql"])
def test_a_cached_answer_of_another_process_is_one_round_trip_and_one_of_our_own_none(
    shares_redis: bool,
) -> None:
    with ExitStack() as stack:
        wires = _wires(stack, shares_redis=shares_redis)
        kept = wires.calls("bare", model="kept")
        others = wires.calls("bare", 1, model="kept")
        own = wires.calls("bare", 1, model="kept")
    one = (0, 1) if shares_redis else (1, 0)
    assert (kept.before, others.before, own.before) == (one, one, (0, 0))
    assert (kept.asked, others.asked, own.asked) == (1, 0, 0)
    assert (of_calls(own.postgres), own.redis) == ([], [])
