"""What budgets are made of: periods, estimates, words; and midnight, by a clock that the test moves."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app import create_app
from app.canonical.response import Usage
from app.config import Budget, ProviderSettings, Secret, Settings, VirtualKey, budget_row, budgets_of, nano_of
from app.gateway.budgets.charges import touches_of_caller, touches_of_target
from app.gateway.budgets.estimates import cost_of, output_of_body, pictures_of_body, units_of
from app.gateway.budgets.periods import period_of
from app.gateway.budgets.status import dollars
from app.gateway.call import Principal
from app.gateway.core import gateway_of
from tests.lifecycle.house import eventually

DOLLAR = 1_000_000_000


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("per", "now", "begin", "end"),
    [
        ("day", "2026-11-28T23:59:59.999", "2026-11-28", "2026-11-29"),
        ("day", "2026-11-29T00:00:00", "2026-11-29", "2026-11-30"),
        ("week", "2026-11-29T23:59:59", "2026-11-23", "2026-11-30"),
        ("week", "2026-11-30T00:00:00", "2026-11-30", "2026-12-07"),
        ("week", "2027-01-01T12:00:00", "2026-12-28", "2027-01-04"),
        ("month", "2026-12-31T23:59:59", "2026-12-01", "2027-01-01"),
        ("month", "2028-02-29T12:00:00", "2028-02-01", "2028-03-01"),
        ("month", "2027-01-31T00:00:00", "2027-01-01", "2027-02-01"),
    ],
)
def test_a_period_is_one_of_the_calendar(per: str, now: str, begin: str, end: str) -> None:
    assert period_of(per, at(now)) == (at(begin), at(end))


def test_a_total_has_no_end() -> None:
    assert period_of("total", at("2026-11-28")) == (0, None)


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({}, 8_192),
        ({"max_tokens": None}, 8_192),
        ({"max_tokens": True}, 8_192),
        ({"max_tokens": "5"}, 8_192),
        ({"max_tokens": 0}, 8_192),
        ({"max_tokens": 5}, 5),
        ({"max_tokens": 20_000}, 20_000),
        ({"max_tokens": 5, "n": 3}, 15),
        ({"max_completion_tokens": 6}, 6),
        ({"max_output_tokens": 7}, 7),
        ({"max_tokens": 5, "max_completion_tokens": 6}, 6),
        ({"generationConfig": {"maxOutputTokens": 8, "candidateCount": 2}}, 16),
        ({"inferenceConfig": {"maxTokens": 9}}, 9),
        ({"textGenerationConfig": {"maxTokenCount": 10}}, 10),
        ({"max_tokens": 1e300}, 10**9),
        ({"n": 2}, 16_384),
    ],
)
def test_a_body_bounds_its_answer_in_its_own_dialect(body: dict[str, Any], tokens: int) -> None:
    assert output_of_body(body, 8_192) == tokens


def test_things_are_reserved_where_they_have_a_price() -> None:
    documents = {"documents": ["x"] * 101}
    assert units_of("rerank", documents, {"search_unit": 1.0}) == {"search_units": 2}
    assert units_of("rerank", documents, {"input": 1.0}) == {}
    assert units_of("rerank", {}, {"search_unit": 1.0}) == {}
    assert units_of("image_edit", {"n": 3}, {"image": 1.0}) == {"generated_images": 3}
    assert units_of("image_edit", {}, {"image": 1.0}) == {"generated_images": 1}
    assert units_of("chat", {"n": 3, **documents}, {"image": 1.0, "search_unit": 1.0}) == {}


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({}, 6_240),
        ({"size": "auto", "quality": "auto"}, 6_240),
        ({"size": "1024x1024", "quality": "low"}, 272),
        ({"size": "1024x1024", "quality": "medium", "n": 10}, 10_560),
        ({"size": "1024x1024", "quality": "max"}, 4_160),
        ({"size": "1024x1024", "quality": "low", "stream": True, "partial_images": 3}, 572),
        ({"size": "1024x1024", "quality": "low", "partial_images": 3}, 272),
        ({"size": ["odd"], "quality": {}, "n": "many"}, 6_240),
    ],
)
def test_a_picture_is_reserved_by_size_and_quality(body: dict[str, Any], tokens: int) -> None:
    assert pictures_of_body(body) == tokens


@pytest.mark.parametrize(
    ("usd", "nano"),
    [(0.1, 100_000_000), (0.000000001, 1), (0.0000000001, 1), (0, 0), (19.99, 19_990_000_000), (1e9, 10**18)],
)
def test_dollars_are_whole_nano_dollars_and_none_vanish(usd: float, nano: int) -> None:
    assert nano_of(usd) == nano


@pytest.mark.parametrize(
    ("cost", "nano"),
    [
        (None, None),
        ({"total_cost": None}, None),
        ({"total_cost": 0.25}, 250_000_000),
        ({"total_cost": -1.0}, 0),
    ],
)
def test_a_cost_that_is_unknown_is_none(cost: Any, nano: int | None) -> None:
    assert cost_of(cost) == nano


def test_a_cost_beyond_all_measure_fits_the_database() -> None:
    assert cost_of({"total_cost": 1e30}) == (10**9 + 1) * DOLLAR < 2**63 // 2


@pytest.mark.parametrize(
    ("nano", "text"), [(0, "0.00"), (1, "0.000000001"), (DOLLAR, "1.00"), (-1_500_000_000, "-1.50")]
)
def test_amounts_are_written_out(nano: int, text: str) -> None:
    assert dollars(nano) == text


def test_budgets_are_shown_in_the_words_of_the_file() -> None:
    rows = [{"usd": 50, "per": "month"}, {"usd": 0.5, "per": "day", "models": "a/*", "unpriced": "deny"}]
    assert [budget_row(one) for one in budgets_of(rows)] == rows


def test_each_level_has_its_budgets_and_of_twins_the_tightest() -> None:
    wide, narrow, other = Budget(9, "day"), Budget(5, "day"), Budget(9, "day", "groq/*")
    principal = Principal("ann", "red", budgets=(wide, narrow, other), tenant_budgets=(wide,))
    found = [(one.level, one.owner, one.budget) for one in touches_of_caller(principal, (narrow,))]
    assert found == [
        ("key", "red/ann", narrow),
        ("key", "red/ann", other),
        ("tenant", "red", wide),
        ("gateway", "", narrow),
    ]
    assert [one.budget.models for one in touches_of_target(principal, (), "openai/x", ("x",))] == [None, None]
    assert touches_of_caller(Principal("ann", "red"), ()) == []


# --- through the application -----------------------------------------------------------------


class Clock:
    """A clock that the test moves; Unix seconds."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


