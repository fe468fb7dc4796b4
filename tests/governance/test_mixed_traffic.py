"""All kinds of calls at once over two gateways, while a key is rotated, its limits lowered, Redis stopped and a worker killed.

Whatever became of each call: nothing stays reserved or held, no budget is passed, and the ledger's sums are what was spent.
"""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPException
from typing import Any

import gevent
import pytest
from websockets.exceptions import WebSocketException

from tests.behaviour.world import CHAT_DONE, ROLE, chat_body, chat_text
from tests.governance.city import CHAT, City, running_city
from tests.governance.test_budgets_of_many import check
from tests.lifecycle.batches import form, jsonl, line
from tests.lifecycle.house import Client, children_of, eventually, kill
from tests.services import new_postgres, own_redis
from tests.traffic.replay import Reply, Request
from tests.websocket_client import connect

CONFIG = """
[tenants.red]
budgets = [{ usd = 90, per = "day" }]
limits = [{ requests = 100000, per = "minute" }]
[providers.groq.prices]
x = { input = 100000, output = 100000 }
"""
WORDS = "twelve bytes"
MOST = 60
LIMITS: list[dict[str, Any]] = [{"requests": 1000, "per": "minute"}, {"tokens": 100_000, "per": "minute"}]
STREAM = ROLE + chat_text("first") + chat_text(" second") + CHAT_DONE


class Provider:
    """Answers well, late, badly or in half, as chance has it."""

    def __init__(self) -> None:
        self._chance = random.Random(5)

    def __call__(self, request: Request) -> Reply:
        chance, wait = self._chance.random(), self._chance.choice((0, 0.05, 0.3))
        if chance < 0.1:
            return Reply.json({"error": {"message": "no"}}, 500)
        if not json.loads(request.body).get("stream"):
            return Reply.json(chat_body(), wait=wait)
        return Reply.sse(
            STREAM, wait=wait, delay=0.05, chunk=60, cut=len(ROLE) + 40 if chance < 0.2 else None
        )


class Crowd:
    """Callers with one key, which may change while they call."""

    def __init__(self, city: City, key: str) -> None:
        self.city, self.key = city, key
        self.batches: list[str] = []
        self._kinds = (
            self._chat,
            self._stream,
            self._left,
            self._stored,
            self._queued,
            self._media,
            self._socket,
            self._batch,
        )

    def call(self, number: int) -> None:
        """Make some calls of all kinds; a killed worker ends some of them without an answer."""
        chance = random.Random(number)
        for _ in range(12):
            client = Client(self.city.gateways[number % 2].port, self.key)
            with suppress(OSError, EOFError, HTTPException, WebSocketException):
                chance.choice(self._kinds)(client)

    def _chat(self, client: Client, **more: Any) -> None:
        client.post(CHAT, self._request_body(**more))

    def _stream(self, client: Client) -> None:
        self._chat(client, stream=True)

    def _left(self, client: Client) -> None:
        connection = client.open("POST", CHAT, self._request_body(stream=True))
        gevent.sleep(0.1)
        connection.close()

    def _stored(self, client: Client, **more: Any) -> None:
        client.post("/v1/responses", {"model": "groq/x", "input": WORDS, "max_output_tokens": 16, **more})

    def _queued(self, client: Client) -> None:
        self._stored(client, background=True)

    def _media(self, client: Client) -> None:
        client.post("/v1/embeddings", {"model": "sandbox/embedding", "input": WORDS})
        client.post("/v1/images/generations", {"model": "sandbox/x", "prompt": WORDS, "size": "8x8"})

    def _socket(self, client: Client) -> None:
        url = f"ws://127.0.0.1:{client.port}/v1/responses"
        turn = {"type": "response.create", "model": "groq/x", "input": WORDS, "max_output_tokens": 16}
        with connect(url, additional_headers={"authorization": f"Bearer {client.key}"}) as socket:
            socket.send(json.dumps(turn))
            while json.loads(socket.recv(timeout=20))["type"] not in ("error", "response.completed"):
                continue

    def _batch(self, client: Client) -> None:
        body, headers = form(
            jsonl(line(str(number), self._request_body()) for number in range(3)), purpose="batch"
        )
        file = client.send("POST", "/v1/files", body, headers)
        if file.status == 200:
            asked = {"input_file_id": file.json["id"], "endpoint": CHAT, "completion_window": "24h"}
            answer = client.post("/v1/batches", asked)
            self.batches += [answer.json["id"]] if answer.status == 200 else []

    def _request_body(self, **more: Any) -> dict[str, Any]:
        messages = [{"role": "user", "content": WORDS}]
        return {"model": "groq/x", "messages": messages, "max_tokens": 2, **more}


