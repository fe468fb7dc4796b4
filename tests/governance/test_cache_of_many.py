"""Answers that all processes share: over the database and over Redis, emptied, sealed, slow and away."""

from __future__ import annotations

import itertools
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import wraps
from typing import Any

import gevent
import psycopg
import pytest
import redis
from flask.testing import FlaskClient
from sqlalchemy import event
from sqlalchemy.engine import Engine

from app import create_app
from app.config_loading import load
from tests.governance.city import CHAT, PROMPT, City, good, keys, running_city
from tests.governance.test_cache import ask_about, cached
from tests.lifecycle.house import Client, eventually, text_of
from tests.services import new_postgres, own_redis

CONFIG = (
    keys(ann="", bob="")
    + """
[keys.blue]
key = "sk-blue"
tenant = "blue"
[server]
cache = { ttl = "5m" }
[models."like"]
target = "groq/x"
cache = { ttl = "5m", semantic = { model = "sandbox/embedding", threshold = 0.6 } }
"""
)


PATIENCE = 60.0
AWAY = "the shared cache does not answer"


def patient(test: Callable[..., None]) -> Callable[..., None]:
    """Try a test anew over an empty cache: on a busy machine an answer may come later than the 50 ms that a call waits."""

    @wraps(test)
    def run(town: Town, **more: Any) -> None:
        limit = time.monotonic() + PATIENCE
        while time.monotonic() < limit:
            try:
                return test(town=town, **more)
            except (AssertionError, TimeoutError):
                cleared(town.city)
                gevent.sleep(1)  # by then every process has heard of it
                town.city.upstream.forget()
        return test(town=town, **more)

    return run


class Town:
    """Two gateways over one database, and one Redis or none."""

    def __init__(self, city: City, database: str, store: Any) -> None:
        self.city = city
        self.database = database
        self.store = store

    def stored_bytes(self) -> bytes:
        """Return all that is kept outside the processes, as it lies there."""
        if self.store is not None:
            rows = [self.store.hgetall(name) for name in self.store.scan_iter("sluice:cache:answer:*")]
            return b"".join(key + value for row in rows for key, value in row.items())
        with psycopg.connect(self.database) as connection:
            rows = connection.execute("SELECT body FROM cached_answer").fetchall()
        return b"".join(bytes(row[0]) for row in rows)


@pytest.fixture(scope="module", params=["database", "redis"])
def running(request: pytest.FixtureRequest) -> Iterator[Town]:
    with ExitStack() as stack:
        database = stack.enter_context(new_postgres())
        env = {
            "DATABASE_URL": database,
            "SLUICE_SECRET_KEY": "s",
            "SLUICE_MASTER_KEY": "sk-master",
            "SLUICE_ENCRYPT": "on",
        }
        store = None
        if request.param == "redis":
            env["REDIS_URL"], _ = stack.enter_context(own_redis())
            store = stack.enter_context(redis.Redis.from_url(env["REDIS_URL"]))
        city = stack.enter_context(running_city(CONFIG, gateways=2, env=env))
        for gateway in range(2):  # opens what is opened at first use
            eventually(lambda: settled(city, gateway))  # noqa: B023 - asked at once
        yield Town(city, database, store)


def settled(city: City, gateway: int) -> bool:
    """Tell whether a gateway finds what it kept after its own memory is gone."""
    words = f"settle {gateway} {time.monotonic()}"
    ask(city, 1 - gateway, words)
    return cached(ask(city, gateway, words)) == ["hit"]


@pytest.fixture
def town(running: Town) -> Town:
    running.city.upstream.forget()
    running.city.upstream.script = good
    return running


def ask(city: City, gateway: int, words: str, key: str = "ann", **more: Any) -> Any:
    body = {**PROMPT, "messages": [{"role": "user", "content": words}], **more}
    headers = body.pop("headers", {})
    return city.client(key, gateway).send("POST", CHAT, body, headers=headers)


def cleared(city: City, query: str = "") -> int:
    answer = city.client("master").send("DELETE", f"/admin/cache{query}")
    assert answer.status == 200, answer.body
    assert answer.json["object"] == "cache.deleted"
    assert answer.json["deleted"] is True
    entries: int = answer.json["entries"]
    return entries


