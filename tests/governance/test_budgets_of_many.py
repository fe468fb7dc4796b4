"""Budgets that several processes keep together: races, killed processes, and a database that goes away."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from sqlalchemy import create_engine, text

from app.gateway.budgets.accounts import _SECOND_LOOK
from app.state.database import parse_url
from tests.behaviour.world import CHAT_DONE, ROLE, chat_body, chat_text, received
from tests.governance.city import CHAT, PROMPT, City, good, running_city
from tests.lifecycle.house import change, children_of, eventually, kill
from tests.running import ROOT
from tests.services import new_postgres
from tests.traffic.replay import Reply, Request

CROWD = 64
BUDGET = '{ usd = 5, per = "total" }'
CONFIG = (
    "".join(
        f'[keys.{name}]\nkey = "sk-{name}"\ntenant = "{tenant}"\nbudgets = [{text}]\n'
        for name, tenant, text in (
            ("key", "red", BUDGET),
            ("several", "red", f'{{ usd = 50, per = "day" }}, {BUDGET}'),
            ("member", "blue", ""),
            ("other", "blue", '{ usd = 4.5, per = "month" }'),
            ("gate", "red", ""),
            ("killed", "red", '{ usd = 1.5, per = "total" }'),
            ("long", "red", BUDGET),
            ("turns", "red", BUDGET),
        )
    )
    + f"""
