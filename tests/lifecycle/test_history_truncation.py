"""``truncation: auto`` at targets without it: the gateway leaves the oldest items out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.lifecycle.chat_only import LONG, MODEL, SMALL, Model, user
from tests.lifecycle.house import Client, House

AUTO = {"truncation": "auto"}
CALL = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": LONG}
TURN = [user("1 " + LONG), {"role": "assistant", "content": "Noted."}]
HISTORY = [
    {"role": "system", "content": "Be kind."},
    *TURN,
    user("2 " + LONG),
    CALL,
    RESULT,
    {"role": "assistant", "content": "Seen."},
    user("3 How old is she?"),
]


def starts(prompt: Any) -> list[str]:
    return [(message["content"] or "call")[:2] for message in prompt]


@pytest.mark.parametrize("mode", [{}, {"stream": True}, {"background": True}, {"store": False}])
def test_the_oldest_items_make_room(ann: Client, model: Model, mode: dict[str, Any]) -> None:
    answer = ann.create(HISTORY, model=SMALL, **AUTO, **mode)
    assert answer.status == 200, answer.body
    response = answer.events[-1]["response"] if mode.get("stream") else answer.json
    if mode.get("background"):
        response = ann.ended(response["id"])
    assert starts(model.prompts[-1]) == ["Be", "No", "2 ", "ca", "Ad", "Se", "3 "]
    assert response["truncation"] == "auto"
    if mode.get("store", True):
        stored = ann.get(f"/v1/responses/{response['id']}").json
        (warning,) = stored["extra_fields"]["warnings"]
        assert (warning["param"], "oldest 1 items" in warning["message"]) == ("truncation", True)
        listed = ann.get(f"/v1/responses/{response['id']}/input_items?limit=100").json["data"]
        assert len(listed) == len(HISTORY)


def test_the_answer_needs_room_too_and_a_call_goes_with_its_result(ann: Client, model: Model) -> None:
    ann.make(HISTORY, model=SMALL, max_output_tokens=1800, **AUTO)
    assert starts(model.prompts[-1]) == ["Be", "ca", "Ad", "Se", "3 "]
    ann.make([*HISTORY[:-1], user("3 " + LONG)], model=SMALL, max_output_tokens=1800, **AUTO)
    assert starts(model.prompts[-1]) == ["Be", "Se", "3 "]


@pytest.mark.parametrize("through", ["previous_response_id", "conversation"])
def test_a_stored_history_is_truncated_and_stays_whole(ann: Client, model: Model, through: str) -> None:
    members: dict[str, Any] = {}
    if through == "conversation":
        members["conversation"] = ann.post("/v1/conversations", {"items": HISTORY}).json["id"]
    else:
        members["previous_response_id"] = ann.make(HISTORY, model=SMALL, **AUTO)["id"]
    ann.make("4", model=SMALL, **AUTO, **members)
    assert "1 " not in starts(model.prompts[-1])
    ann.make("5", model=MODEL, **members)
    assert starts(model.prompts[-1])[:3] == ["Be", "1 ", "No"]


def test_what_fits_is_sent_without_a_warning(ann: Client, model: Model) -> None:
    response = ann.make(HISTORY[:3] + HISTORY[-1:], model=SMALL, **AUTO)
    assert starts(model.prompts[-1]) == ["Be", "1 ", "No", "3 "]
    assert not response["extra_fields"].get("warnings")


def test_what_must_stay_is_sent_though_it_is_too_long(ann: Client, model: Model) -> None:
    ann.make([*TURN, user("3 " + LONG * 4)], model=SMALL, **AUTO)
    assert starts(model.prompts[-1]) == ["3 "]


def test_an_unknown_window_is_a_warning(ann: Client, model: Model) -> None:
    response = ann.make(HISTORY, model=MODEL, **AUTO)
    assert len(model.prompts[-1]) == len(HISTORY)
    assert [row["param"] for row in response["extra_fields"]["warnings"]] == ["truncation"]


def test_a_target_that_speaks_responses_does_it_itself(house: House, ann: Client) -> None:
    ann.make(HISTORY, model="openai/gpt-4", **AUTO)
    (request,) = house.upstream.requests
    assert request.json()["truncation"] == "auto"
    assert len(request.json()["input"]) == len(HISTORY)


def test_a_summary_stays_where_there_is_one(ann: Client, model: Model) -> None:
    members = {"context_management": [{"type": "compaction", "compact_threshold": 1000}]}
    response = ann.make([*HISTORY[:-1], user("3 " + LONG * 2)], model=SMALL, **AUTO, **members)
    assert [item["type"] for item in response["output"]] == ["compaction", "message"]
    assert starts(model.prompts[-1]) == ["Be", "Su", "3 "]
    assert LONG in json.dumps(model.summaries[0])


@pytest.mark.parametrize("mode", [{}, {"background": True}])
def test_in_strict_mode_what_the_gateway_does_is_no_loss(
    ann: Client, model: Model, mode: dict[str, Any]
) -> None:
    managed = [{"type": "compaction", "compact_threshold": 1000}]
    body = {"model": SMALL, "input": HISTORY, "context_management": managed, **AUTO, **mode}
    answer = ann.send("POST", "/v1/responses", body, {"x-sluice-strict": "true"})
    assert answer.status == 200, answer.body
    assert ann.ended(answer.json["id"])["status"] == "completed"


def test_members_about_tools_that_nobody_runs_are_no_loss(ann: Client, model: Model) -> None:
    include = ["web_search_call.action.sources", "message.input_image.image_url"]
    response = ann.make("hi", model=MODEL, max_tool_calls=3, include=include)
    assert response["max_tool_calls"] == 3
    assert not response["extra_fields"].get("warnings")


def test_a_prompt_that_a_provider_stores_is_refused(ann: Client, model: Model) -> None:
    answer = ann.create("hi", model=MODEL, prompt={"id": "pmpt_1"})
    assert (answer.status, answer.error["param"], answer.error["code"]) == (
        400,
        "prompt",
        "unsupported_parameter",
    )