@patient
def test_what_one_process_was_told_all_know(town: Town) -> None:
    city = town.city
    answers = [ask(city, 0, "shared"), ask(city, 1, "shared"), ask(city, 1, "shared", stream=True)]
    assert cached(*answers) == ["miss", "hit", "hit"]
    assert city.served == 1
    assert answers[1].json["choices"] == answers[0].json["choices"]
    assert answers[1].json["id"] != answers[0].json["id"]
    assert b"good" in answers[2].body


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@patient
def test_a_responses_turn_is_shared_and_goes_with_its_response(town: Town, stream: bool) -> None:
    city, body = town.city, {"model": "groq/x", "input": f"turn {stream}"}
    first = city.client(gateway=0).send("POST", "/v1/responses", {**body, "metadata": {"a": "1"}})
    second = city.client(gateway=1).send("POST", "/v1/responses", {**body, "stream": stream})
    assert cached(first, second) == ["miss", "hit"]
    assert text_of(first.json).encode() in second.body
    assert b'"a"' not in second.body
    before = len(town.stored_bytes())
    assert city.client(gateway=1).send("DELETE", f"/v1/responses/{first.json['id']}").status == 200
    assert len(town.stored_bytes()) < before
    again = [city.client(gateway=gateway).send("POST", "/v1/responses", body) for gateway in range(2)]
    assert cached(*again) == ["miss", "hit"]


@patient
def test_a_like_question_is_answered_by_another_process(town: Town) -> None:
    city = town.city
    words = ["What is the capital city of France?", "What is the capital city of France please?"]
    first, second = (ask(city, gateway, words[gateway], model="like") for gateway in range(2))
    assert cached(first, second) == ["miss", "hit"]
    assert second.json["extra_fields"]["cache_debug"]["hit_type"] == "semantic"
    again = [ask(city, gateway, f"{words[1]} Tell", model="like") for gateway in range(2)]
    assert cached(*again) == ["hit", "hit"]
    assert cleared(city) >= 1
    gevent.sleep(1)
    assert cached(ask(city, 1, words[1], model="like")) == ["miss"]


@patient
def test_no_tenant_gets_the_answer_of_another(town: Town) -> None:
    city = town.city
    answers = [ask(city, 0, "whose"), ask(city, 1, "whose", "bob"), ask(city, 1, "whose", "blue")]
    assert cached(*answers) == ["miss", "hit", "miss"]


def test_the_time_to_live_is_counted_from_the_first(town: Town) -> None:
    city, brief = town.city, {"x-bf-cache-ttl": "2"}
    assert cached(ask(city, 0, "brief", headers=brief)) == ["miss"]
    gevent.sleep(1)
    ask(city, 1, "brief")
    gevent.sleep(1.2)
    assert cached(ask(city, 1, "brief")) == ["miss"]


def test_what_is_kept_is_sealed(town: Town) -> None:
    body = {"messages": [{"role": "user", "content": "say exactly: a very private word"}]}
    answer = town.city.client().send("POST", CHAT, {"model": "sandbox/echo", **body})
    assert b"very private" in answer.body
    assert town.stored_bytes()
    assert b"very private" not in town.stored_bytes()


def test_an_emptied_cache_is_empty_in_every_process(town: Town) -> None:
    city = town.city
    for gateway in (0, 1):
        ask(city, gateway, "to be emptied")
    assert cleared(city) >= 1
    assert town.stored_bytes() == b""
    eventually(lambda: cached(ask(city, 1, "to be emptied")) == ["miss"])
    eventually(lambda: cached(ask(city, 1, "to be emptied")) == ["hit"])


