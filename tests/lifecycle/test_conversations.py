"""The conversations family at every surface, and turns that run at once."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.lifecycle.house import Client, eventually, text_of

SURFACES = (
    "/v1",
    "/openai/v1",
    "/openai",
    "/openai/deployments/gpt",
    "/api/llm/api/inference/openai",
    "/api/llm",
)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def words(ann: Client, conversation: str) -> list[str]:
    items = ann.get(f"/v1/conversations/{conversation}/items?order=asc&limit=100").json["data"]
    return [item["content"][0]["text"] for item in items]


@pytest.mark.parametrize("surface", SURFACES)
def test_a_conversation_lives(ann: Client, surface: str) -> None:
    root = f"{surface}/conversations"
    made = ann.post(root, {"metadata": {"a": "1"}, "items": [user("one")]}).json
    assert set(made) == {"id", "object", "created_at", "metadata"}
    assert (made["object"], made["metadata"]) == ("conversation", {"a": "1"})
    one = f"{root}/{made['id']}"
    assert ann.get(one).json == made
    changed = ann.post(one, {"metadata": {"b": "2"}}).json
    assert changed == {**made, "metadata": {"b": "2"}}
    added = ann.post(f"{one}/items", {"items": [user("two"), {**user("three"), "type": "message"}]}).json
    assert (added["object"], len(added["data"]), added["has_more"]) == ("list", 2, False)
    assert [added["first_id"], added["last_id"]] == [item["id"] for item in added["data"]]
    listed = ann.get(f"{one}/items").json
    assert [item["content"][0]["text"] for item in listed["data"]] == ["three", "two", "one"]
    first = listed["data"][-1]
    assert first["id"].startswith("msg_")
    assert ann.get(f"{one}/items/{first['id']}").json == first
    assert ann.delete(f"{one}/items/{first['id']}").json == changed
    assert ann.get(f"{one}/items/{first['id']}").status == 404
    assert words(ann, made["id"]) == ["two", "three"]
    page = ann.get(f"{one}/items?order=asc&limit=1").json
    assert (page["has_more"], page["first_id"]) == (True, added["first_id"])
    assert ann.delete(one).json == {"id": made["id"], "object": "conversation.deleted", "deleted": True}
    for method, path, body in [
        ("GET", one, None),
        ("POST", one, {"metadata": {}}),
        ("DELETE", one, None),
        ("GET", f"{one}/items", None),
        ("POST", f"{one}/items", {"items": [user("x")]}),
    ]:
        answer = ann.send(method, path, body)
        assert (answer.status, answer.error["type"], answer.error["param"], answer.error["code"]) == (
            404,
            "invalid_request_error",
            None,
            None,
        )
        assert answer.error["message"] == f"Conversation with id '{made['id']}' not found."


@pytest.mark.parametrize("body", [None, b"", b"{}", {"metadata": None, "items": None}])
def test_a_conversation_needs_no_body(ann: Client, body: Any) -> None:
    answer = ann.send("POST", "/v1/conversations", body, {"content-type": "application/json"})
    assert (answer.status, answer.json["metadata"]) == (200, {})


def test_a_reference_among_items_becomes_a_copy(ann: Client) -> None:
    response = ann.make("say exactly: the original")
    items = [{"type": "item_reference", "id": response["output"][0]["id"]}, user("mine")]
    conversation = ann.post("/v1/conversations", {"items": items}).json["id"]
    added = ann.post(f"/v1/conversations/{conversation}/items", {"items": items[:1]}).json
    assert added["data"][0]["content"] == response["output"][0]["content"]
    ann.delete(f"/v1/responses/{response['id']}")
    assert words(ann, conversation) == ["the original", "mine", "the original"]
    missing = [{"type": "item_reference", "id": "msg_gone"}]
    assert ann.post("/v1/conversations", {"items": missing}).status == 404
    assert ann.post(f"/v1/conversations/{conversation}/items", {"items": missing}).status == 404


@pytest.mark.parametrize("background", [False, True])
def test_turns_at_once_follow_one_another_whole(ann: Client, ann_too: Client, background: bool) -> None:
    conversation = ann.post("/v1/conversations").json["id"]
    answers: list[dict[str, Any]] = []

    def turn(client: Client, number: int) -> None:
        made = client.make(f"say exactly: answer {number}", conversation=conversation, background=background)
        answers.append(client.ended(made["id"]))

    threads = [threading.Thread(target=turn, args=((ann, ann_too)[n % 2], n)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one["status"] for one in answers] == ["completed"] * 4
    said = words(ann, conversation)
    pairs = [(said[at], said[at + 1]) for at in range(0, len(said), 2)]
    assert sorted(pairs) == [(f"say exactly: answer {n}", f"answer {n}") for n in range(4)]
    heard = text_of(ann.make("echo history", conversation=conversation))
    assert all(f"answer {n}" in heard for n in range(4))


def test_a_turn_that_runs_long_keeps_the_others_out(ann: Client) -> None:
    conversation = ann.post("/v1/conversations").json["id"]
    slow = ann.make("take 30 seconds\nsay exactly: a b c", conversation=conversation, background=True)
    eventually(lambda: ann.get(f"/v1/responses/{slow['id']}").json["status"] == "in_progress")
    answer = ann.create("x", conversation=conversation)
    assert (answer.status, answer.error["code"], answer.error["param"]) == (
        409,
        "conversation_locked",
        "conversation",
    )
    assert answer.headers["retry-after"].isdigit()
    assert "30 seconds" not in text_of(ann.make("echo history", conversation=conversation, store=False))
    assert ann.post(f"/v1/responses/{slow['id']}/cancel").status == 200
    assert ann.make("say exactly: y", conversation=conversation)["status"] == "completed"
    assert words(ann, conversation) == ["say exactly: y", "y"]


@pytest.mark.parametrize(
    ("prompt", "status", "grows"),
    [
        ("say exactly: x", "completed", True),
        ("stop at length", "incomplete", True),
        ("fail with 400", "failed", False),
    ],
)
@pytest.mark.parametrize("background", [False, True])
def test_only_a_finished_turn_is_appended(
    ann: Client, prompt: str, status: str, grows: bool, background: bool
) -> None:
    conversation = ann.post("/v1/conversations", {"items": [user("kept")]}).json["id"]
    answer = ann.create(prompt, conversation=conversation, background=background)
    if answer.status == 200:
        assert ann.ended(answer.json["id"])["status"] == status
    else:
        assert status == "failed"
    assert (len(words(ann, conversation)) > 1) is grows


def test_a_turn_of_a_deleted_conversation_still_ends(ann: Client) -> None:
    conversation = ann.post("/v1/conversations").json["id"]
    ann.make("say exactly: before", conversation=conversation)
    made = ann.make("echo history", conversation=conversation, background=True)
    assert ann.delete(f"/v1/conversations/{conversation}").status == 200
    ended = ann.ended(made["id"])
    assert ended["status"] == "completed"
    assert "say exactly: before" in text_of(ended)
    assert ann.get(f"/v1/conversations/{conversation}").status == 404


def test_what_a_queued_turn_refers_to_may_be_deleted_before_it_runs(ann: Client) -> None:
    for _ in range(4):
        first = ann.make("say exactly: the parent")
        other = ann.make("say exactly: the other")
        input = [{"type": "item_reference", "id": other["output"][0]["id"]}, user("echo history")]
        response = ann.make(input, previous_response_id=first["id"], background=True)
        ann.delete(f"/v1/responses/{first['id']}")
        ann.delete(f"/v1/responses/{other['id']}")
        ended = ann.ended(response["id"])
        assert ended["status"] == "completed"
        assert "the parent" in text_of(ended)
        assert "the other" in text_of(ended)