[tenants.blue]
budgets = [{BUDGET}]
[server]
budgets = [{{ usd = 5, per = "week", models = "groq/gate" }}]
[providers.groq.prices]
x = {{ input = 100000, output = 100000 }}
gate = {{ input = 100000, output = 100000 }}
"""
)
"""A call costs half a dollar, and reserves as much: three tokens in, two out, at ten cents each."""

ASKED = {"messages": [{"role": "user", "content": "twelve bytes"}], "max_tokens": 2}
COST = 0.5


def slow(request: Request) -> Reply:
    """Answer after a while, so that a crowd is in the house at once."""
    return Reply.json(chat_body(), wait=0.3)


@pytest.fixture(scope="module", params=["two gateways over PostgreSQL", "one gateway over SQLite"])
def together(request: pytest.FixtureRequest) -> Iterator[City]:
    """Gateways of two workers each; they renew leases every two seconds, and a busy machine may be four late."""
    env = {"SLUICE_BUDGET_LEASE": "6", "SLUICE_SECRET_KEY": "s", "SLUICE_MASTER_KEY": "sk-master"}
    if "SQLite" in request.param:
        with running_city(CONFIG, workers=2, env=env) as city:
            yield city
        return
    with new_postgres() as database:
        with running_city(CONFIG, gateways=2, workers=2, env={**env, "DATABASE_URL": database}) as city:
            yield city


@pytest.fixture
def city(together: City) -> City:
    together.upstream.forget()
    together.upstream.script = slow
    return together


def check(city: City) -> list[str]:
    """Return the faults that ``sluice ledger check`` finds; its exit code says the same."""
    gateway = city.gateways[0]
    ran = subprocess.run(
        [sys.executable, "-m", "app.cli", "ledger", "check", "--json"],
        env=gateway.environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ran.stdout, ran.stderr
    faults: list[str] = json.loads(ran.stdout)["faults"]
    assert ran.returncode == bool(faults)
    return faults


def database_of(city: City) -> str:
    return city.gateways[0].environ["DATABASE_URL"]


def leases(city: City) -> list[float]:
    """Return until when each reservation lasts."""
    engine = create_engine(parse_url(database_of(city)))
    with engine.begin() as connection:
        found = [float(until) for (until,) in connection.execute(text("SELECT lease_until FROM reservation"))]
    engine.dispose()
    return found


def standing(city: City, key: str) -> list[tuple[float, float]]:
    """Return what is spent and reserved of each budget that holds a key."""
    rows = city.client(key).get("/v1/key").json["budgets"]
    return [(row["spent"], row["reserved"]) for row in rows]


def ledger(city: City, key: str, **filters: str) -> list[dict[str, Any]]:
    query = "".join(f"&{name}={value}" for name, value in filters.items())
    found: list[dict[str, Any]] = (
        city.client("master").get(f"/admin/ledger?limit=100&key={key}{query}").json["data"]
    )
    return found


def settled(city: City, key: str) -> bool:
    return not any(reserved for _, reserved in standing(city, key))


@pytest.mark.parametrize(
    ("key", "model", "place"),
    [("key", "groq/x", 0), ("several", "groq/x", 1), ("member", "groq/x", 0), ("gate", "groq/gate", 0)],
    ids=["key", "several", "tenant", "gateway"],
)
def test_of_a_crowd_at_the_last_unit_no_more_come_in_than_are_paid_for(
    city: City, key: str, model: str, place: int
) -> None:
    counted = city.crowd(CROWD, key, model=model, **ASKED)
    assert counted == Counter({200: 10, 402: CROWD - 10})
    assert city.served == 10
    eventually(lambda: settled(city, key))
    assert standing(city, key)[place] == (10 * COST, 0)
    assert sum(row["cost"] for row in ledger(city, key)) == city.served * COST
    assert {row["state"] for row in ledger(city, key)} == {"settled"}
    assert city.ask(key, model=model, **ASKED).status == 402
    assert check(city) == []


def test_two_budgets_of_a_call_that_cross_never_wait_for_each_other(city: City) -> None:
    calls = [
        gevent.spawn(city.ask, ("member", "other")[number % 2], number % len(city.gateways), **ASKED)
        for number in range(CROWD)
    ]
    gevent.joinall(calls, raise_error=True)
    assert {one.value.status for one in calls} <= {200, 402}
    eventually(lambda: settled(city, "other"))
    assert check(city) == []


def test_what_a_killed_process_had_reserved_is_counted_as_spent_and_marked_as_lost(city: City) -> None:
    body = ROLE + chat_text("first")
    city.upstream.script = lambda request: Reply.sse(body + CHAT_DONE, hang=len(body))
    connections = []
    for number in range(3):
        connection = city.client("killed", number % len(city.gateways)).open(
            "POST", CHAT, {**PROMPT, **ASKED, "stream": True}
        )
        connections.append(connection)
        assert connection.sock is not None
        received(connection.sock, b"first")
    assert standing(city, "killed")[0] == (0, 3 * COST)
    city.upstream.script = good
    assert city.ask("killed", **ASKED).status == 402
    for gateway in city.gateways:
        for pid in children_of(gateway.process):
            kill(pid)
    for connection in connections:
        connection.close()
    change(database_of(city), "UPDATE reservation SET lease_until = 0")  # so the leases end now

    def lost() -> Any:
        try:
            return len(ledger(city, "killed", state="lost")) == 3
        except OSError:  # no worker yet
            return False

    eventually(lost, 60)
    assert standing(city, "killed")[0] == (3 * COST, 0)
    assert {row["cost"] for row in ledger(city, "killed")} == {COST}
    assert check(city) == []
    (row, *_) = ledger(city, "killed")
    answer = city.client("master").send(
        "POST", f"/admin/ledger/{row['id']}/settle", {"usd": 0, "reason": "bill"}
    )
    assert (answer.status, answer.json["cost"]) == (201, -COST)
    assert city.ask("killed", **ASKED).status == 200
    eventually(lambda: settled(city, "killed"))
    assert check(city) == []


def test_a_long_call_renews_what_it_reserved(city: City) -> None:
    release = threading.Event()

    def hold(request: Request) -> Reply:
        release.wait(60)
        return Reply.json(chat_body())

    city.upstream.script = hold
    call = gevent.spawn(city.ask, "long", **ASKED)
    (first,) = eventually(lambda: leases(city))
    eventually(lambda: min(leases(city)) > first + 1)
    release.set()
    assert call.get().status == 200
    eventually(lambda: settled(city, "long"))
    assert [row["state"] for row in ledger(city, "long")] == ["settled"]


def test_calls_in_turn_are_not_refused_for_what_an_answer_before_has_just_released(city: City) -> None:
    release = threading.Event()

    def hold(request: Request) -> Reply:
        release.wait(60)
        return Reply.json(chat_body())

    def ask(number: int) -> int | None:
        """Return the status, None where running calls hold what is missing."""
        began = time.monotonic()
        answer = city.ask("turns", number % len(city.gateways), **{**ASKED, "max_tokens": 6})  # 0.90
        if b"running calls" not in answer.body:
            return answer.status
        assert time.monotonic() - began >= _SECOND_LOOK
        return None

    city.upstream.script = hold
    first = gevent.spawn(city.ask, "turns", **{**ASKED, "max_tokens": 40})
    eventually(lambda: city.served == 1)
    assert ask(0) is None
    release.set()
    assert first.get().status == 200
    eventually(lambda: settled(city, "turns"))
    found = [
        eventually(lambda number=number: ask(number)) for number in range(10)
    ]  # a busy machine settles late
    assert found == [200] * 8 + [402] * 2