@pytest.mark.parametrize(
    ("query", "gone"),
    [
        ("?tenant=blue", ["c"]),
        ("?key=bob", ["b"]),
        ("?key=mine", ["d"]),
        ("?tenant=red&key=mine", ["d"]),
        ("?tenant=blue&key=mine", []),
        ("?tenant=nobody", []),
    ],
)
@patient
def test_a_part_of_the_cache_is_emptied(town: Town, query: str, gone: list[str]) -> None:
    city = town.city
    cleared(city)
    eventually(lambda: not town.stored_bytes())
    made = {"a": ("ann", {}), "b": ("bob", {}), "c": ("blue", {}), "d": ("ann", {"x-bf-cache-key": "mine"})}

    def answers(name: str, word: str) -> bool:
        key, headers = made[name]
        return cached(ask(city, 1, f"part {name} {query}", key, headers=headers)) == [word]

    for name in made:
        eventually(lambda: answers(name, "hit"), 10)  # noqa: B023 - asked at once
    assert (kept_of(town, "red"), kept_of(town, "blue")) == (3, 1)
    assert cleared(city, query) == len(gone)  # as many as these, and these
    for name in gone:
        eventually(lambda: answers(name, "miss"), 10)  # noqa: B023 - asked at once


@patient
def test_one_answer_is_taken_away_by_its_id(town: Town) -> None:
    city = town.city
    name = ask(city, 0, "by id").json["extra_fields"]["cache_debug"]["cache_id"]
    assert cleared(city, f"?id={name}") == 1
    assert cleared(city, f"?id={name}") == 0
    assert cached(ask(city, 0, "by id")) == ["miss"]
    row = city.client("master").send("GET", "/admin/audit?limit=1").json["data"][0]
    assert (row["action"], row["subject"], row["after"]["entries"]) == ("cache.clear", name, 0)


@pytest.mark.parametrize("query", ["?tenent=red", "?tenant=", "?id=a&id=b", "?key=&tenant=red"])
def test_a_wrong_filter_takes_nothing_away(town: Town, query: str) -> None:
    city = town.city
    ask(city, 0, "stays")
    answer = city.client("master").send("DELETE", f"/admin/cache{query}")
    assert answer.status == 400
    assert answer.json["error"]["param"] in query
    assert cached(ask(city, 0, "stays")) == ["hit"]


def test_a_client_empties_nothing(town: Town) -> None:
    assert town.city.client("ann").send("DELETE", "/admin/cache").status == 403


def made_tenant(city: City, name: str) -> Client:
    """Make a tenant with a key; return a client of it at the second gateway."""
    master = city.client("master")
    assert master.send("POST", "/admin/tenants", {"name": name}).status == 201
    key = master.send("POST", "/admin/keys", {"name": "k", "tenant": name}).json["key"]
    return Client(city.gateways[-1].port, key)


def spoken(client: Client, words: str) -> Any:
    body = {**PROMPT, "messages": [{"role": "user", "content": words}]}
    return client.send("POST", CHAT, body)


def kept_of(town: Town, tenant: str) -> int:
    """Return how many answers of a tenant are kept outside the processes."""
    if town.store is not None:
        names = list(town.store.scan_iter("sluice:cache:answer:*"))
        return [town.store.hget(name, "tenant") for name in names].count(tenant.encode())
    with psycopg.connect(town.database) as connection:
        found = connection.execute(
            "SELECT count(*) FROM cached_answer WHERE tenant = %s", (tenant,)
        ).fetchone()
        return int(found[0]) if found else 0


def test_the_answers_of_a_tenant_go_with_it_and_no_others(town: Town) -> None:
    city, master = town.city, town.city.client("master")
    client = made_tenant(city, "short")
    eventually(lambda: spoken(client, "warm").status == 200)
    for number in range(30):
        spoken(client, f"short {number}")
    eventually(lambda: ask(city, 1, "of another tenant").status == 200 and kept_of(town, "red") > 0)
    others = kept_of(town, "red")
    assert kept_of(town, "short") > 0
    assert master.send("DELETE", "/admin/tenants/short?confirm=short").status == 200
    eventually(lambda: kept_of(town, "short") == 0)
    assert kept_of(town, "red") == others
    again = made_tenant(city, "short")
    eventually(lambda: spoken(again, "warm anew").status == 200)
    assert cached(spoken(again, "short 1")) == ["miss"]  # nor is it remembered


