"""What administrators see of stored responses and conversations: whose, in which order, and how much of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.behaviour.world import Answer
from tests.governance.city import City, running_city

SECRETS = {"SLUICE_MASTER_KEY": "sk-master", "SLUICE_SECRET_KEY": "s", "SLUICE_ENCRYPT": "on"}
CONFIG = """
[keys.ann]
key = "sk-ann"
tenant = "red"
[keys.bob]
key = "sk-bob"
tenant = "blue"
"""
WORDS = "a sentence that nobody else is to read"


@pytest.fixture(scope="module", params=[False, True], ids=["members", "content"])
def city(request: pytest.FixtureRequest) -> Iterator[City]:
    reads = {"SLUICE_ADMIN_READS_CONTENT": "on"} if request.param else {}
    with running_city(CONFIG, env={**SECRETS, **reads}) as running:
        yield running


@pytest.fixture
def reads(request: pytest.FixtureRequest) -> bool:
    return "content" in request.node.callspec.id


def admin(city: City, path: str) -> Answer:
    return city.client("master").get(f"/admin{path}")


def ids(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [row["id"] for row in answer.json["data"]]


def test_a_list_is_of_all_tenants_the_newest_first_and_by_pages(city: City) -> None:
    made = [city.client(who).make(WORDS)["id"] for who in ("ann", "bob", "ann", "bob")]
    assert ids(admin(city, "/responses?limit=100"))[:4] == made[::-1]
    first = admin(city, "/responses?limit=3")
    assert first.json["has_more"] is True
    assert (first.json["first_id"], first.json["last_id"]) == (made[3], made[1])
    assert ids(admin(city, f"/responses?limit=3&after={made[1]}"))[0] == made[0]
    assert ids(admin(city, "/responses?limit=2&tenant=blue")) == [made[3], made[1]]
    assert ids(admin(city, "/responses?limit=2&key=ann")) == [made[2], made[0]]
    assert ids(admin(city, "/responses?from=4000000000")) == []
    assert len(ids(admin(city, "/responses?to=2100-01-01T00:00:00Z&limit=4"))) == 4


def test_a_row_tells_all_but_the_content(city: City, reads: bool) -> None:
    client = city.client("ann")
    first = client.make(WORDS)["id"]
    second = client.make(f"say exactly: {WORDS}", previous_response_id=first)["id"]
    row = admin(city, f"/responses?previous_response_id={first}").json["data"][0]
    assert row["id"] == second
    assert (row["tenant"], row["key"], row["door"], row["status"]) == ("red", "ann", "unified", "completed")
    assert (row["provider"], row["model"], row["model_requested"]) == ("sandbox", "echo", "sandbox/echo")
    assert (row["previous_response_id"], row["thread"], row["background"]) == (first, first, False)
    assert row["usage"]["output_tokens"] > 0
    assert WORDS not in str(row)
    assert ids(admin(city, f"/responses?thread={first}")) == [second, first]
    body = admin(city, f"/responses/{second}").json
    assert body["content"] is reads
    assert (WORDS in str(body)) is reads


def test_the_content_is_what_its_owner_sees(city: City, reads: bool) -> None:
    client = city.client("ann")
    made = client.make("say exactly: one two", background=True, stream=False)["id"]
    ended = client.ended(made)
    body = admin(city, f"/responses/{made}").json
    if not reads:
        assert {"input", "response", "events"}.isdisjoint(body)
        return
    assert body["response"]["output"] == ended["output"]
    assert body["input"][0]["content"][0]["text"] == "say exactly: one two"
    assert [event["sequence_number"] for event in body["events"]] == list(range(len(body["events"])))
    assert body["events"][-1]["type"] == "response.completed"


def test_what_is_deleted_or_not_stored_is_not_there(city: City) -> None:
    client = city.client("ann")
    gone, unstored = client.make(WORDS)["id"], client.make(WORDS, store=False)["id"]
    assert client.delete(f"/v1/responses/{gone}").status == 200
    for one in (gone, unstored, "resp_nobody", "%00"):
        answer = admin(city, f"/responses/{one}")
        assert answer.status == 404, answer.body
    assert {gone, unstored}.isdisjoint(ids(admin(city, "/responses?limit=100")))
    assert admin(city, f"/responses?after={gone}").error["param"] == "after"


def test_conversations_and_their_items(city: City, reads: bool) -> None:
    client = city.client("bob")
    item: dict[str, Any] = {"type": "message", "role": "user", "content": WORDS}
    made = client.post("/v1/conversations", {"metadata": {"topic": WORDS}, "items": [item]}).json["id"]
    turn = client.make("say exactly: yes", conversation=made)["id"]
    assert ids(admin(city, "/conversations?tenant=blue"))[0] == made
    assert ids(admin(city, f"/responses?conversation={made}")) == [turn]
    assert WORDS not in str(admin(city, "/conversations").json)
    body = admin(city, f"/conversations/{made}").json
    assert (body["tenant"], body["content"]) == ("blue", reads)
    items = admin(city, f"/conversations/{made}/items?order=asc&limit=1")
    if not reads:
        assert "metadata" not in body
        assert items.json["content"] is False
        assert items.json["data"][0].keys() == {"id", "type", "role", "status"}
        return
    assert body["metadata"] == {"topic": WORDS}
    assert items.json["data"][0]["content"][0]["text"] == WORDS
    assert items.json["has_more"] is True


def test_a_client_sees_nothing_of_it(city: City) -> None:
    made = city.client("ann").make(WORDS)["id"]
    for path in ("/responses", f"/responses/{made}", "/conversations"):
        assert city.client("ann").get(f"/admin{path}").status == 403
        assert city.client("nobody").get(f"/admin{path}").status == 401