@pytest.fixture
def town() -> Iterator[tuple[City, Any]]:
    """Two gateways of two workers each, and the process of their Redis."""
    with ExitStack() as stack:
        database = stack.enter_context(new_postgres())
        url, store = stack.enter_context(own_redis())
        env = {"DATABASE_URL": database, "REDIS_URL": url, "SLUICE_BUDGET_LEASE": "3"}
        env |= {"SLUICE_SECRET_KEY": "s", "SLUICE_MASTER_KEY": "sk-master"}
        make = running_city(CONFIG, gateways=2, workers=2, env=env, script=Provider())
        yield stack.enter_context(make), store


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_whatever_happens_to_calls_nothing_stays_held_and_the_ledger_is_sound(town: tuple[City, Any]) -> None:
    city, store = town
    master = city.client("master")
    budgets = [{"usd": 70, "per": "day"}, {"usd": MOST, "per": "total", "models": "groq/*"}]
    members = {"name": "run", "tenant": "red", "budgets": budgets, "limits": [*LIMITS, {"concurrent": 40}]}
    body = master.post("/admin/keys", members).json
    eventually(lambda: Client(city.gateways[1].port, body["key"]).get("/v1/key").status == 200)
    crowd = Crowd(city, body["key"])
    callers = [gevent.spawn(crowd.call, number) for number in range(16)]
    city.upstream.wait_for(10)
    crowd.key = master.post(f"/admin/keys/{body['id']}/rotate", {"grace": 0}).json["key"]
    city.upstream.wait_for(15)
    lowered = [{"usd": 70, "per": "day"}, {"usd": 50, "per": "total", "models": "groq/*"}]
    change = {"limits": [*LIMITS, {"concurrent": 5}], "budgets": lowered}
    assert master.send("PATCH", f"/admin/keys/{body['id']}", change).status == 200
    store.send_signal(signal.SIGSTOP)
    city.upstream.wait_for(20)
    store.send_signal(signal.SIGCONT)
    for gateway in city.gateways:
        kill(children_of(gateway.process)[0])
    gevent.joinall(callers, raise_error=True)

    def own() -> Any:
        with suppress(OSError):  # the worker that was killed is made anew
            return Client(city.gateways[0].port, crowd.key).get("/v1/key").json
        return {"budgets": [{"reserved": 1}], "limits": []}

    def places() -> list[int]:
        return [row["remaining"] for row in own()["limits"] if "concurrent" in row]

    def is_over(batch_id: str) -> bool:
        """Tell whether a batch has ended; one whose lines wait for a budget is ended."""
        with suppress(OSError):
            client = Client(city.gateways[0].port, crowd.key)
            batch = client.get(f"/v1/batches/{batch_id}").json
            counts = batch["request_counts"]
            if batch["status"] == "in_progress":
                client.post(f"/v1/batches/{batch_id}/cancel", {})
            done = counts["completed"] + counts["failed"]
            return batch["status"] == "cancelled" or (batch["status"] == "completed" and done == 3)
        return False

    assert crowd.batches
    eventually(lambda: all(map(is_over, crowd.batches)), 60)
    eventually(lambda: not any(row["reserved"] for row in own()["budgets"]), 60)
    eventually(lambda: places() == [5], 60)
    assert all(row["spent"] <= MOST for row in own()["budgets"] if row["level"] == "key")
    assert check(city) == []
    assert not [
        line for gateway in city.gateways for line in gateway.log.splitlines() if '"event":"fault"' in line
    ]
