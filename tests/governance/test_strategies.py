"""Strategies at the HTTP edge: which target a name leads to."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest

from tests.behaviour.world import chat_body, chat_stream
from tests.governance.city import City, running_city
from tests.lifecycle.house import eventually
from tests.traffic.replay import Reply, Request

CONFIG = """
[providers.groq.prices]
"dear" = { input = 9, output = 9 }
"cheap" = { input = 1, output = 1 }
"wordy" = { input = 0.1, output = 50 }
"""
TARGETS = {
    "ordered": ("dear", "cheap"),
    "cheapest": ("dear", "wordy", "cheap"),
    "latency": ("slow", "quick"),
    "least-busy": ("one", "two"),
}


def _alias(strategy: str, models: tuple[str, ...]) -> str:
    listed = ", ".join(f'{{ target = "groq/{model}" }}' for model in models)
    return f'[models."{strategy}"]\nstrategy = "{strategy}"\ntargets = [{listed}]\n'


CONFIG += "".join(_alias(*row) for row in TARGETS.items())


def answer(request: Request) -> Reply:
    """Answer as asked; the model ``slow`` takes a while."""
    body = request.json()
    wait = 0.3 if body["model"] == "slow" else 0.0
    if body.get("stream"):
        return Reply.sse(chat_stream("good"), wait=wait)
    return Reply.json(chat_body(), wait=wait)


@pytest.fixture(scope="module")
def running() -> Iterator[City]:
    with running_city(CONFIG, script=answer) as city:
        yield city


@pytest.fixture
def city(running: City) -> City:
    running.upstream.forget()
    running.upstream.script = answer
    return running


def models(city: City) -> list[str]:
    """Return the models that came to the provider, in order."""
    return [request.json()["model"] for request in city.upstream.requests]


def test_ordered_asks_the_first_target_and_the_next_when_it_fails(city: City) -> None:
    for _ in range(8):
        assert city.ask(model="ordered").status == 200
    assert models(city) == ["dear"] * 8
    city.upstream.forget()
    city.upstream.script = lambda request: (
        Reply.json({}, 500) if request.json()["model"] == "dear" else answer(request)
    )
    assert city.ask(model="ordered").status == 200
    assert models(city) == ["dear", "cheap"]


def test_the_cheapest_depends_on_what_is_asked(city: City) -> None:
    for _ in range(4):
        assert city.ask(model="cheapest", max_tokens=1000).status == 200
    question = [{"role": "user", "content": "why " * 4000}]
    assert city.ask(model="cheapest", max_tokens=1, messages=question).status == 200
    assert models(city) == ["cheap"] * 4 + ["wordy"]


@pytest.mark.parametrize("stream", [False, True])
def test_latency_prefers_the_target_that_answers_sooner(stream: bool) -> None:
    with running_city(CONFIG, script=answer) as city:
        for _ in range(20):
            assert city.ask(model="latency", stream=stream).status == 200
        asked = models(city)
    assert set(asked[:2]) == {"slow", "quick"}  # each is tried once
    assert asked.count("quick") >= 12  # all but those that explore


def test_the_least_busy_target_is_asked(city: City) -> None:
    def held(request: Request) -> Reply:
        city.upstream.wait_for(6)
        return answer(request)

    city.upstream.script = held
    asked = []
    for number in range(6):
        asked.append(gevent.spawn(city.ask, model="least-busy"))
        eventually(lambda expected=number + 1: city.served >= expected)
    gevent.joinall(asked, raise_error=True)
    assert [one.value.status for one in asked] == [200] * 6
    seen = models(city)
    assert [set(seen[start : start + 2]) for start in (0, 2, 4)] == [{"one", "two"}] * 3
