"""The life-cycle matrix: store × background × stream × surface × provider family.

For each: what POST answers, and what GET, GET stream, resuming, input_items, cancel and DELETE do then
(docs/responses.md).
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.behaviour.world import Answer
from tests.lifecycle.house import Client, events_of, text_of
from tests.traffic.frames import sse
from tests.traffic.grammar import check_responses_frames

FAMILIES = {
    # model: a word of its answer
    "sandbox/echo": "hello there",
    "sandbox/responses-echo": "hello there",
    "sandbox/messages-echo": "hello there",
    "openai/gpt-4.1": "",
    "anthropic/claude-haiku-4-5": "",
    "gemini/gemini-2.5-flash": "",
}
SURFACES = {
    # surface: how paths of it are written
    "unified": "/v1/responses{tail}",
    "openai": "/openai/v1/responses{tail}",
    "azure": "/openai/responses{tail}?api-version=2025-04-01-preview",
    "deployment": "/openai/deployments/gpt/responses{tail}?api-version=2025-03-01-preview",
    "truefoundry": "/api/llm/api/inference/openai/responses{tail}",
}
COMBINATIONS = [
    # store, background, stream
    (True, False, False),
    (True, False, True),
    (True, True, False),
    (True, True, True),
    (False, False, False),
    (False, False, True),
]
TERMINALS = ("response.completed", "response.incomplete", "response.failed")


def path(surface: str, tail: str = "", query: str = "") -> str:
    made = SURFACES[surface].format(tail=tail)
    if not query:
        return made
    return f"{made}{'&' if '?' in made else '?'}{query}"


def plain_response(ann: Client, surface: str, response_id: str) -> dict[str, Any]:
    """The plain response object that a GET shows, without its surface's envelope."""
    answer = ann.get(path(surface, f"/{response_id}"))
    assert answer.status == 200, answer.body
    shown: dict[str, Any] = answer.json
    return {name: value for name, value in shown.items() if name not in ("extra_fields", "provider")}


def error_of(answer: Answer) -> tuple[int, Any, Any, Any]:
    return answer.status, answer.error["type"], answer.error["param"], answer.error["code"]


def rows() -> list[tuple[str, str]]:
    """Every family with every surface but for the sandbox's other wires, which take turns at the surfaces."""
    surfaces = list(SURFACES)
    full = [(model, surface) for model in ("sandbox/echo", "openai/gpt-4.1") for surface in surfaces]
    others = [model for model in FAMILIES if model not in ("sandbox/echo", "openai/gpt-4.1")]
    return full + [
        (model, surfaces[(2 * at + step) % 5]) for at, model in enumerate(others) for step in (0, 1)
    ]


@pytest.mark.parametrize(("model", "surface"), rows())
@pytest.mark.parametrize(("store", "background", "stream"), COMBINATIONS)
def test_a_response_lives_as_the_table_says(
    ann: Client, store: bool, background: bool, stream: bool, model: str, surface: str
) -> None:
    body = {"model": model, "input": "say exactly: hello there", "store": store}
    body |= {"background": background, "stream": stream}
    created = ann.post(path(surface), body)
    assert created.status == 200, created.body
    response_id = shown_id(created, background=background, stream=stream)
    if not store:
        unknown(ann, surface, response_id)
        return
    ended = ann.ended(response_id) if background else None
    stored = plain_response(ann, surface, response_id)
    assert ended is None or ended["output"] == stored["output"]
    assert stored["status"] in ("completed", "incomplete"), stored
    assert text_of(stored)
    assert FAMILIES[model] in text_of(stored)
    assert (stored["store"], stored["background"]) == (True, background)
    if stream:
        assert terminal_of(created) == stored
    follows(ann, surface, response_id, background=background)
    lists_its_input(ann, surface, response_id)
    refuses_to_cancel(ann, surface, response_id, stored["status"], background=background)
    goes_when_deleted(ann, surface, response_id)


def shown_id(created: Answer, *, background: bool, stream: bool) -> str:
    """Check the shape of what POST answered and return the response's id."""
    if not stream:
        body = created.json
        assert body["status"] == "queued" if background else body["status"] in ("completed", "incomplete")
        return str(body["id"])
    assert check_responses_frames(sse(created.body), ours=True) == []
    events = events_of(created)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = [event["type"] for event in events]
    opening = ["response.created", *(["response.queued"] if background else []), "response.in_progress"]
    assert kinds[: len(opening)] == opening
    assert kinds[-1] in TERMINALS
    bare = {"obfuscation", "extra_fields"}
    if background:
        assert not any(bare & set(event) for event in events)
    deltas = [event for event in events if event["type"] == "response.output_text.delta"]
    if not background:
        assert all((len(event["delta"]) + len(event["obfuscation"])) % 16 == 0 for event in deltas)
    return str(events[0]["response"]["id"])


