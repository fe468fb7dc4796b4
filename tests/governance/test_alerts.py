"""Alerts of budgets: each threshold once a period, signed, and sent until somebody takes it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.gateway.budgets.alerts import _CLOCKS, _LEASE, signing_key, thresholds_reached
from app.state.alerts import _AT_ONCE
from app.state.budget_lines import ChargedBudget
from tests.behaviour.world import chat_body
from tests.governance.city import City, running_city
from tests.lifecycle.house import eventually
from tests.traffic.replay import Reply, Request

KEY = b"a secret of twenty-four b"
CONFIG = """
[server]
alert_url = "{upstream}/hook"
[keys.ann]
key = "sk-ann"
tenant = "red"
budgets = [{ usd = 1, per = "day" }, { usd = 1000, per = "month" }]
[keys.bob]
key = "sk-bob"
tenant = "blue"
[tenants.blue]
budgets = [{ usd = 0.5, per = "total", models = "groq/*" }]
[providers.groq.prices]
x = { input = 100000, output = 100000 }
"""
SMALL = {"max_tokens": 2, "messages": [{"role": "user", "content": "twelve bytes"}]}


class Hook:
    """A provider that is also the receiver, which takes nothing while it is ``deaf``."""

    def __init__(self) -> None:
        self.deaf = 0
        self.tokens = (3, 2)
        self.seen: list[Request] = []

    def __call__(self, request: Request) -> Reply:
        if not request.path.startswith("/hook"):
            came_in, went_out = self.tokens
            usage = {
                "prompt_tokens": came_in,
                "completion_tokens": went_out,
                "total_tokens": sum(self.tokens),
            }
            return Reply.json({**chat_body(), "usage": usage})
        self.seen.append(request)
        self.deaf -= 1
        return Reply.json({}, 500 if self.deaf >= 0 else 204)

    def messages(self) -> list[dict[str, Any]]:
        return [request.json()["data"] for request in self.seen]


def is_signed(request: Request) -> bool:
    """Tell whether a message is signed as Standard Webhooks has it, by its own words."""
    content = (
        f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    )
    expected = base64.b64encode(hmac.new(KEY, content, hashlib.sha256).digest()).decode()
    return bool(request.headers["webhook-signature"] == f"v1,{expected}")


def test_each_threshold_is_told_once_and_until_it_is_taken() -> None:
    hook = Hook()
    hook.deaf = 1
    secret = "whsec_" + base64.b64encode(KEY).decode()
    with running_city(
        CONFIG, script=hook, env={"SLUICE_ALERT_SECRET": secret, "SLUICE_METRICS": "on"}
    ) as city:
        assert city.ask(**SMALL).status == 200
        eventually(lambda: len(hook.seen) == 2)
        first, second = hook.seen
        assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
        assert [is_signed(first), is_signed(second)] == [True, True]
        assert first.path == "/hook"
        body = first.json()
        assert (body["type"], body["timestamp"][-1]) == ("budget.threshold", "Z")
        resets_at = body["data"].pop("resets_at")
        assert resets_at % 86_400 == 0
        assert body["data"] == {
            "level": "key",
            "owner": "ann",
            "tenant": "red",
            "threshold": 50,
            "usd": 1,
            "per": "day",
            "models": None,
            "spent": 0.5,
        }
        assert city.ask(**SMALL).status == 200
        eventually(lambda: len(hook.seen) == 5)
        assert sorted(row["threshold"] for row in hook.messages()[2:]) == [80, 95, 100]
        assert len({request.headers["webhook-id"] for request in hook.seen}) == 4
        assert city.ask("bob", **SMALL).status == 200
        eventually(lambda: len(hook.seen) == 9)
        assert {
            (row["level"], row["owner"], row["tenant"], row["resets_at"]) for row in hook.messages()[5:]
        } == {("tenant", "blue", "blue", None)}
        noted(city)


def test_what_is_claimed_at_once_is_sent_within_its_lease_however_slow_the_receiver_is() -> None:
    assert _CLOCKS.total is not None
    assert _AT_ONCE * _CLOCKS.total <= _LEASE


def noted(city: City) -> None:
    """See that log and metrics have the same thresholds."""
    lines = [line for line in city.gateways[0].log.split("\n") if "a budget of" in line]
    assert len(lines) == 8
    message = json.loads(lines[0])["message"]
    assert message == "a budget of the key 'red/ann' has reached 50 %: $0.50 of $1.00 per day"
    page = city.client().get("/metrics").body.decode()
    assert 'sluice_budget_alerts_total{level="key",threshold="50"} 1.0' in page
    assert 'sluice_budget_alerts_total{level="tenant",threshold="100"} 1.0' in page


def test_a_threshold_that_a_killed_process_did_not_record_is_told_by_the_next_refusal(tmp_path: Path) -> None:
    """A process may be killed after it charged a call and before it recorded the threshold: so the database is then."""
    hook, env = Hook(), {"DATABASE_URL": f"sqlite:///{tmp_path}/s.db"}
    with running_city(CONFIG, script=hook, env=env) as city:
        assert [city.ask("bob", **SMALL).status for _ in range(2)] == [200, 402]
        eventually(lambda: len(hook.messages()) == 4)
    hook.seen.clear()
    with closing(sqlite3.connect(tmp_path / "s.db")) as database:
        database.execute("UPDATE budget SET alerted = 0")
        database.execute("DELETE FROM alert")
        database.commit()
    with running_city(CONFIG, script=hook, env=env) as city:
        assert [city.ask("bob", **SMALL).status for _ in range(3)] == [402] * 3
        eventually(lambda: len(hook.messages()) == 4)
        assert [one["threshold"] for one in hook.messages()] == [50, 80, 95, 100]
        assert {one["owner"] for one in hook.messages()} == {"blue"}


def test_without_a_receiver_thresholds_are_logged_all_the_same() -> None:
    config = CONFIG.replace('alert_url = "{upstream}/hook"', "")
    hook = Hook()
    with running_city(config, script=hook) as city:
        assert city.ask(**SMALL).status == 200
        eventually(lambda: "has reached 50 %" in city.gateways[0].log)
        assert hook.seen == []


@pytest.mark.parametrize(
    ("spent", "alerted", "most", "reached"),
    [
        (49, 0, 100, []),
        (50, 0, 100, [50]),
        (80, 50, 100, [80]),
        (99, 0, 100, [50, 80, 95]),
        (130, 80, 100, [95, 100]),
        (130, 100, 100, []),
        (50, 0, 200, []),
        (5, 0, 0, []),
    ],
)
def test_a_threshold_is_reached_by_what_is_spent(
    spent: int, alerted: int, most: int, reached: list[int]
) -> None:
    assert (
        thresholds_reached(ChargedBudget("b", "key", "red/ann", "day", None, 0, spent, alerted, most))
        == reached
    )


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("whsec_c2VjcmV0", b"secret"),
        ("c2VjcmV0", b"secret"),
        ("no base64!", b"no base64!"),
        ("whsec_-", b"whsec_-"),
    ],
)
def test_a_secret_is_base64_or_a_text(secret: str, key: bytes) -> None:
    assert signing_key(secret) == key
