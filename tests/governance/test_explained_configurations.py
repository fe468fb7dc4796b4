"""Drawn configurations, each with a past of its own: what is explained of a request is what then happens.

Strategies, weights, fallbacks, names that lead to names, pools of keys, limits and budgets at each level, limits
of providers, prices, caches, the breaker, refused keys: each seed draws its own. The gateway runs in this process,
the provider behind it is a real server.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from app import create_app
from app.config_loading import load
from tests.behaviour.world import chat_body
from tests.traffic.replay import Reply, Request, Upstream

CONFIGURATIONS: Final = 200 if os.environ.get("SLUICE_EXPLORE") == "1" else 40
"""All of them: ``SLUICE_EXPLORE=1 make test ARGS="tests/governance/test_explained_configurations.py"``."""
REQUESTS: Final = 4
MASTER: Final = "sk-master-of-the-test"
WAIT: Final = re.compile(r"Try again in [0-9hms]+|of which .* running calls")
PROVIDERS: Final = ("alpha", "beta", "gamma")
MODELS: Final = ("m", "n")
FAULTS: Final = (500, 401, 429)
PATHS: Final = ("/v1/chat/completions", "/v1/responses", "/anthropic/v1/messages")

Place = tuple[str, str, str]
"""A provider, a model and the name of a key."""


def toml(value: Any) -> str:
    """Return a value as TOML writes it inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {toml(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def table(path: str, members: dict[str, Any]) -> str:
    """Return a table of TOML, without what is empty."""
    rows = [f"{name} = {toml(value)}" for name, value in members.items() if value not in (None, [], {})]
    return f"[{path}]\n" + "\n".join(rows) + "\n"


class Draw:
    """What one seed draws."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def maybe(self, share: float, make: Callable[[], Any]) -> Any:
        """Return what ``make`` makes, or None."""
        return make() if self.chance.random() < share else None

    def limits(self) -> list[dict[str, Any]]:
        one = self.chance.choice(
            (
                {"requests": self.chance.randint(2, 9), "per": "hour"},
                {"tokens": self.chance.choice((15, 60, 2_000)), "per": "day"},
                {"requests": self.chance.randint(1, 6), "per": "day", "models": "alpha/*"},
                {"concurrent": 3},
            )
        )
        return [one]

    def budgets(self) -> list[dict[str, Any]]:
        one = {"usd": self.chance.choice((0.000_001, 0.002, 5)), "per": self.chance.choice(("day", "total"))}
        if self.chance.random() < 0.3:
            one["models"] = f"{self.chance.choice(PROVIDERS)}/*"
        return [one | ({"unpriced": "deny"} if self.chance.random() < 0.3 else {})]

    def place(self) -> str:
        return f"{self.chance.choice(PROVIDERS)}/{self.chance.choice(MODELS)}"

    def places(self, least: int, most: int) -> list[str]:
        every = [f"{provider}/{model}" for provider in PROVIDERS for model in MODELS]
        return self.chance.sample(every, self.chance.randint(least, most))

    def prices(self) -> dict[str, Any]:
        known = self.chance.sample(MODELS, self.chance.randint(0, 2))
        return {model: {"input": self.chance.choice((1, 1, 5)), "output": 10} for model in known}

    def provider(self, url: str, name: str) -> str:
        keys = [
            {"name": f"k{n}", "value": f"{name}-k{n}", "weight": self.chance.choice((1, 3))}
            | ({"limits": found} if (found := self.maybe(0.15, self.limits)) else {})
            for n in range(self.chance.choice((1, 1, 2)))
        ]
        members = {"dialect": "chat", "base_url": f"{url}/{name}", "keys": keys, "prices": self.prices()}
        return table(f"providers.{name}", members | {"limits": self.maybe(0.25, self.limits)})

    def name(self, name: str, more: list[str]) -> str:
        strategies = ("weighted", "ordered", "ordered", "latency", "cheapest", "cheapest", "least-busy")
        targets = [
            {"target": one, "weight": self.chance.choice((1, 4))} for one in [*more, *self.places(1, 3)]
        ]
        members = {"strategy": self.chance.choice(strategies), "targets": targets}
        return table(f'models."{name}"', members | {"fallbacks": self.places(0, 2)})

    def owner(self) -> dict[str, Any]:
        """Return what a key, a tenant or the gateway is held by."""
        return {"limits": self.maybe(0.3, self.limits), "budgets": self.maybe(0.3, self.budgets)}

    def configuration(self, url: str) -> str:
        models = self.maybe(0.2, lambda: ["inner", "outer", "alpha/*", "beta/m"])
        server = self.owner() | {
            "cache": self.maybe(0.3, lambda: {"ttl": "5m"}),
            "breaker": self.chance.random() < 0.5,
            "sticky_prompts": self.chance.random() < 0.3,
        }
        return "".join(
            [
                table("server", server),
                table("tenants.red", self.owner()),
                table("keys.ann", {"key": "sk-ann", "tenant": "red", "models": models} | self.owner()),
                *(self.provider(url, name) for name in PROVIDERS),
                self.name("inner", []),
                self.name("outer", ["inner"]),
            ]
        )

    def faults(self) -> dict[tuple[str, str], int]:
        """Return the accounts (provider, key) that fail, and how."""
        broken = self.chance.sample(PROVIDERS, self.chance.choice((0, 0, 1, 2)))
        return {(name, "k0"): self.chance.choice(FAULTS) for name in broken}

    def request(self) -> tuple[str, dict[str, Any]]:
        """Return a path and a body."""
        model = self.chance.choice(("inner", "outer", "inner", "outer", self.place(), "nobody/x"))
        body: dict[str, Any] = {"model": model}
        if self.chance.random() < 0.2:
            body["fallbacks"] = self.places(1, 2)
        path = self.chance.choice(PATHS)
        text = self.chance.choice(("hi", "hi", "many words " * 40, "x" * 4_100))
        if path.endswith("responses"):
            body |= {"input": text, "store": self.chance.random() < 0.5}
        else:
            body |= {"messages": [{"role": "user", "content": text}], "max_tokens": 20}
        if self.chance.random() < 0.4 and not path.startswith("/anthropic"):
            body["prompt_cache_key"] = self.chance.choice("abc")
        return path, body


@dataclass
class House:
    """A configuration that runs, before an upstream whose accounts fail as drawn."""

    client: Any
    gateway: Any
    upstream: Upstream
    faults: dict[tuple[str, str], int]
    answered: list[str] = field(default_factory=list)

    def post(self, path: str, body: Any, key: str = "sk-ann") -> Any:
        """Send a request; what it used is settled when this returns."""
        answer = self.client.post(path, json=body, headers={"authorization": f"Bearer {key}"})
        answer.get_data()
        self.gateway.accounts._settling.join(5)
        if answer.status_code == 200 and path == "/v1/responses" and body.get("store"):
            self.answered.append(answer.json["id"])
        return answer

    def explained(self, path: str, body: Any) -> dict[str, Any]:
        """Ask what a request would do; nobody is asked for it."""
        before = len(self.upstream.requests)
        answer = self.post("/admin/explain", {"path": path, "key": "ann", "body": body}, MASTER)
        assert answer.status_code == 200, answer.text
        assert len(self.upstream.requests) == before
        shown: dict[str, Any] = answer.json
        return shown

    def fails(self, place: Place) -> bool:
        """Tell whether the account of a place fails."""
        return (place[0], place[2]) in self.faults


def account_of(request: Request) -> tuple[str, str]:
    """Return the provider and the name of the key of a request as it arrived."""
    name, _, key = request.headers["authorization"].removeprefix("Bearer ").partition("-")
    return name, key


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream(lambda request: Reply.json(chat_body())) as running:
        yield running


def house_of(draw: Draw, upstream: Upstream, folder: Path) -> House:
    """Return a house of what is drawn, with its past."""
    (folder / "sluice.toml").write_text(draw.configuration(upstream.url))
    environ = {
        "SLUICE_CONFIG": str(folder / "sluice.toml"),
        "DATABASE_URL": f"sqlite:///{folder / 'sluice.db'}",
        "SLUICE_MASTER_KEY": MASTER,
        "SLUICE_SECRET_KEY": "a secret of the test",
        "SLUICE_MAX_RETRIES": "0",
        "SLUICE_CALL_LOG": "off",
    }
    app = create_app(load(environ))
    house = House(app.test_client(), app.extensions["sluice"], upstream, draw.faults())

    def script(request: Request) -> Reply:
        status = house.faults.get(account_of(request))
        if status is None:
            return Reply.json(chat_body())
        pause = {"retry-after": "30"} if status == 429 else {}
        return Reply.json({"error": {"message": "no"}}, status, headers=pause)

    upstream.forget()
    upstream.script = script
    for _ in range(draw.chance.choice((0, 0, 2, 14))):
        house.post(*draw.request())
    return house


def refusals_of(shown: dict[str, Any]) -> set[str]:
    """Return the messages that may be told: where all targets are passed over, that of the one that is drawn first."""
    passed = [row["reason"].removeprefix("passed over: ") for row in shown["targets"]]
    told = [shown["refused"]["message"], *(passed if shown["refused"]["code"] == "budget_exceeded" else ())]
    return {WAIT.sub("", one) for one in told}


def places_of(shown: dict[str, Any]) -> list[Place]:
    """Return the places that are going to be asked, in order, should those before them fail."""
    rows = [row for row in shown["targets"] if not row["reason"].startswith("passed over")]
    return [(row["provider"], row["model"], row["key"]) for row in rows]


def expected(house: House, places: list[Place]) -> list[Place]:
    """Return the places that are really asked: up to the first that does not fail."""
    good = next((n for n, place in enumerate(places) if not house.fails(place)), len(places))
    return places[: good + 1]


def check(house: House, path: str, body: dict[str, Any]) -> str:
    """Hold one request to its explanation; return how it ended."""
    explanation = house.explained(path, body)
    asked_before = len(house.upstream.requests)
    real = house.post(path, body)
    requests = house.upstream.requests[asked_before:]
    asked = [(*account_of(one), one.json()["model"]) for one in requests]
    places = [(provider, model, key) for provider, key, model in asked]
    where = json.dumps([path, body, explanation, real.status_code, real.text, places], indent=1)
    told = [one["remaining"] for one in explanation["limits"] if "requests" in one]
    left = real.headers.get(
        "x-ratelimit-remaining-requests", real.headers.get("anthropic-ratelimit-requests-remaining")
    )
    if explanation["refused"] is not None:
        message = real.json["error"]["message"]
        assert real.status_code == explanation["refused"]["status"], where
        assert WAIT.sub("", message) in refusals_of(explanation), where
        assert places == [], where
        return str(explanation["refused"]["code"])
    assert real.headers.get("x-sluice-cache", "off") == explanation["cache"], where
    if told:
        assert int(left) == min(told) - 1, where
    if explanation["cache"] == "hit":
        assert (real.status_code, places) == (200, []), where
        return "hit"
    possible = places_of(explanation)
    reason = explanation["targets"][0]["reason"]
    if any(
        "drawn by weight" in row["reason"] or "one call in twenty" in row["reason"]
        for row in explanation["targets"]
    ):
        assert set(places) <= set(possible), where
        how = "drawn"
    else:
        assert places == expected(house, possible), (reason, where)
        how = "in order"
    good = any(not house.fails(place) for place in possible)
    assert (real.status_code == 200) == good, where
    return how if good else f"{how}, all failed"


@pytest.mark.parametrize("seed", range(CONFIGURATIONS))
def test_a_drawn_configuration_does_what_is_explained(seed: int, upstream: Upstream, tmp_path: Path) -> None:
    draw = Draw(seed)
    house = house_of(draw, upstream, tmp_path)
    try:
        for _ in range(REQUESTS):
            path, body = draw.request()
            if path == "/v1/responses" and house.answered and draw.chance.random() < 0.7:
                body["previous_response_id"] = draw.chance.choice([*house.answered, "resp_" + "0" * 48])
            ENDS.append(check(house, path, body))
    finally:
        house.gateway.close()


ENDS: list[str] = []
"""How the requests of this run ended."""


def test_the_draws_came_to_every_kind_of_end() -> None:
    if len(ENDS) < CONFIGURATIONS * REQUESTS:
        pytest.skip("only some configurations were tried")
    assert {
        "drawn",
        "in order",
        "in order, all failed",
        "hit",
        "rate_limit_exceeded",
        "budget_exceeded",
    } <= set(ENDS)
