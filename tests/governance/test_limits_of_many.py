"""Limits that several processes keep together: races, killed processes, and Redis stopped, slow and back."""

from __future__ import annotations

import itertools
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import gevent
import pytest
import redis
from flask.testing import FlaskClient
from sqlalchemy import event
from sqlalchemy.engine import Engine

from app import create_app
from app.config_loading import load
from app.gateway import row_queue
from app.gateway.limits import gate
from tests.behaviour.world import CHAT_DONE, ROLE, Answer, chat_body, chat_text, received
from tests.counting_proxy import CountingProxy
from tests.governance.city import CHAT, PROMPT, City, good, keys, running_city
from tests.lifecycle.house import Client, children_of, eventually, kill
from tests.services import new_postgres, own_redis
from tests.traffic.replay import Reply, Request

HOUR = 'per = "hour"'
CROWD = 64
FREE, REFUSED = 200, 429


def slow(request: Request) -> Reply:
    """Answer after a while, so that a crowd is in the house at once."""
    return Reply.json(chat_body(), wait=0.5)


RACES = (
    keys(
        requests=f"{{ requests = 10, {HOUR} }}",
        tokens=f"{{ tokens = 10, {HOUR} }}",
        once="{ concurrent = 10 }",
        several=f"{{ requests = 100, {HOUR} }}, {{ concurrent = 10 }}, {{ tokens = 1000, {HOUR} }}",
        turns="{ concurrent = 1 }",
        free="",
    )
    + f"""
[keys.blue]
key = "sk-blue"
tenant = "blue"
[tenants.blue]
limits = [{{ requests = 10, {HOUR} }}]
[providers.groq]
limits = [{{ requests = 10, {HOUR}, models = "groq/narrow" }}]
[server]
limits = [{{ requests = 10, {HOUR}, models = "groq/gate" }}]
"""
)


@pytest.fixture(scope="module")
def together() -> Iterator[tuple[City, Any]]:
    """Two gateways of two workers each over PostgreSQL and Redis."""
    with new_postgres() as database, own_redis() as (url, _):
        env = {
            "DATABASE_URL": database,
            "REDIS_URL": url,
            "SLUICE_SECRET_KEY": "s",
            "SLUICE_LIMITS_FAIL": "closed",
        }
        with running_city(RACES, gateways=2, workers=2, env=env) as city, redis.Redis.from_url(url) as store:
            for _ in range(4):
                city.crowd(16, "free", model="groq/gate-warm")
            yield city, store


@pytest.fixture
def city(together: tuple[City, Any]) -> City:
    together[0].upstream.forget()
    together[0].upstream.script = slow
    return together[0]


def crowd(city: City, key: str, **members: Any) -> Counter[int]:
    """Send a crowd; who found Redis too slow (503, on a machine that is busy) comes again."""
    counted = city.crowd(CROWD, key, **members)
    while counted[503]:
        again = counted.pop(503)
        counted += city.crowd(again, key, **members)
    return counted


@pytest.mark.parametrize(
    ("key", "model"),
    [("requests", "groq/x"), ("blue", "groq/x"), ("free", "groq/gate"), ("free", "groq/narrow")],
    ids=["key", "tenant", "gateway", "provider"],
)
def test_of_a_crowd_at_the_last_units_no_more_than_the_limit_come_in(
    city: City, key: str, model: str
) -> None:
    counted = crowd(city, key, model=model)
    assert counted == {FREE: city.served, REFUSED: CROWD - city.served}
    assert city.served <= 10
    assert city.served == 10 or _redis_was_slow(city)  # then a charge may have come without its call
    assert crowd(city, key, model=model)[FREE] == 0  # charged to the last, however slow an answer was


def test_a_crowd_holds_no_more_places_than_there_are(city: City) -> None:
    counted = crowd(city, "once")
    assert counted[REFUSED] > 0
    assert _most_at_once(city) <= 10
    eventually(lambda: city.ask("once").status == FREE, 20)


def test_calls_in_turn_need_one_place(city: City) -> None:
    """The last byte of an answer comes before Redis hears that its place is free."""
    city.upstream.script = good
    assert not any(city.ask("turns", number % 2).status == REFUSED for number in range(60))


def test_a_crowd_is_charged_one_estimated_token_each(city: City) -> None:
    assert crowd(city, "tokens")[FREE] == city.served <= 10


def _redis_was_slow(city: City) -> bool:
    return any("Redis does not answer" in gateway.log for gateway in city.gateways)


def _most_at_once(city: City) -> int:
    """Return how many of the provider's answers of half a second overlapped at most."""
    moments = sorted(request.arrived for request in city.upstream.requests)
    return max(sum(1 for other in moments if 0 <= other - one < 0.5) for one in moments)


