"""Pools of a provider's keys at the HTTP edge: a refused key is passed over, and shown so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.behaviour.world import chat_body
from tests.governance.city import CHAT, PROMPT, City, running_city
from tests.traffic.replay import Reply, Request

CONFIG = """
[keys.ann]
key = "sk-ann"
[providers.pool]
dialect = "chat"
base_url = "{upstream}/pool"
[[providers.pool.keys]]
name = "spent"
value = "spent-key"
weight = 1000000
[[providers.pool.keys]]
name = "good"
value = "good-key"
"""


def refusing(request: Request) -> Reply:
    """Refuse one of the two keys."""
    if "spent-key" in request.headers["authorization"]:
        return Reply.json({"error": {"message": "no such key", "code": "invalid_api_key"}}, 401)
    return Reply.json(chat_body())


@pytest.fixture
def city() -> Iterator[City]:
    with running_city(
        CONFIG, script=refusing, env={"SLUICE_MASTER_KEY": "sk-master", "SLUICE_SECRET_KEY": "s"}
    ) as city:
        yield city


def test_a_refused_key_is_asked_once_and_then_passed_over(city: City) -> None:
    answers = [city.client("ann").send("POST", CHAT, {**PROMPT, "model": "pool/m"}) for _ in range(6)]
    assert {answer.status for answer in answers} == {200}
    used = [request.headers["authorization"].removeprefix("Bearer ") for request in city.upstream.requests]
    assert used == ["spent-key", *["good-key"] * 6]
    row = next(
        one for one in city.client("master").get("/admin/providers").json["data"] if one["id"] == "pool"
    )
    passed = {key["name"]: key["passed_over"] for key in row["keys"]}
    assert passed["good"] is None
    assert 590 < passed["spent"] <= 600
