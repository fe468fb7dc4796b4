"""Corrections of the ledger by an administrator, and what the command line says of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from app import create_app
from app.cli import main
from app.config import Budget, ProviderSettings, Secret, Settings, VirtualKey
from app.gateway.budgets.charges import touches_of_caller
from app.gateway.core import gateway_of
from app.state.ledger_rows import COUNTS, Entry, row_id
from app.state.tables import budget

MASTER = "sk-master-0123456789"
DOLLAR = 1_000_000_000
PRICES = {"x": {"input": 1.0, "output": 2.0}}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    key = VirtualKey("ann", Secret("sk-ann"), "red", budgets=(Budget(10 * DOLLAR, "total"),))
    return Settings(
        database_url=f"sqlite:///{tmp_path}/sluice.db",
        master_key=Secret(MASTER),
        keys=(key,),
        providers={"groq": ProviderSettings("groq", prices=PRICES)},
    )


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    made = create_app(settings)
    yield made
    gateway_of(made).close()


def entry(name: str, state: str, cost: int | None) -> Entry:
    attempt = f"att_{name}"
    names = {"tenant": "red", "key": "ann", "asked": "groq/x", "provider": "groq", "model": "x"}
    return Entry(
        id=row_id(attempt),
        attempt_id=attempt,
        call_id=f"req_{name}",
        created_at=1_700_000_000.0,
        period_at=1_700_000_000.0,
        provider_key=None,
        request_type="chat_completion",
        state=state,  # type: ignore[arg-type]
        cost=cost,
        cost_details=None,
        **names,  # type: ignore[arg-type]
        **dict.fromkeys(COUNTS),
    )


def charged(app: Flask, name: str, state: str, cost: int | None) -> str:
    """Reserve two dollars for an attempt, and settle it in a state; return its row's id."""
    gateway = gateway_of(app)
    principal = gateway.keys.configured["red", "ann"]
    lines = [touch.line(gateway.accounts.clock()) for touch in touches_of_caller(principal, ())]
    book = gateway.state().budgets
    row = entry(name, state, cost)
    assert book.reserve(row, lines, 2 * DOLLAR, 60).refused is None
    book.settle(row)
    return row.id


def spent(app: Flask) -> float:
    answer = app.test_client().get("/v1/key", headers={"authorization": "Bearer sk-ann"})
    (row,) = answer.get_json()["budgets"]
    return float(row["spent"])


def settle(app: Flask, row: str, **members: Any) -> tuple[int, Any]:
    headers = {"authorization": f"Bearer {MASTER}"}
    answer = app.test_client().post(f"/admin/ledger/{row}/settle", json=members, headers=headers)
    return answer.status_code, answer.get_json()


@pytest.mark.parametrize(("usd", "left"), [(0.5, 0.5), (0, 0.0), (3, 3.0), (2, 2.0)])
def test_a_lost_row_is_corrected_once_to_what_it_really_cost(app: Flask, usd: float, left: float) -> None:
    row = charged(app, "one", "lost", 2 * DOLLAR)
    assert spent(app) == 2.0
    status, made = settle(app, row, usd=usd, reason="the provider's bill")
    assert status == 201
    assert (made["state"], made["corrects"], made["cost"]) == ("settled", row, usd - 2)
    assert (made["reason"], made["attempt_id"]) == ("the provider's bill", "att_one")
    assert spent(app) == left
    status, refused = settle(app, row, usd=1, reason="again")
    assert (status, refused["error"]["code"]) == (409, "conflict")
    assert settle(app, made["id"], usd=1, reason="again")[0] == 409
    assert spent(app) == left
    assert gateway_of(app).state().ledger.check().faults == []
    (audited,) = gateway_of(app).state().audit.page(5, None).rows
    assert (audited["action"], audited["subject"], audited["after"]["cost"]) == (
        "ledger.settled",
        row,
        usd - 2,
    )