def test_a_killed_process_leaves_its_places_to_be_forgotten(together: tuple[City, Any]) -> None:
    city, store = together
    city.upstream.forget()
    body = ROLE + chat_text("first")
    city.upstream.script = lambda request: Reply.sse(body + CHAT_DONE, hang=len(body))
    (key,) = [name for name in _keys_of(store, "several") if b"concurrent" in name] or [_place("several")]
    open_calls: list[Any] = []
    while store.zcard(key) < 10:  # a Redis that a busy machine keeps waiting counts as away for a second
        assert len(open_calls) < 30
        connection = city.client("several", len(open_calls) % 2).open(
            "POST", CHAT, {**PROMPT, "stream": True}
        )
        open_calls.append(connection)
        assert connection.sock is not None
        with suppress(TimeoutError, OSError):
            received(connection.sock, b"first", 2)
    city.upstream.script = good
    eventually(lambda: city.ask("several").status == REFUSED)
    for gateway in city.gateways:
        for pid in children_of(gateway.process):
            kill(pid)
    for connection in open_calls:
        connection.close()
    now, _ = store.time()
    held = store.zrange(key, 0, -1, withscores=True)
    assert len(held) == 10
    assert all(until <= now + 16 for _, until in held)  # and nobody renews them
    for holder, until in held:  # so fifteen seconds later
        store.zadd(key, {holder: until - 16})
    eventually(lambda: _status(city, "several") == FREE)


def _status(city: City, key: str) -> int:
    """Return the status of a prompt, 0 while no worker is there."""
    try:
        return city.ask(key).status
    except OSError:
        return 0


def _place(key: str) -> bytes:
    return f"sluice:{{limits}}:key:red/{key}:concurrent::".encode()


def _keys_of(store: Any, key: str) -> list[bytes]:
    return [name for name in store.scan_iter("sluice:*") if f"red/{key}:".encode() in name]


def test_workers_without_redis_keep_their_shares() -> None:
    limits = keys(requests=f"{{ requests = 10, {HOUR} }}", last=f"{{ requests = 1, {HOUR} }}")
    with running_city(limits, workers=2) as city:
        counted = city.crowd(CROWD, "requests")
        assert counted[FREE] == city.served <= 10
        assert 1 <= city.crowd(CROWD, "last")[FREE] <= 2  # a share is at least 1
        assert "each of 2 workers keeps its share" in city.gateways[0].log


def test_workers_say_that_they_share_a_limit_that_was_added_later() -> None:
    env = {"SLUICE_MASTER_KEY": "sk-master", "SLUICE_SECRET_KEY": "s"}
    words = "of 2 workers keeps its share"
    with running_city("", workers=2, env=env) as city:
        members = {"name": "late", "tenant": "red", "limits": [{"requests": 100, "per": "day"}]}
        assert city.client("master").post("/admin/tenants", {"name": "red"}).status == 201
        key = city.client("master").post("/admin/keys", members).json["key"]
        client = Client(city.gateways[0].port, key)
        assert words not in city.gateways[0].log
        assert [client.post(CHAT, PROMPT).status for _ in range(9)] == [FREE] * 9
        eventually(lambda: 1 <= city.gateways[0].log.count(words) <= 2)  # once a process


@pytest.mark.parametrize(
    ("policy", "statuses"),
    [("share", [FREE, REFUSED]), ("open", [FREE, FREE]), ("closed", [503, 503])],
)
def test_a_redis_that_is_stopped_slow_and_back(policy: str, statuses: list[int]) -> None:
    limits = keys(ann=f"{{ requests = 1, {HOUR} }}", bob=f"{{ requests = 50, {HOUR} }}")
    with own_redis() as (url, process):
        env = {"REDIS_URL": url, "SLUICE_LIMITS_FAIL": policy, "SLUICE_METRICS": "on"}
        with running_city(limits, env=env) as city:
            eventually(lambda: city.ask("bob").headers.get("x-ratelimit-remaining-requests"))
            process.send_signal(signal.SIGSTOP)
            assert [city.ask("ann").status for _ in range(2)] == statuses
            closed = city.ask("bob")
            if policy == "closed":
                assert (closed.error["code"], closed.headers["retry-after"]) == ("overloaded", "1")
            assert "Redis does not answer" in city.gateways[0].log
            process.send_signal(signal.SIGCONT)
            eventually(lambda: "Redis answers again" in city.gateways[0].log or not city.ask("bob"))
            eventually(lambda: city.ask("ann").status in (FREE, REFUSED))
            process.kill()
            process.wait()
            gone = [city.ask("ann").status for _ in range(2)]
            assert gone[-1] == statuses[-1]
            page = city.client("bob").get("/metrics").body.decode()
            assert "sluice_limits_away_total 0.0" not in page
            assert "sluice_limits_away_total" in page


def test_a_redis_that_became_a_replica_is_left_for_the_one_that_has_its_name() -> None:
    config = keys(ann=f"{{ requests = 900, {HOUR} }}") + '[server]\ncache = { ttl = "5m" }\n'
    with own_redis() as (url, _), own_redis() as (other, _), redis.Redis.from_url(other) as master:
        proxy = CountingProxy(url, 6379)
        with running_city(config, env={"REDIS_URL": proxy.url}) as city:
            city.crowd(12, temperature=0.5)
            with redis.Redis.from_url(url) as replica:
                eventually(lambda: _keys_of(replica, "ann") or not city.ask())
                replica.replicaof("127.0.0.1", 1)
            proxy.lead_to(other)
            numbers = itertools.count()
            for name in ("sluice:{limits}:*", "sluice:cache:answer:*"):
                eventually(
                    lambda name=name: (
                        master.keys(name) or not city.ask(user=str(next(numbers)), seed=next(numbers))
                    )
                )
        proxy.close()


