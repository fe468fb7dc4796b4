"""Calls that belong together go to one target and key; targets that are too small are passed over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.behaviour.world import chat_body
from tests.governance.city import CHAT, City, running_city
from tests.traffic.replay import Reply, Request

CONFIG = """
[keys.ann]
key = "sk-ann"
tenant = "red"
[keys.blue]
key = "sk-blue"
tenant = "blue"
[providers.pool]
dialect = "chat"
base_url = "{upstream}/pool"
keys = [{ name = "one", value = "key-one" }, { name = "two", value = "key-two" }]
[providers.openai]
base_url = "{upstream}/openai"
api_key = "openai-key"
[models."mixed"]
targets = [{ target = "groq/a", weight = 3 }, { target = "groq/b" }]
[models."sized"]
strategy = "ordered"
targets = [{ target = "openai/gpt-4" }, { target = "openai/gpt-4.1" }]
"""
HI: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]


def good(request: Request) -> Reply:
    return Reply.json(chat_body())


@pytest.fixture(scope="module")
def running() -> Iterator[City]:
    env = {"SLUICE_MASTER_KEY": "sk-master", "SLUICE_SECRET_KEY": "s", "SLUICE_BREAKER": "on"}
    with running_city(CONFIG, workers=2, env=env) as city:
        yield city


@pytest.fixture(scope="module")
def running_by_prompt() -> Iterator[City]:
    env = {"SLUICE_MASTER_KEY": "sk-master", "SLUICE_SECRET_KEY": "s", "SLUICE_STICKY_PROMPTS": "on"}
    with running_city(CONFIG, workers=2, env=env) as city:
        yield city


@pytest.fixture
def by_prompt(running_by_prompt: City) -> City:
    running_by_prompt.upstream.forget()
    running_by_prompt.upstream.script = good
    return running_by_prompt


@pytest.fixture
def city(running: City) -> City:
    running.upstream.forget()
    running.upstream.script = good
    return running


def chat(city: City, model: str, who: str = "ann", **members: Any) -> str:
    """Ask; return the model, or the key of the pool, that was asked."""
    answer = city.client(who).send("POST", CHAT, {"model": model, "messages": HI, **members})
    assert answer.status == 200, answer.body
    last = city.upstream.requests[-1]
    return last.headers["authorization"] if "pool" in last.path else last.json()["model"]


@pytest.mark.parametrize("model", ["mixed", "pool/m"])
def test_the_same_prompt_cache_key_goes_to_the_same_place_in_every_process(city: City, model: str) -> None:
    for number in range(8):
        assert len({chat(city, model, prompt_cache_key=f"key {number}") for _ in range(6)}) == 1


def test_keys_spread_by_weight_and_tenants_apart(city: City) -> None:
    placed = {number: chat(city, "mixed", prompt_cache_key=f"{number}") for number in range(120)}
    counted = Counter(placed.values())
    assert 70 <= counted["a"] <= 110
    assert counted["b"] == 120 - counted["a"]
    others = {number: chat(city, "mixed", "blue", prompt_cache_key=f"{number}") for number in range(40)}
    assert any(others[number] != placed[number] for number in others)


def test_calls_that_belong_to_nobody_are_drawn(city: City) -> None:
    assert set(Counter(chat(city, "mixed") for _ in range(60))) == {"a", "b"}


def test_the_turns_of_a_chain_and_of_a_conversation_stay_together(city: City) -> None:
    client = city.client("ann")

    def turn(**members: Any) -> tuple[str, str]:
        response = client.make("hi", model="mixed", **members)
        return response["id"], city.upstream.requests[-1].json()["model"]

    firsts = set()
    for _ in range(6):
        first, place = turn()
        second, then = turn(previous_response_id=first)
        _, last = turn(previous_response_id=second)
        assert (then, last) == (place, place)
        firsts.add(place)
        conversation = client.post("/v1/conversations", {}).json["id"]
        assert len({turn(conversation=conversation)[1] for _ in range(3)}) == 1


def long_prompt(number: int, question: str = "hi", length: int = 4_096) -> list[dict[str, Any]]:
    """Return messages whose instructions have so many characters of their own."""
    system = f"{number:04} ".ljust(length, "x")
    return [{"role": "system", "content": system}, {"role": "user", "content": question}]


@pytest.mark.parametrize("model", ["mixed", "pool/m"])
def test_prompts_that_begin_alike_go_to_the_same_place_in_every_process(by_prompt: City, model: str) -> None:
    places = []
    for number in range(12):
        asked = [chat(by_prompt, model, messages=long_prompt(number, f"q{n}")) for n in range(5)]
        assert len(set(asked)) == 1
        places.append(asked[0])
    assert len(set(places)) == 2  # other beginnings go elsewhere


def test_shorter_prompts_are_drawn(by_prompt: City) -> None:
    short = long_prompt(0, "", length=4_000)
    assert {chat(by_prompt, "mixed", messages=short) for _ in range(60)} == {"a", "b"}


def test_a_prompt_cache_key_says_more_than_the_beginning_of_a_prompt(by_prompt: City) -> None:
    body = {"model": "mixed", "messages": long_prompt(1)}
    placed = {chat(by_prompt, **body, prompt_cache_key=f"{number}") for number in range(30)}
    assert placed == {"a", "b"}
    rows = explained(by_prompt, body)
    assert rows[0]["reason"] == "first choice, by the beginning of its prompt"
    assert rows[0]["model"] == chat(by_prompt, **body)


def test_the_turns_of_a_thread_stay_where_the_beginning_of_its_prompt_belongs(by_prompt: City) -> None:
    client = by_prompt.client("ann")
    seen = set()
    for number in range(16, 24):
        instructions = f"{number} ".ljust(4_096, "y")
        model, previous = {}, {}
        for turn in range(3):
            response = client.make(f"turn {turn}", model="mixed", instructions=instructions, **previous)
            previous = {"previous_response_id": response["id"]}
            model[turn] = by_prompt.upstream.requests[-1].json()["model"]
        other = client.make("another thread", model="mixed", instructions=instructions)
        assert other["id"]
        assert {*model.values(), by_prompt.upstream.requests[-1].json()["model"]} == {model[0]}
        seen.add(model[0])
    assert seen == {"a", "b"}


def test_a_thread_of_one_long_question_stays_in_its_place(by_prompt: City) -> None:
    client = by_prompt.client("ann")
    for number in range(6):
        first = client.make(f"{number} ".ljust(5_000, "z"), model="mixed")
        place = by_prompt.upstream.requests[-1].json()["model"]
        client.make("and then?", model="mixed", previous_response_id=first["id"])
        assert by_prompt.upstream.requests[-1].json()["model"] == place


def explained(city: City, body: dict[str, Any]) -> list[dict[str, Any]]:
    asked = {"path": CHAT, "key": "ann", "body": body}
    found: list[dict[str, Any]] = city.client("master").send("POST", "/admin/explain", asked).json["targets"]
    return found


def test_explain_says_what_keeps_calls_together_and_what_is_drawn(city: City) -> None:
    bound = {"model": "mixed", "messages": HI, "prompt_cache_key": "mine"}
    rows = explained(city, bound)
    assert rows[0]["reason"] == "first choice, by prompt_cache_key"
    assert rows[0]["model"] == chat(city, "mixed", prompt_cache_key="mine")
    assert "drawn by weight" in explained(city, {"model": "mixed", "messages": HI})[0]["reason"]
    assert explained(city, {"model": "groq/a", "messages": HI})[0]["reason"] == "first choice"


def test_a_target_that_is_too_small_is_passed_over_while_another_is_left(city: City) -> None:
    long = [{"role": "user", "content": "many words " * 9_000}]
    assert chat(city, "sized") == "gpt-4"
    assert chat(city, "sized", messages=long) == "gpt-4.1"
    assert chat(city, "openai/gpt-4", messages=long) == "gpt-4"
    rows = explained(city, {"model": "sized", "messages": long})
    assert [row["model"] for row in rows] == ["gpt-4.1", "gpt-4"]
    assert "context window" in rows[1]["reason"]


def explained_turn(city: City, body: dict[str, Any]) -> dict[str, Any]:
    asked = {"path": "/v1/responses", "key": "ann", "body": body}
    shown: dict[str, Any] = city.client("master").send("POST", "/admin/explain", asked).json
    return shown


def test_explain_reads_what_a_turn_goes_on_from(city: City) -> None:
    client = city.client("ann")
    for _ in range(6):
        first = client.make("hi", model="mixed")["id"]
        place = city.upstream.requests[-1].json()["model"]
        shown = explained_turn(city, {"model": "mixed", "input": "more", "previous_response_id": first})
        row = shown["targets"][0]
        assert (row["model"], row["reason"].split(";")[0]) == (place, "first choice, by its thread")
    conversation = client.post("/v1/conversations", {}).json["id"]
    turn = {"model": "sized", "input": "more", "conversation": conversation}
    before = explained_turn(city, turn)
    assert before["targets"][0]["model"] == "gpt-4"
    client.make("many words " * 9_000, model="mixed", conversation=conversation)
    after = explained_turn(city, turn)
    assert [row["model"] for row in after["targets"]] == ["gpt-4.1", "gpt-4"]
    assert after["targets"][1]["cost_estimate"] > 2 * before["targets"][0]["cost_estimate"]
    count = len(city.upstream.requests)
    shown = explained_turn(city, {"model": "mixed", "input": "x", "previous_response_id": "resp_" + "0" * 48})
    real = client.send(
        "POST", "/v1/responses", {"model": "mixed", "input": "x", "previous_response_id": "resp_" + "0" * 48}
    )
    assert shown["refused"] == {
        "status": real.status,
        "code": real.error["code"],
        "message": real.error["message"],
    }
    assert shown["targets"] == []
    blue = {"path": "/v1/responses", "key": "blue", "body": turn}
    refused = city.client("master").send("POST", "/admin/explain", blue).json["refused"]
    assert refused["status"] == 404  # another tenant's conversation does not exist
    assert len(city.upstream.requests) == count


def test_explaining_a_turn_begins_nothing(city: City) -> None:
    client = city.client("ann")
    conversation = client.post("/v1/conversations", {}).json["id"]
    for background in (False, True):
        body = {"model": "mixed", "input": "x", "conversation": conversation, "background": background}
        assert explained_turn(city, body)["refused"] is None
    assert client.get(f"/v1/conversations/{conversation}/items").json["data"] == []
    assert city.client("master").send("GET", "/admin/background").json["queued"] == 0