def test_a_usage_is_charged_at_its_models_price(app: Flask) -> None:
    row = charged(app, "one", "estimated", DOLLAR)
    usage = {"input_tokens": 500_000, "output_tokens": 1_000_000}
    status, made = settle(app, row, usage=usage, reason="log of the provider")
    assert (status, made["cost"]) == (201, 1.5)
    assert made["usage"] == {**usage, "cached_tokens": 0, "reasoning_tokens": 0}
    assert spent(app) == 2.5


def test_a_row_of_unknown_price_may_be_corrected_too(app: Flask) -> None:
    row = charged(app, "one", "estimated", None)
    assert spent(app) == 0.0
    assert settle(app, row, usd=0.25, reason="bill")[1]["cost"] == 0.25
    assert spent(app) == 0.25


@pytest.mark.parametrize("state", ["settled", "cached"])
def test_a_row_that_is_sure_is_not_corrected(app: Flask, state: str) -> None:
    assert settle(app, charged(app, "one", state, DOLLAR), usd=1, reason="x")[0] == 409


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"reason": "x"}, "usd"),
        ({"usd": 1, "usage": {"input_tokens": 1}, "reason": "x"}, "usd"),
        ({"usd": 1}, "reason"),
        ({"usd": 1, "reason": " "}, "reason"),
        ({"usd": -1, "reason": "x"}, "usd"),
        ({"usd": "1", "reason": "x"}, "usd"),
        ({"usage": {"input_tokens": -1}, "reason": "x"}, "usage.input_tokens"),
        ({"usage": {"output_tokens": 1}, "reason": "x"}, "usage.input_tokens"),
        ({"usd": 1, "reason": "x", "cost": 1}, "cost"),
    ],
)
def test_what_is_no_correction_is_refused(app: Flask, members: Any, param: str | None) -> None:
    row = charged(app, "one", "lost", 2 * DOLLAR)
    status, answer = settle(app, row, **members)
    assert status == 400
    if param is not None:
        assert answer["error"]["param"] == param
    assert settle(app, "led_0", usd=1, reason="x")[0] == 404


Sluice = Callable[..., tuple[int, str, str]]