def test_the_share_of_a_process_has_what_it_was_admitted_before_redis_stopped() -> None:
    limits = keys(
        ann=f"{{ requests = 4, {HOUR} }}, {{ tokens = 24, {HOUR} }}", bob=f"{{ requests = 6, {HOUR} }}"
    )
    with own_redis() as (url, process), running_city(limits, env={"REDIS_URL": url}) as city:
        eventually(lambda: _left(city.ask("bob")))
        assert [_left(city.ask("ann")) for _ in range(3)] == ["3", "2", "1"]  # of five tokens each
        process.kill()
        process.wait()
        assert [city.ask("ann").status for _ in range(2)] == [FREE, REFUSED]
        assert "Redis does not answer" in city.gateways[0].log


def _left(answer: Answer) -> str | None:
    return answer.headers.get("x-ratelimit-remaining-requests")


def test_what_ends_while_redis_does_not_answer_is_charged_when_it_does() -> None:
    """A call that is over waits for nobody, so Redis hears of its tokens, and that its place is free."""
    limits = keys(ann=f"{{ tokens = 1000, {HOUR} }}, {{ concurrent = 1 }}", bob=f"{{ requests = 9, {HOUR} }}")
    begun, over = threading.Event(), threading.Event()

    def held(request: Request) -> Reply:
        begun.set()
        over.wait(30)
        return good(request)

    with own_redis() as (url, process), running_city(limits, env={"REDIS_URL": url}, script=held) as city:
        store = redis.Redis.from_url(url)

        def used() -> int:
            return sum(sum(map(int, store.hvals(name))) for name in store.keys("*ann:tokens*"))

        def admitted() -> Any:
            """Return a call that runs and is known to Redis; None where that was too slow for it."""
            begun.clear()
            over.clear()
            running = gevent.spawn(city.ask)
            assert begun.wait(20)
            if store.keys("*ann:concurrent*"):
                return running
            over.set()
            return running.get(timeout=20) and None

        running, before = eventually(admitted), used()
        process.send_signal(signal.SIGSTOP)
        client = city.client(
            "bob"
        )  # who finds that Redis does not answer, so that nobody asks it for a second
        assert client.get("/v1/key").status == FREE
        over.set()
        assert running.get(timeout=20).status == FREE
        process.send_signal(signal.SIGCONT)
        eventually(lambda: used() == before + 4)  # of five one was estimated
        assert not store.keys("*ann:concurrent*")


def test_a_call_without_limits_asks_neither_redis_nor_the_database(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "WAIT", 10)  # a busy machine takes longer than 50 ms
    monkeypatch.setattr(row_queue, "_GATHER", 3_600)  # and longer than rows of the log wait for others
    config = tmp_path / "sluice.toml"
    config.write_text(keys(free="", bob=f"{{ requests = 5, {HOUR} }}"))
    statements: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        if "FROM revision" not in statement:  # the look for changed keys, by the clock
            statements.append(statement)

    with own_redis() as (url, _), redis.Redis.from_url(url) as store:
        database = f"sqlite:///{tmp_path / 'sluice.db'}"
        environ = {"SLUICE_CONFIG": str(config), "REDIS_URL": url, "DATABASE_URL": database}
        app = create_app(load(environ))
        event.listen(Engine, "before_cursor_execute", note)
        try:
            assert _remaining(app.test_client(), "free") is None
            assert (_scripts_run(store), statements) == (0, [])
            assert _remaining(app.test_client(), "bob") == "4"
            assert (_scripts_run(store), statements) == (2, [])  # the script was not known at first
            assert _remaining(app.test_client(), "bob") == "3"
            assert (_scripts_run(store), statements) == (3, [])  # one at admission, none at the end
        finally:
            event.remove(Engine, "before_cursor_execute", note)


def _remaining(client: FlaskClient, key: str) -> str | None:
    body = {**PROMPT, "model": "sandbox/echo"}
    answer = client.post(CHAT, json=body, headers={"authorization": f"Bearer sk-{key}"})
    assert answer.status_code == FREE, answer.text
    gevent.sleep(0)
    return answer.headers.get("x-ratelimit-remaining-requests")


def test_redis_knows_the_script_before_the_first_call() -> None:
    with own_redis() as (url, _), redis.Redis.from_url(url) as store:
        with running_city(keys(bob=f"{{ requests = 5, {HOUR} }}"), env={"REDIS_URL": url}) as city:
            eventually(lambda: _scripts_run(store))
            assert store.keys("sluice:*limits*") == []
            assert city.client("bob").get("/v1/key").json["limits"][0]["remaining"] == 5


def _scripts_run(store: Any) -> int:
    told = store.info("commandstats").get("cmdstat_evalsha", {})
    return int(told.get("calls", 0)) + int(told.get("rejected_calls", 0))