def terminal_of(created: Answer) -> dict[str, Any]:
    last = events_of(created)[-1]["response"]
    return {name: value for name, value in last.items() if name != "provider"}


def unknown(ann: Client, surface: str, response_id: str) -> None:
    """Nothing can be done with a response that was not stored."""
    calls = [("GET", ""), ("GET", "/input_items"), ("POST", "/cancel"), ("DELETE", "")]
    for method, tail in calls:
        answer = ann.send(method, path(surface, f"/{response_id}{tail}"))
        assert error_of(answer) == (404, "invalid_request_error", None, None), (method, tail, answer.body)
        assert answer.error["message"] == f"Response with id '{response_id}' not found."
    answer = ann.get(path(surface, f"/{response_id}", "stream=true"))
    assert answer.status == 404


def follows(ann: Client, surface: str, response_id: str, *, background: bool) -> None:
    """GET stream gives the log, and from any number on exactly the rest of it."""
    first = ann.get(path(surface, f"/{response_id}", "stream=true"))
    if not background:
        assert error_of(first) == (400, "invalid_request_error", "stream", None)
        assert first.error["message"] == (
            "This response cannot be streamed because it was not created with background=true."
        )
        return
    log = events_of(first)
    assert check_responses_frames(sse(first.body), ours=True) == []
    kinds = [event["type"] for event in log]
    assert kinds[:3] == ["response.created", "response.queued", "response.in_progress"]
    assert [event["sequence_number"] for event in log] == list(range(len(log)))
    for after in {0, 1, len(log) // 2, len(log) - 2, len(log) - 1, len(log) + 7}:
        again = events_of(ann.get(path(surface, f"/{response_id}", f"stream=true&starting_after={after}")))
        assert again == log[after + 1 :]


def lists_its_input(ann: Client, surface: str, response_id: str) -> None:
    listed = ann.get(path(surface, f"/{response_id}/input_items")).json
    (item,) = listed["data"]
    assert listed == {
        "object": "list",
        "data": [item],
        "first_id": item["id"],
        "last_id": item["id"],
        "has_more": False,
    }
    assert item["content"] == [{"type": "input_text", "text": "say exactly: hello there"}]
    assert (item["type"], item["role"], item["status"]) == ("message", "user", "completed")


REFUSALS = {
    (False, "completed"): "Cannot cancel a synchronous response.",
    (False, "incomplete"): "Cannot cancel a synchronous response.",
    (True, "completed"): "Cannot cancel a completed response.",
    (True, "incomplete"): "Cannot cancel a response in terminal state.",
}


def refuses_to_cancel(ann: Client, surface: str, response_id: str, status: str, *, background: bool) -> None:
    answer = ann.post(path(surface, f"/{response_id}/cancel"))
    assert error_of(answer) == (400, "invalid_request_error", None, None)
    assert answer.error["message"] == REFUSALS[background, status]


def goes_when_deleted(ann: Client, surface: str, response_id: str) -> None:
    answer = ann.delete(path(surface, f"/{response_id}"))
    assert answer.status == 200
    assert (answer.json["id"], answer.json["deleted"]) == (response_id, True)
    unknown(ann, surface, response_id)


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("stream", [True, False])
def test_background_without_store_runs_and_is_fetched_but_not_continued(
    ann: Client, surface: str, stream: bool
) -> None:
    first = ann.make("say exactly: one")
    body = {"model": "sandbox/echo", "input": "say exactly: two", "store": False, "background": True}
    answer = ann.post(path(surface), {**body, "stream": stream, "previous_response_id": first["id"]})
    assert answer.status == 200, answer.body
    response_id = events_of(answer)[0]["response"]["id"] if stream else answer.json["id"]
    ended = ann.ended(response_id)
    assert (ended["status"], ended["store"], text_of(ended)) == ("completed", False, "two")
    assert ann.log(response_id)[-1]["type"] == "response.completed"
    assert error_of(ann.create("x", previous_response_id=response_id))[3] == "previous_response_not_found"
    reference = {"type": "item_reference", "id": ended["output"][0]["id"]}
    assert ann.create([reference]).status == 404
    assert ann.create("x", previous_response_id=first["id"]).status == 200
    goes_when_deleted(ann, surface, response_id)
