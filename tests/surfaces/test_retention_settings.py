"""How long rows are kept, over restarts of a gateway whose clock goes ahead: the call log, its bodies, the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.world import chat_body
from tests.governance.city import City, running_city
from tests.lifecycle.house import change, eventually
from tests.running import ROOT
from tests.traffic.replay import Reply

CONFIG = """
[keys.ann]
key = "sk-ann"
budgets = [{ usd = 50, per = "total" }]
[keys.mark]
key = "sk-mark"
budgets = [{ usd = 50, per = "total" }]
[providers.groq.prices]
x = { input = 100000, output = 100000 }
"""
"""A call costs half a dollar."""

ASKED = {"messages": [{"role": "user", "content": "twelve bytes"}], "max_tokens": 2}
DAYS = {"SLUICE_LOG_BODIES_DAYS": "2.98", "SLUICE_LOG_DAYS": "3", "SLUICE_LEDGER_DAYS": "3"}
LONG_AGO = 9.0
CLOCK = "import os, time\nreal = time.time\ntime.time = lambda: real() + 86_400 * float(os.environ['DAYS_AHEAD'])\n"
After = Callable[[float], AbstractContextManager[City]]


def rows(city: City, table: str, key: str = "ann") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = city.client("master").get(f"/admin/{table}?key={key}").json["data"]
    return found


def fresh(city: City, table: str) -> list[str]:
    """Return the ids of the rows of ``mark``'s calls to a gateway that runs; rows that were joined name no model."""
    return [row["id"] for row in rows(city, table, "mark") if row["created_at"] > LONG_AGO and row["model"]]


def bodies(city: City) -> list[bool]:
    """Tell of each call in the log whether it still has its bodies."""
    shown = [city.client("master").get(f"/admin/calls/{row['id']}").json for row in rows(city, "calls")]
    return [bool(one.get("bodies")) for one in shown]


@pytest.fixture
def after(tmp_path: Path) -> After:
    """A gateway over one database so many days after the first start, whose sweeps have run once."""
    (tmp_path / "sitecustomize.py").write_text(CLOCK)
    database = f"sqlite:///{tmp_path / 'sluice.db'}"
    env = {
        **DAYS,
        "DATABASE_URL": database,
        "PYTHONPATH": f"{tmp_path}:{ROOT}",
        "SLUICE_LOG_BODIES": "on",
        "SLUICE_MASTER_KEY": "sk-master",
        "SLUICE_SECRET_KEY": "s",
    }
    marks: list[str] = []

    @contextmanager
    def run(days: float) -> Iterator[City]:
        env["DAYS_AHEAD"] = str(days)
        with running_city(CONFIG, env=env, script=lambda request: Reply.json(chat_body())) as city:
            assert [city.ask("mark", **ASKED).status for _ in range(2)] == [200, 200]
            for table in ("calls", "ledger"):
                eventually(lambda: len(fresh(city, table)) == 2)  # noqa: B023 - asked at once
            eventually(lambda: not any(row["id"] in marks for row in rows(city, "calls", "mark")))
            eventually(lambda: not any(row["id"] in marks for row in rows(city, "ledger", "mark")))
            yield city
            marks[:] = [*fresh(city, "calls"), *fresh(city, "ledger")]
        for table in ("call_log", "ledger"):  # what is this old goes with the next sweeps
            change(database, f"UPDATE {table} SET created_at = {LONG_AGO} WHERE key = 'mark'")

    return run


@pytest.mark.timeout(240)  # four starts
def test_calls_their_bodies_and_the_ledger_are_kept_for_the_days_that_are_set(after: After) -> None:
    with after(0) as city:
        assert [city.ask(**ASKED).status for _ in range(2)] == [200, 200]
        eventually(lambda: (len(rows(city, "ledger")), bodies(city)) == (2, [True, True]))
    with after(2.97) as city:
        assert (len(rows(city, "ledger")), bodies(city)) == (2, [True, True])
    with after(2.99) as city:
        eventually(lambda: bodies(city) == [False, False])
        assert [row["cost"] for row in rows(city, "ledger")] == [0.5, 0.5]
    with after(3.01) as city:
        eventually(
            lambda: (rows(city, "calls"), [row["cost"] for row in rows(city, "ledger")]) == ([], [1.0])
        )
        assert [row["spent"] for row in city.client().get("/v1/key").json["budgets"]] == [1.0]
