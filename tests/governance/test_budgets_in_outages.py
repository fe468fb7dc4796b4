"""The database away: budgets refuse, all else goes on, and the ledger has its rows afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gevent
import psycopg
import pytest

from tests.behaviour.world import chat_body
from tests.governance.city import City, good, running_city
from tests.governance.test_budgets_of_many import check
from tests.lifecycle.house import eventually
from tests.lifecycle.outage import unavailable
from tests.lifecycle.wire import relayed
from tests.traffic.replay import Reply

CONFIG = """
[keys.rich]
key = "sk-rich"
tenant = "red"
budgets = [{ usd = 5, per = "total" }]
[keys.free]
key = "sk-free"
tenant = "red"
[providers.groq.prices]
x = { input = 100000, output = 100000 }
"""
ENV = {
    "SLUICE_SECRET_KEY": "s",
    "SLUICE_MASTER_KEY": "sk-master",
    "SLUICE_METRICS": "on",
    "SLUICE_CALL_LOG": "errors",
}
SMALL = {"max_tokens": 2}


def rows(city: City, key: str) -> list[dict[str, Any]]:
    answer = city.client("master").get(f"/admin/ledger?key={key}")
    return answer.json["data"] if answer.status == 200 else []


def lost_rows(city: City) -> float:
    page = city.client("free").get("/metrics").body.decode()
    _, _, rest = page.partition("\nsluice_ledger_lost_rows_total ")
    return float(rest.split("\n")[0] or 0)


@pytest.mark.parametrize("spools", [True, False], ids=["spool", "none"])
def test_an_outage_of_the_database_loses_no_money(spools: bool, postgres_url: str, tmp_path: Path) -> None:
    env = {**ENV, "SLUICE_BUDGET_LEASE": "3"}
    folder = tmp_path / "spool"
    env |= {"SLUICE_SPOOL": str(folder)} if spools else {}
    with (
        relayed(postgres_url) as (relay, url),
        running_city(CONFIG, env={**env, "DATABASE_URL": url}) as city,
    ):
        assert city.ask("rich", **SMALL).status == 200
        city.upstream.script = lambda request: Reply.json(chat_body(), wait=1.5)
        running = gevent.spawn(city.ask, "rich", **SMALL)
        eventually(lambda: city.served == 2)
        relay.cut()
        city.upstream.script = good
        unavailable(city.ask("rich", **SMALL))
        assert [city.ask("free").status for _ in range(3)] == [200, 200, 200]
        for path in ("calls.csv", "calls.jsonl", "calls"):
            unavailable(city.client("master").get(f"/admin/{path}"))
        running.join(30)
        assert running.value.status == 200
        if spools:
            eventually(lambda: sum(path.read_text().count("\n") for path in folder.glob("*")) >= 4, 30)
        else:
            eventually(lambda: lost_rows(city) == 3, 30)
        relay.mend()
        eventually(lambda: _stands(city) == [{"spent": 1.0, "reserved": 0.0}], 30)
        assert check(city) == []
        assert sum(row["cost"] for row in rows(city, "rich")) == 1.0
        assert len(rows(city, "free")) == (3 if spools else 0)
        assert city.ask("rich", **SMALL).status == 200
        if spools:
            eventually(lambda: not [path for path in folder.glob("*") if path.stat().st_size], 15)
            assert lost_rows(city) == 0


def _stands(city: City) -> list[dict[str, float]]:
    answer = city.client("rich").get("/v1/key")
    if answer.status != 200:
        return []
    return [{name: row[name] for name in ("spent", "reserved")} for row in answer.json["budgets"]]


def test_a_row_that_cannot_be_written_is_counted_and_all_others_are_written(postgres_url: str) -> None:
    """Whatever is wrong with it: here, a trigger raises what PostgreSQL raises for a number that is too large."""
    function = (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF NEW.input_tokens = 7 THEN "
        "RAISE EXCEPTION 'too large' USING ERRCODE = '22003'; END IF; RETURN NEW; END $$"
    )
    with (
        running_city(CONFIG, env={**ENV, "DATABASE_URL": postgres_url}) as city,
        psycopg.connect(postgres_url, autocommit=True) as connection,
    ):
        assert city.ask("free").status == 200
        eventually(lambda: rows(city, "free"))
        connection.execute(function)
        connection.execute(
            "CREATE TRIGGER refusal BEFORE INSERT ON ledger FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
        usage = chat_body()["usage"] | {"prompt_tokens": 7}
        city.upstream.script = lambda request: (
            Reply.json(chat_body() | {"usage": usage}) if request.json().get("seed") == 7 else good(request)
        )
        calls = [gevent.spawn(city.ask, "free", seed=seed) for seed in (6, 7, 8)]
        gevent.joinall(calls, raise_error=True)
        eventually(lambda: lost_rows(city) == 1)
        assert city.ask("free").status == 200
        eventually(lambda: len(rows(city, "free")) == 4)
