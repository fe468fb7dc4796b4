"""PostgreSQL gone, or silent, while calls of all kinds run: none waits for ever, and their money is counted afterwards."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import gevent
import pytest

from tests.behaviour.world import CHAT_DONE, ROLE, Answer, chat_body, chat_text
from tests.governance.city import CHAT, PROMPT, City, running_city
from tests.governance.test_budgets_in_outages import unavailable
from tests.governance.test_budgets_of_many import check
from tests.lifecycle.house import eventually
from tests.lifecycle.wire import Relay, relayed
from tests.traffic.replay import Reply, Request

CONFIG = """
[keys.rich]
key = "sk-rich"
tenant = "red"
budgets = [{ usd = 50, per = "total" }]
limits = [{ requests = 1000, per = "minute" }]
[keys.free]
key = "sk-free"
tenant = "red"
limits = [{ tokens = 100000, per = "minute" }]
[providers.groq.prices]
x = { input = 100000, output = 100000 }
[models.kept]
target = "groq/x"
cache = { ttl = "1h" }
"""
ENV = {"SLUICE_SECRET_KEY": "s", "SLUICE_MASTER_KEY": "sk-master", "SLUICE_BUDGET_LEASE": "600"}
STREAM = ROLE + chat_text("first") + chat_text(" second") + CHAT_DONE
ASKED = {**PROMPT, "max_tokens": 2}
STORED = {"model": "groq/x", "input": "hi"}
LONGEST = 30
"""Seconds: a silent PostgreSQL is given up after 20."""


def late(request: Request) -> Reply:
    """Answer after what happens meanwhile."""
    if json.loads(request.body).get("stream"):
        return Reply.sse(STREAM, delay=0.5, chunk=60)
    return Reply.json(chat_body(), wait=2)


def at_once(request: Request) -> Reply:
    """Answer with five tokens."""
    return Reply.json(chat_body())


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("trouble", [Relay.cut, Relay.hush], ids=["gone", "silent"])
def test_calls_end_while_the_database_is_away_and_are_paid_once_it_is_back(
    trouble: Callable[[Relay], None], postgres_url: str
) -> None:
    with (
        relayed(postgres_url) as (relay, url),
        running_city(CONFIG, env={**ENV, "DATABASE_URL": url}) as city,
    ):
        rich, free = city.client("rich"), city.client("free")
        assert city.ask("rich", max_tokens=2).status == 200
        city.upstream.script = late
        running = {
            "stream": gevent.spawn(rich.post, CHAT, {**ASKED, "stream": True}),
            "whole": gevent.spawn(rich.post, CHAT, ASKED),
            "plain": gevent.spawn(free.post, CHAT, ASKED),
            "stored": gevent.spawn(free.post, "/v1/responses", STORED),
        }
        eventually(lambda: city.served == 5)
        trouble(relay)
        city.upstream.script = at_once
        refused = [
            gevent.spawn(rich.post, CHAT, ASKED) for _ in range(25)
        ]  # more than the pool has connections
        refused.append(gevent.spawn(free.send, "POST", CHAT, ASKED, {"idempotency-key": "once"}))
        refused.append(gevent.spawn(free.post, "/v1/responses", STORED))
        refused.append(gevent.spawn(rich.get, "/v1/key"))
        began = time.monotonic()
        assert [free.post(CHAT, ASKED).status for _ in range(3)] == [200] * 3
        assert time.monotonic() - began < 2
        assert free.post(CHAT, {**ASKED, "model": "kept"}).status == 200
        ended = _ended(running)
        assert {name: answer.status for name, answer in ended.items() if name != "stored"} == {
            "stream": 200,
            "whole": 200,
            "plain": 200,
        }
        assert ended["stream"].body.endswith(b"data: [DONE]\n\n")
        unavailable(ended["stored"])
        for answer in _ended(dict(enumerate(refused))).values():
            unavailable(answer)
        relay.mend()
        eventually(lambda: _standing(city)["reserved"] == 0, 60)
        assert check(city) == []
        assert city.ask("rich", max_tokens=2).status == 200
        eventually(lambda: _standing(city) == {"spent": _paid(city), "reserved": 0}, 30)
        assert check(city) == []
        assert "an attempt is settled later: " in city.gateways[0].log


def _ended(running: dict[Any, gevent.Greenlet]) -> dict[Any, Answer]:
    gevent.joinall(list(running.values()), timeout=LONGEST)
    assert [name for name, one in running.items() if not one.ready()] == []
    return {name: one.get(block=False) for name, one in running.items()}


def _standing(city: City) -> dict[str, float]:
    answer = city.client("rich").get("/v1/key")
    row = answer.json["budgets"][0] if answer.status == 200 else {"spent": -1, "reserved": -1}
    return {name: row[name] for name in ("spent", "reserved")}


def _paid(city: City) -> float:
    rows = city.client("master").get("/admin/ledger?key=rich&limit=100").json["data"]
    return sum(row["cost"] for row in rows)