HEADERS = {"authorization": "Bearer sk-ann"}
ASKED = {"model": "groq/x", "messages": [{"role": "user", "content": "twelve bytes"}], "max_tokens": 2}


@pytest.fixture
def app(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Flask]:
    budgets = (Budget(DOLLAR, request.param),)
    prices = {"echo": {"input": 100_000.0, "output": 100_000.0}}
    made = create_app(
        Settings(
            database_url=f"sqlite:///{tmp_path}/sluice.db",
            keys=(VirtualKey("ann", Secret("sk-ann"), "red", budgets=budgets),),
            providers={"sandbox": ProviderSettings("sandbox", prices=prices)},
        )
    )
    yield made
    gateway_of(made).close()


def ask(app: Flask, **members: Any) -> Any:
    body = {**ASKED, "model": "sandbox/echo", **members}
    answer = app.test_client().post("/v1/chat/completions", json=body, headers=HEADERS)
    eventually(lambda: _budget(app)["reserved"] == 0)
    return answer


def _budget(app: Flask) -> dict[str, Any]:
    (row,) = app.test_client().get("/v1/key", headers=HEADERS).get_json()["budgets"]
    found: dict[str, Any] = row
    return found


@pytest.mark.parametrize(
    ("app", "before", "after"),
    [
        ("day", "2026-11-28T23:59:59", "2026-11-29T00:00:00"),
        ("week", "2026-11-29T23:59:59", "2026-11-30T00:00:00"),
        ("month", "2026-12-31T23:59:59", "2027-01-01T00:00:00"),
    ],
    indirect=["app"],
)
def test_a_budget_starts_anew_with_its_period(app: Flask, before: str, after: str) -> None:
    clock = gateway_of(app).accounts.clock = Clock(at(before))
    assert ask(app, max_tokens=7).status_code == 200
    spent = _budget(app)["spent"]
    assert spent > 0
    refused = ask(app, max_tokens=9)
    assert refused.status_code == 402
    assert f"It starts anew at {after}Z." in refused.get_json()["error"]["message"]
    assert _budget(app)["resets_at"] == at(after)
    clock.now = at(after)
    assert _budget(app)["spent"] == 0
    assert ask(app, max_tokens=7).status_code == 200
    assert _budget(app)["spent"] == spent
    clock.now = at(before)
    assert _budget(app)["spent"] == spent
    assert gateway_of(app).state().ledger.check().faults == []


@pytest.mark.parametrize("app", ["total"], indirect=True)
def test_a_picture_goes_by_the_table_and_not_by_its_base64(app: Flask) -> None:
    picture = "data:image/png;base64," + base64.b64encode(bytes(60_000)).decode()
    content = [{"type": "image_url", "image_url": {"url": picture}}]
    refused = ask(app, messages=[{"role": "user", "content": content}])
    assert refused.status_code == 402
    assert "may cost up to $76.7" in refused.get_json()["error"]["message"]


@pytest.mark.parametrize("app", ["total"], indirect=True)
def test_what_an_attempt_would_meet_is_said_without_reserving(app: Flask) -> None:
    gateway = gateway_of(app)
    seen: list[Any] = []
    reserve = gateway.accounts.reserve

    def note(attempt: Any, touches: Any) -> Any:
        seen.append(gateway.accounts.preview(attempt.call, attempt.target))
        return reserve(attempt, touches)

    gateway.accounts.reserve = note  # type: ignore[method-assign]
    assert ask(app, max_tokens=2).status_code == 200
    assert ask(app, max_tokens=90).status_code == 402
    fits, refused = seen
    assert (fits.refused, fits.estimate.cost, fits.balances[0]) == (None, 500_000_000, (0, 0))
    assert refused.refused.status == 402
    assert refused.estimate.output_tokens == 90


@pytest.mark.parametrize("app", ["total"], indirect=True)
def test_a_cached_answer_has_a_row_at_no_cost(app: Flask) -> None:
    gateway = gateway_of(app)
    seen: list[Any] = []
    settle = gateway.accounts.settle

    def note(reservation: Any, attempt: Any) -> None:
        seen.append(attempt.call)
        settle(reservation, attempt)

    gateway.accounts.settle = note  # type: ignore[method-assign]
    ask(app)
    gateway.accounts.note_cached(seen[0], "sandbox", "echo", Usage(5, 3))
    rows = eventually(lambda: gateway.state().ledger.page(9, None, {"state": "cached"}, (None, None)).rows)
    assert [(row["cost"], row["usage"]["input_tokens"], row["call_id"]) for row in rows] == [
        (0.0, 5, seen[0].id)
    ]