@pytest.fixture
def sluice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sluice:
    """Run one command over the application's database; gives exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/sluice.db")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(("ledger", *arguments))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_the_terminal_lists_shows_and_corrects(app: Flask, sluice: Sluice) -> None:
    row = charged(app, "one", "lost", 2 * DOLLAR)
    charged(app, "two", "settled", DOLLAR)
    assert [line.split()[0] for line in sluice("list", "state=lost")[1].splitlines()] == ["id", row]
    assert len(sluice()[1].splitlines()) == 3
    assert json.loads(sluice("show", row, "--json")[1])["state"] == "lost"
    code, out, _ = sluice("settle", row, "usd=0.5", "reason=the bill", "--json")
    assert (code, json.loads(out)["cost"]) == (0, -1.5)
    assert sluice("settle", row, "usd=0.5", "reason=the bill")[0] == 1
    assert sluice("settle", row, "usd=x", "reason=r")[::2] == (
        2,
        "sluice: Invalid 'usd': must be a number of dollars from 0 to 1,000,000,000.\n",
    )
    assert sluice("settle")[0] == sluice("list", "colour=red")[0] == 2
    assert spent(app) == 1.5


def test_a_check_tells_what_does_not_sum_up(
    app: Flask, sluice: Sluice, monkeypatch: pytest.MonkeyPatch
) -> None:
    charged(app, "one", "lost", 2 * DOLLAR)
    assert sluice("check")[:2] == (0, "1 budgets and 1 rows of the ledger: sound\n")
    grown = update(budget).values(spent=budget.c.spent + 1, reserved=5)
    gateway_of(app).state().db.write(lambda connection: connection.execute(grown) and None)
    code, out, _ = sluice("check", "--json")
    value = json.loads(out)
    assert (code, value["sound"], len(value["faults"])) == (1, False, 2)
    assert value["faults"][0] == (
        "key:red/ann:total:0:: spent is 2.000000001 USD, but its rows sum up to 2.000000000 USD"
    )
    monkeypatch.setenv("DATABASE_URL", "sqlite:////nowhere/at/all.db")
    assert sluice("check")[0] == 2


BAD_BUDGETS = [
    ([{"usd": 1}], "budgets[0].per"),
    ([{"per": "day"}], "budgets[0].usd"),
    ([{"usd": -1, "per": "day"}], "budgets[0].usd"),
    ([{"usd": "5", "per": "day"}], "budgets[0].usd"),
    ([{"usd": True, "per": "day"}], "budgets[0].usd"),
    ([{"usd": 1e300, "per": "day"}], "budgets[0].usd"),
    ([{"usd": 5, "per": "hour"}], "budgets[0].per"),
    ([{"usd": 5, "per": "day", "models": ""}], "budgets[0].models"),
    ([{"usd": 5, "per": "day", "models": "x" * 257}], "budgets[0].models"),
    ([{"usd": 5, "per": "day", "unpriced": "maybe"}], "budgets[0].unpriced"),
    ([{"usd": 5, "per": "day"}, {"usd": 5, "per": "day", "limit": 1}], "budgets[1].limit"),
    ({"usd": 5, "per": "day"}, "budgets"),
]


@pytest.mark.parametrize(("budgets", "param"), BAD_BUDGETS)
def test_a_budget_that_is_none_is_refused_with_its_place(app: Flask, budgets: Any, param: str) -> None:
    headers = {"authorization": f"Bearer {MASTER}"}
    answer = app.test_client().post(
        "/admin/tenants", json={"name": "team", "budgets": budgets}, headers=headers
    )
    assert (answer.status_code, answer.get_json()["error"]["param"]) == (400, param)


def test_budgets_of_run_time_hold_change_and_are_charged_for_the_time_between(app: Flask) -> None:
    client, headers = app.test_client(), {"authorization": f"Bearer {MASTER}"}
    total = [{"usd": 3, "per": "total"}]
    assert (
        client.post("/admin/tenants", json={"name": "team", "budgets": total}, headers=headers).status_code
        == 201
    )
    key = client.post(
        "/admin/keys", json={"name": "eve", "tenant": "team", "budgets": total}, headers=headers
    )
    assert (key.status_code, key.get_json()["budgets"]) == (201, total)
    secret, key_id = key.get_json()["key"], key.get_json()["id"]

    def own() -> Any:
        answer = client.get("/v1/key", headers={"authorization": f"Bearer {secret}"})
        return [(row["level"], row["usd"], row["spent"]) for row in answer.get_json()["budgets"]]

    def spend(name: str, levels: int) -> None:
        gateway = gateway_of(app)
        principal = gateway.keys.find(secret)
        lines = [touch.line(gateway.accounts.clock()) for touch in touches_of_caller(principal, ())]
        assert len(lines) == levels
        now = gateway.accounts.clock()
        row = entry(name, "settled", DOLLAR)._replace(tenant="team", key="eve", period_at=now)
        assert gateway.state().budgets.reserve(row, lines, DOLLAR, 60).refused is None
        gateway.state().budgets.settle(row)

    def change(budgets: Any) -> None:
        path = f"/admin/keys/{key_id}"
        assert client.patch(path, json={"budgets": budgets}, headers=headers).status_code == 200
        gateway_of(app).keys.refresh()

    assert own() == [("key", 3, 0.0), ("tenant", 3, 0.0)]
    spend("one", 2)
    change(None)
    assert own() == [("tenant", 3, 1.0)]
    spend("two", 1)
    change([{"usd": 0.5, "per": "total"}])
    assert own() == [("key", 0.5, 2.0), ("tenant", 3, 2.0)]
    assert gateway_of(app).state().ledger.check().faults == []
