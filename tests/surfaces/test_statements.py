"""What a call costs in statements and connections: nothing, for whoever uses nothing that is kept."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gevent
import pytest
from flask import Flask
from sqlalchemy import Engine, Pool, event

from app import create_app
from app.config import Budget, Secret, Settings, VirtualKey
from app.gateway.core import gateway_of
from app.state.audit import Actor
from app.state.key_format import make_key
from app.state.keys import StoredKey

KEY = "sk-ann-0123456789"
RICH = "sk-rich-0123456789"
PROMPT = {"model": "sandbox/echo", "messages": [{"role": "user", "content": "hi"}]}


@dataclass
class Count:
    """Statements, but for the look at the number of the last change that comes by the clock; and connections."""

    statements: list[str] = field(default_factory=list)
    connections: list[Any] = field(default_factory=list)
    counting: bool = True


@pytest.fixture
def count() -> Iterator[Count]:
    counted = Count()

    def hear(statement: str) -> None:
        if "FROM revision" not in statement and statement != "COMMIT":
            counted.statements.append(statement)

    def listen(connection: Any, *rest: Any) -> None:
        connection.set_trace_callback(hear if counted.counting else None)  # statements past SQLAlchemy, too

    def connected(name: str, arguments: Any) -> None:
        if counted.counting and name == "socket.connect":
            counted.connections.append(arguments)

    event.listen(Pool, "checkout", listen)
    sys.addaudithook(connected)
    yield counted
    counted.counting = False
    event.remove(Pool, "checkout", listen)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    rich = VirtualKey("rich", Secret(RICH), "rich", budgets=(Budget(10**15, "day"), Budget(10**15, "total")))
    keys = (VirtualKey("ann", Secret(KEY), "ann"), rich)
    made = create_app(Settings(database_url=f"sqlite:///{tmp_path}/sluice.db", keys=keys, call_log="off"))
    yield made
    gateway_of(made).close()


def call(app: Flask, key: str) -> int:
    headers = {"authorization": f"Bearer {key}"}
    return app.test_client().post("/v1/chat/completions", json=PROMPT, headers=headers).status_code


def test_a_call_by_a_key_of_the_configuration_asks_nobody(app: Flask, count: Count) -> None:
    assert [call(app, KEY) for _ in range(3)] == [200, 200, 200]
    assert (count.statements, count.connections) == ([], [])


def test_a_budget_costs_one_transaction_before_and_one_after(app: Flask, count: Count) -> None:
    begun: list[str] = []

    def begin(connection: Any) -> None:
        begun.append("begin")

    assert call(app, RICH) == 200  # the first call of a budget makes its row
    gateway = gateway_of(app)
    gevent.sleep(0.1)
    gateway.accounts.close()  # which settles, and looks after nothing any more
    gateway.accounts.start = lambda: None  # type: ignore[method-assign]
    event.listen(Engine, "begin", begin)
    try:
        for times in range(1, 4):
            assert call(app, RICH) == 200
            gateway.accounts.close()
            assert len(begun) == 2 * times
    finally:
        event.remove(Engine, "begin", begin)
    assert any(text.startswith("INSERT") for text in count.statements)  # so it counts what costs something
    count.statements.clear()
    assert call(app, KEY) == 200
    assert (count.statements, count.connections) == ([], [])


def test_a_key_of_the_store_is_asked_for_once(app: Flask, count: Count) -> None:
    asked = StoredKey("", "ann", "bob", "", True, None, {}, 0)
    _, secret = gateway_of(app).state().keys.create(Actor("test", "admin", ""), asked)
    assert call(app, secret) == 200
    count.statements.clear()
    assert [call(app, secret) for _ in range(5)] == [200] * 5
    assert [text for text in count.statements if "key_secret" in text] == []
    assert count.connections == []


def test_a_key_that_nobody_has_is_asked_for_once(app: Flask, count: Count) -> None:
    nobodys = make_key()
    assert call(app, nobodys) == 401
    count.statements.clear()
    assert [call(app, nobodys) for _ in range(5)] == [401] * 5
    assert [call(app, nobodys[:-1] + c) for c in "ab"] == [401, 401]
    assert [text for text in count.statements if "key_secret" in text][1:] == []
