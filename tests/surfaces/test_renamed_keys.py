"""Lists and sums of calls of a key that got another name: they go by the key, whatever it was called."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import update

from app import create_app
from app.config import Secret, Settings
from app.gateway.core import gateway_of
from app.state.tables import usage_hour
from app.wire.json import dumps, loads_lenient
from tests.behaviour.world import World
from tests.lifecycle.house import eventually
from tests.state.test_call_log import row as call_row

MASTER = "master-0123456789"
ENV = {"SLUICE_MASTER_KEY": MASTER, "SLUICE_KEYS": "ann:sk-ann:red", "SLUICE_SECRET_KEY": "s"}


SETTING = {"env": ENV, "key": MASTER}


class Key:
    """A key of the tenant ``red`` that is made at run time."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        made = world.send("POST", "/admin/keys", {"tenant": "red", "name": name}).json
        self.id, self.secret = made["id"], made["key"]

    def call(self, count: int) -> None:
        for _ in range(count):
            call(self.world, self.secret)

    def rename(self, name: str) -> None:
        changed = self.world.send("PATCH", f"/admin/keys/{self.id}", {"name": name})
        assert changed.status == 200
        time.sleep(1.2)  # until every process knows
        self.name = name


def call(world: World, secret: str) -> None:
    answer = world.ask(model="sandbox/echo", headers={"authorization": f"Bearer {secret}"})
    assert answer.status == 200


def data(world: World, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.send("GET", f"/admin/{path}").json["data"]
    return found


def test_calls_are_listed_and_summed_by_their_key(running: World) -> None:
    key = Key(running, "hers")
    key.call(2)
    key.rename("still-hers")
    key.call(1)
    other, gone = Key(running, "hers"), Key(running, "gone")
    other.call(1)
    gone.call(1)
    call(running, "sk-ann")
    assert running.send("DELETE", f"/admin/keys/{gone.id}").status == 200
    eventually(lambda: len(data(running, "calls?tenant=red")) >= 6)

    rows = {(row["key"], row["key_id"]): row["calls"] for row in data(running, "usage?group_by=key")}
    expected = {("still-hers", key.id): 3, ("hers", other.id): 1, ("gone", gone.id): 1, ("ann", None): 1}
    assert rows == expected
    by_two = data(running, "usage?group_by=key,provider")  # these are read from other sums
    assert {(row["key"], row["key_id"]): row["calls"] for row in by_two} == expected

    wanted = [
        ("still-hers", 3),
        (key.id, 3),
        ("hers", 1),
        (other.id, 1),
        ("gone", 1),
        (gone.id, 1),
        ("ann", 1),
    ]
    for text, count in wanted:
        for query in ("usage?", "usage?provider=sandbox&"):
            assert [row["calls"] for row in data(running, f"{query}key={text}")] == [count], (text, query)
        assert len(data(running, f"calls?key={text}")) == count, text
        path = f"ledger?key={text}"
        eventually(partial(lambda path, count: len(data(running, path)) == count, path, count))
    calls = data(running, "calls?key=still-hers")
    assert [(row["key"], row["key_id"]) for row in calls] == [
        ("still-hers", key.id),
        ("hers", key.id),
        ("hers", key.id),
    ]
    assert [row["key_id"] for row in data(running, "calls?key=hers")] == [other.id]
    assert data(running, "calls?key=nobody") == data(running, "usage?key=nobody") == []


def test_sums_of_an_older_version_have_no_ids(tmp_path: Path) -> None:
    app = create_app(Settings(database_url=f"sqlite:///{tmp_path}/s.db", master_key=Secret(MASTER)))
    state = gateway_of(app).state()
    state.call_log.write([call_row(created_at=int(time.time()))])
    (sums,) = state.db.fetch_all(usage_hour.select())
    members = loads_lenient(bytes(sums.members))
    del members["key_id"]
    state.db.execute(update(usage_hour).values(members=dumps(members)))
    for groups in ("key", "key,model"):
        path = f"/admin/usage?group_by={groups}&key=ann"
        answer = app.test_client().get(path, headers={"authorization": f"Bearer {MASTER}"})
        (row,) = answer.get_json()["data"]
        assert (row["key"], row["key_id"], row["calls"]) == ("ann", None, 1)
    gateway_of(app).close()