@pytest.mark.timeout(180)
def test_answers_in_a_redis_that_was_away_go_later() -> None:
    with ExitStack() as stack:
        database = stack.enter_context(new_postgres())
        url, process = stack.enter_context(own_redis())
        store = stack.enter_context(redis.Redis.from_url(url))
        env = {
            "DATABASE_URL": database,
            "REDIS_URL": url,
            "SLUICE_SECRET_KEY": "s",
            "SLUICE_MASTER_KEY": "sk-master",
        }
        city = stack.enter_context(running_city(CONFIG, env=env))
        town, master = Town(city, database, store), city.client("master")
        client = made_tenant(city, "short")
        eventually(lambda: spoken(client, "warm").status == 200)
        eventually(lambda: spoken(client, f"{time.monotonic()}").status == 200 and kept_of(town, "short") > 0)
        process.send_signal(signal.SIGSTOP)
        assert master.send("DELETE", "/admin/tenants/short?confirm=short").status == 200
        refused = master.send("POST", "/admin/tenants", {"name": "short"})
        assert (refused.status, refused.error["code"]) == (503, "store_unavailable")
        eventually(lambda: "the sweep will delete what is kept of 'short'" in city.gateways[0].log)
        process.send_signal(signal.SIGCONT)
        assert kept_of(town, "short") > 0
        with running_city(CONFIG, env=env) as other:  # a process that starts sweeps
            assert other.client("master").send("GET", "/admin/tenants").status == 200
            eventually(lambda: kept_of(town, "short") == 0)
        assert made_tenant(city, "short")


def test_a_restart_forgets_nothing(tmp_path: Any) -> None:
    env = {"DATABASE_URL": f"sqlite:///{tmp_path}/sluice.db", "SLUICE_SECRET_KEY": "s"}
    body = {"model": "sandbox/echo", "messages": [{"role": "user", "content": "over a restart"}]}
    words = []
    for _ in range(2):
        with running_city(CONFIG, env=env) as city:
            eventually(lambda: ask_about(city, "warm"))
            words += cached(city.client().send("POST", CHAT, body))
    assert words == ["miss", "hit"]


def test_what_a_lost_key_sealed_is_a_miss_and_is_kept_anew(tmp_path: Any) -> None:
    env = {"DATABASE_URL": f"sqlite:///{tmp_path}/sluice.db", "SLUICE_ENCRYPT": "on"}

    def words_of(secret: str) -> list[str | None]:
        with running_city(CONFIG, env={**env, "SLUICE_SECRET_KEY": secret}) as city:
            eventually(lambda: ask_about(city, "warm"))
            body = {"model": "sandbox/echo", "messages": [{"role": "user", "content": "sealed"}]}
            words = [
                *cached(city.client().send("POST", CHAT, body)),
                *cached(city.client().send("POST", CHAT, body)),
            ]
            if words[1] == "miss":  # a look that takes longer than 50 ms is one, too
                words[1:] = cached(city.client().send("POST", CHAT, body))
            return words

    assert [words_of("old"), words_of("new")] == [["miss", "hit"]] * 2
    assert any(words_of("new") == ["hit", "hit"] for _ in range(4))  # later than 50 ms is a miss, too


def test_a_redis_that_is_stopped_is_a_miss_and_costs_little() -> None:
    with own_redis() as (url, process), running_city(CONFIG, env={"REDIS_URL": url}) as city:
        assert cached(ask_about(city, "before"), ask_about(city, "before")) == ["miss", "hit"]
        process.send_signal(signal.SIGSTOP)
        assert cached(ask_about(city, "before")) == ["hit"]  # from the memory of the process
        for number in range(6):
            answer = ask_about(city, f"meanwhile {number}")
            assert (answer.status, cached(answer)) == (200, ["miss"])
        assert AWAY in city.gateways[0].log
        assert cached(ask_about(city, "meanwhile 0")) == ["hit"]
        process.send_signal(signal.SIGCONT)
        numbers = itertools.count()
        eventually(
            lambda: (
                ask_about(city, f"back {next(numbers)}")
                and "the shared cache answers again" in city.gateways[0].log
            )
        )
        process.kill()
        process.wait()
        assert ask_about(city, "after").status == 200


