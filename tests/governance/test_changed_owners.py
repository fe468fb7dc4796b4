"""Keys that get another name, and budgets that are added, while calls run: every call is charged, once, to the right owner."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import gevent
import pytest

from tests.behaviour.world import chat_body
from tests.governance.city import CHAT, PROMPT, City, running_city
from tests.governance.test_budgets import PRICES, check
from tests.lifecycle.batches import chat_lines, ended, started, uploaded
from tests.lifecycle.house import Client, eventually
from tests.services import new_postgres
from tests.traffic.replay import Reply, Request

CONFIG = f"""
[keys.ann]
key = "sk-ann"
tenant = "red"
{PRICES}"""
LONG = 3.5
"""Seconds that an answer takes whose request says so: longer than every process needs to know of a change."""


def answer(request: Request) -> Reply:
    return Reply.json(chat_body(), wait=LONG if b"long" in request.body else 0.0)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def city(request: pytest.FixtureRequest) -> Iterator[City]:
    """One gateway of two workers on SQLite, or two of them on PostgreSQL."""
    env = {"SLUICE_MASTER_KEY": "sk-master", "SLUICE_SECRET_KEY": "s"}
    if request.param == "sqlite":
        with running_city(CONFIG, workers=2, script=answer, env=env) as made:
            yield made
            assert check(made) == (0, [])
        return
    with new_postgres() as url:
        shared = {**env, "DATABASE_URL": url}
        with running_city(CONFIG, gateways=2, workers=2, script=answer, env=shared) as made:
            yield made


class Owner:
    """A key that is made at run time, at each gateway in turn."""

    def __init__(self, city: City, name: str, **members: Any) -> None:
        self.city, self.master = city, city.client("master")
        body = self.master.post("/admin/keys", {"tenant": "red", "name": name, **members}).json
        self.id, self.secret, self.created_at = body["id"], body["key"], body["created_at"]

    def change(self, **members: Any) -> None:
        assert self.master.send("PATCH", f"/admin/keys/{self.id}", members).status == 200

    def client(self, number: int = 0) -> Client:
        return Client(self.city.gateways[number % len(self.city.gateways)].port, self.secret)

    def ask(self, number: int = 0, text: str = "hi") -> int:
        body = {**PROMPT, "max_tokens": 2, "messages": [{"role": "user", "content": text}]}
        return self.client(number).post(CHAT, body).status

    def crowd(self, count: int) -> list[int]:
        calls = [gevent.spawn(self.ask, number) for number in range(count)]
        gevent.joinall(calls, raise_error=True)
        return [one.value for one in calls]

    def spent(self, number: int = 0) -> Any:
        """Return what each budget has spent, once nothing is reserved."""

        def settled() -> Any:
            rows = self.client(number).get("/v1/key").json["budgets"]
            return rows and not any(row["reserved"] for row in rows) and [row["spent"] for row in rows]

        return eventually(settled)


def test_calls_that_begin_at_once_after_a_new_name_are_charged(city: City) -> None:
    """The other workers learn of the name later; a call of theirs is charged to the same budget."""
    key = Owner(city, "first", budgets=[{"usd": 50, "per": "day"}, {"usd": 50, "per": "total"}])
    assert set(key.crowd(8)) == {200}
    for name in ("second", "third"):
        key.change(name=name)
        assert set(key.crowd(8)) == {200}
    eventually(lambda: key.spent() == [12.0, 12.0])
    assert key.spent(1) == [12.0, 12.0]


def test_a_new_name_gives_no_new_limit(city: City) -> None:
    key = Owner(city, "before", limits=[{"requests": 2, "per": "day"}])
    assert key.ask() == 200
    key.change(name="after")
    assert sorted(key.crowd(8)).count(200) <= 3  # without Redis, each worker has its share


def test_work_that_was_queued_goes_on_under_a_new_name(city: City) -> None:
    key = Owner(city, "works", budgets=[{"usd": 90000, "per": "day"}])
    waiting, seen = threading.Event(), threading.Event()

    def hold(request: Request) -> Reply:
        seen.set()
        waiting.wait(20)
        return Reply.json(chat_body())

    city.upstream.script = hold
    batch = started(key.client(), uploaded(key.client(), chat_lines([str(n) for n in range(9)], "groq/x")))
    response = key.client().create(model="groq/x", background=True, max_output_tokens=16).json
    assert seen.wait(20)
    key.change(name="works-on")
    other = Owner(city, "works", models=["nothing/*"])
    waiting.set()
    counts = ended(key.client(), batch["id"])["request_counts"]
    assert (counts["completed"], counts["failed"]) == (9, 0)
    assert key.client().ended(response["id"])["status"] == "completed"
    data = key.master.get("/admin/responses?key=works-on").json["data"]
    assert [(row["id"], row["key"]) for row in data] == [(response["id"], "works-on")]
    assert other.client().get("/v1/key").json["name"] == "works"
    city.upstream.script = answer
    eventually(lambda: key.spent() == [5.0])


def test_a_budget_that_is_added_is_charged_for_calls_that_run(city: City) -> None:
    key = Owner(city, "added")
    long = [gevent.spawn(key.ask, number, "long") for number in range(4)]
    eventually(lambda: sum(b"long" in request.body for request in city.upstream.requests) >= 4)
    key.change(budgets=[{"usd": 50, "per": "day"}])
    eventually(lambda: key.client().get("/v1/key").json["budgets"] and key.ask() == 200)
    eventually(lambda: key.spent()[0] >= 0.5)
    eventually(lambda: key.spent() and key.spent(1) and all(one.ready() for one in long))  # used all the time
    assert {one.get() for one in long} == {200}
    eventually(lambda: key.spent() == [2.5])
    assert key.spent(1) == [2.5]
    key.change(budgets=[{"usd": 50, "per": "day"}, {"usd": 50, "per": "total"}])
    eventually(lambda: key.spent() == [2.5, 2.5])


def test_a_budget_that_is_added_after_a_new_name_is_charged_for_calls_that_run(city: City) -> None:
    """They began under the old name, which another key has by their end."""
    key = Owner(city, "hers")
    before = len(city.upstream.requests)
    long = [gevent.spawn(key.ask, number, "long") for number in range(4)]
    eventually(lambda: len(city.upstream.requests) >= before + 4)
    key.change(name="still-hers", budgets=[{"usd": 50, "per": "day"}])
    other = Owner(city, "hers", budgets=[{"usd": 50, "per": "day"}])
    eventually(lambda: key.client().get("/v1/key").json["budgets"] and key.ask() == 200)
    assert other.ask() == 200
    gevent.joinall(long, raise_error=True)
    assert {one.value for one in long} == {200}
    eventually(lambda: key.spent() == [2.5])
    assert (key.spent(1), other.spent()) == ([2.5], [0.5])
    rows = key.master.get(f"/admin/ledger?key_id={key.id}").json["data"]
    assert len(rows) == 5


def test_a_budget_that_a_reload_adds_is_charged_for_calls_that_run(city: City) -> None:
    city.upstream.forget()
    city.upstream.script = answer
    client = city.client("ann")
    body = {**PROMPT, "max_tokens": 2, "messages": [{"role": "user", "content": "long"}]}
    begin = time.monotonic()
    long = [gevent.spawn(client.post, CHAT, body) for _ in range(4)]
    eventually(lambda: len(city.upstream.requests) == 4)
    for gateway in city.gateways:
        file = gateway.folder / "sluice.toml"
        file.write_text(
            file.read_text().replace(
                'tenant = "red"', 'tenant = "red"\nbudgets = [{ usd = 50, per = "day" }]'
            )
        )
    assert city.client("master").post("/admin/reload").status == 200
    eventually(lambda: client.get("/v1/key").json["budgets"])
    assert client.get("/v1/key").json["budgets"][0]["spent"] == 0 or time.monotonic() - begin > LONG
    gevent.joinall(long, raise_error=True)
    assert {one.value.status for one in long} == {200}
    eventually(lambda: client.get("/v1/key").json["budgets"][0]["spent"] == 2.0)


def test_a_budget_that_is_added_begins_with_what_was_spent_under_each_name(city: City) -> None:
    """Another key that takes an old name, at once, spends for itself; so does one that is made anew under the name of a deleted one."""
    key = Owner(city, "one")
    assert key.crowd(4) == [200] * 4
    key.change(name="two")
    heir = Owner(city, "one", budgets=[{"usd": 50, "per": "day"}])
    assert key.crowd(4) == [200] * 4  # some workers know it by its old name
    assert heir.ask() == 200
    budget = {"usd": 50, "per": "day"}
    key.change(budgets=[budget])
    eventually(lambda: key.spent() == [4.0])
    assert (key.spent(1), heir.spent()) == ([4.0], [0.5])
    assert key.master.delete(f"/admin/keys/{key.id}").status == 200
    anew = Owner(city, "two", budgets=[budget])
    assert anew.ask() == 200
    assert anew.spent() == [0.5]


def test_a_name_that_a_key_takes_over_brings_no_spending_with_it(city: City) -> None:
    taker, giver = Owner(city, "taker"), Owner(city, "wanted")
    assert (taker.ask(), giver.crowd(4)) == (200, [200] * 4)
    giver.change(name="given-away")
    taker.change(name="wanted")
    assert taker.ask() == 200
    for key in (taker, giver):
        key.change(budgets=[{"usd": 50, "per": "day"}])
    eventually(lambda: taker.spent() == [1.0])
    eventually(lambda: giver.spent() == [2.0])


REFUSED = {"code": "permission_denied", "message": "This key may not make requests of the type 'responses'."}


@pytest.mark.parametrize("begins", [False, True], ids=["waits at a limit", "is claimed later"])
def test_work_that_was_queued_needs_an_operation_that_its_key_still_has(begins: bool) -> None:
    with ExitStack() as stack:
        env = {"SLUICE_MASTER_KEY": "sk-master", "SLUICE_SECRET_KEY": "s"}
        env["DATABASE_URL"] = stack.enter_context(new_postgres())
        own = {**env, "SLUICE_BACKGROUND": "off"} if begins else env
        city = stack.enter_context(running_city(CONFIG, script=answer, env=own))
        key = Owner(city, "narrowed", limits=[{"concurrent": 1}])
        call = gevent.spawn(key.ask, 0, "long")
        city.upstream.wait_for(1)
        response = key.client().create(model="groq/x", background=True, max_output_tokens=16).json
        key.change(operations=["embedding"])
        if begins:
            stack.enter_context(running_city(CONFIG, script=answer, env=env))
        assert city.client("ann").ended(response["id"])["error"] == REFUSED
        assert call.get() == 200
        usage = eventually(
            lambda: (got := key.master.get("/admin/usage?group_by=key").json["data"])[0]["errors"] and got
        )
        assert {row["key"] for row in usage} == {"narrowed"}