def test_a_table_that_is_locked_is_a_miss_and_costs_little() -> None:
    with new_postgres() as database:
        env = {"DATABASE_URL": database, "SLUICE_SECRET_KEY": "s"}
        with running_city(CONFIG, env=env) as city, psycopg.connect(database) as connection:
            connection.autocommit = True
            eventually(lambda: connection.execute("SELECT to_regclass('cached_answer')").fetchone()[0])
            connection.autocommit = False
            assert cached(ask_about(city, "warm"), ask_about(city, "warm")) == ["miss", "hit"]
            connection.execute("LOCK TABLE cached_answer IN ACCESS EXCLUSIVE MODE")
            answers = [ask_about(city, f"locked {number}") for number in range(4)]
            assert {answer.status for answer in answers} == {200}
            assert cached(*answers) == ["miss"] * 4
            assert city.crowd(32) == {200: 32}

            numbers = itertools.count()

            def is_away() -> bool:  # slow answers do not count while the store may still be opening
                answer = ask_about(city, f"still locked {next(numbers)}")
                return answer.status == 200 and AWAY in city.gateways[0].log

            eventually(is_away)
            assert city.client().send("GET", "/v1/key").status == 200  # the pool is not used up
            connection.rollback()
            gevent.sleep(1.2)
            assert cached(ask_about(city, "free"), ask_about(city, "free")) == ["miss", "hit"]


def test_a_call_that_is_not_cached_asks_neither_redis_nor_the_database(tmp_path: Any) -> None:
    config = tmp_path / "sluice.toml"
    config.write_text(keys(ann="") + '[models."kept"]\ntarget = "sandbox/echo"\ncache = { ttl = "5m" }\n')
    statements: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        statements.append(statement)

    with own_redis() as (url, _), redis.Redis.from_url(url) as store:
        database = f"sqlite:///{tmp_path / 'sluice.db'}"
        app = create_app(load({"SLUICE_CONFIG": str(config), "REDIS_URL": url, "DATABASE_URL": database}))
        client = app.test_client()
        event.listen(Engine, "before_cursor_execute", note)
        try:
            assert _cache_result(client, "sandbox/echo") == "off"
            looked = ("BEGIN", "SELECT revision.number")  # a look for changes now and then, whatever is asked
            assert (_commands(store), [one for one in statements if not one.startswith(looked)]) == ({}, [])
            eventually(
                lambda: _cost(client, store, "warm") == ("hit", {})
            )  # all is open, and the watch began
            once = {"hget": 1, "pttl": 1, "hset": 1, "expire": 1}
            costs = [_cost(client, store, "measured") for _ in range(3)]
            assert costs == [("miss", once), ("hit", {}), ("hit", {})]
            assert not [one for one in statements if one.startswith(("SELECT cached", "INSERT INTO cached"))]
        finally:
            event.remove(Engine, "before_cursor_execute", note)


def _cost(client: FlaskClient, store: Any, words: str) -> tuple[str, dict[str, int]]:
    """Return what the cache said of a prompt, and the commands of Redis that were run for it."""
    before = Counter(_commands(store))
    word = _cache_result(client, "kept", words)
    gevent.sleep(0.1)
    return word, dict(Counter(_commands(store)) - before)


def _cache_result(client: FlaskClient, model: str, words: str = "hi") -> str:
    body = {"model": model, "messages": [{"role": "user", "content": words}]}
    answer = client.post(CHAT, json=body, headers={"authorization": "Bearer sk-ann"})
    assert answer.status_code == 200, answer.text
    return answer.headers["x-sluice-cache"]


def _commands(store: Any) -> dict[str, int]:
    """Return how often which command of the cache was run."""
    known = ("hget", "pttl", "hset", "expire", "get", "set", "unlink", "scan")
    told = store.info("commandstats")
    return {name: told[f"cmdstat_{name}"]["calls"] for name in known if f"cmdstat_{name}" in told}
