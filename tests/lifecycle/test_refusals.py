"""What the life cycle refuses, in OpenAI's words, at every surface."""

from __future__ import annotations

from typing import Any

import pytest

from tests.behaviour.world import Answer
from tests.lifecycle.house import Client, eventually

SURFACES = (
    "/v1",
    "/openai/v1",
    "/openai",
    "/openai/deployments/gpt",
    "/api/llm/api/inference/openai",
    "/api/llm",
)
MISSING = "resp_" + "0" * 48
NO_CONVERSATION = "conv_" + "0" * 48
INVALID = "invalid_request_error"


def error_of(answer: Answer) -> tuple[Any, ...]:
    error = answer.error
    return answer.status, error["type"], error["param"], error["code"], error["message"]


CREATES: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
    "an unknown previous response": (
        {"previous_response_id": MISSING},
        (
            400,
            INVALID,
            "previous_response_id",
            "previous_response_not_found",
            f"Previous response with id '{MISSING}' not found.",
        ),
    ),
    "a malformed previous response": (
        {"previous_response_id": "chatcmpl-1"},
        (
            400,
            INVALID,
            "previous_response_id",
            "invalid_value",
            "Invalid 'previous_response_id': 'chatcmpl-1'. Expected an ID that begins with 'resp'.",
        ),
    ),
    "a previous response of the wrong type": (
        {"previous_response_id": 5},
        (
            400,
            INVALID,
            "previous_response_id",
            "invalid_type",
            "Invalid type for 'previous_response_id': expected a string, but got an integer instead.",
        ),
    ),
    "both states at once": (
        {"previous_response_id": MISSING, "conversation": NO_CONVERSATION},
        (
            400,
            INVALID,
            "previous_response_id",
            "mutually_exclusive_parameters",
            "Mutually exclusive parameters: 'previous_response_id' and 'conversation'. "
            "Ensure you are only providing one of them.",
        ),
    ),
    "an unknown conversation": (
        {"conversation": NO_CONVERSATION},
        (404, INVALID, "conversation", None, f"Conversation with id '{NO_CONVERSATION}' not found."),
    ),
    "an unknown conversation as an object": (
        {"conversation": {"id": NO_CONVERSATION}},
        (404, INVALID, "conversation", None, f"Conversation with id '{NO_CONVERSATION}' not found."),
    ),
    "an unknown item": (
        {"input": [{"type": "item_reference", "id": "msg_gone"}]},
        (
            404,
            INVALID,
            "input",
            None,
            "Item with id 'msg_gone' not found. Items are not persisted when `store` is set to false. "
            "Try again with `store` set to true, or remove this item from your input.",
        ),
    ),
    "an unknown model": (
        {"model": "no-such-model-of-anybody", "store": True},
        (400, INVALID, "model", "model_not_found", None),
    ),
}


@pytest.mark.parametrize("surface", ["/v1", "/api/llm"])
@pytest.mark.parametrize("case", CREATES)
@pytest.mark.parametrize(
    "mode", [{}, {"stream": True}, {"background": True}], ids=["plain", "stream", "background"]
)
def test_a_create_is_refused(ann: Client, surface: str, case: str, mode: dict[str, Any]) -> None:
    members, wanted = CREATES[case]
    answer = ann.create(**{"input": "x", **mode, **members}, surface=surface)
    found = error_of(answer)
    assert found[:4] == wanted[:4], answer.body
    assert wanted[4] in (None, found[4])


READS = [
    ("GET", ""),
    ("GET", "?stream=true"),
    ("GET", "/input_items"),
    ("POST", "/cancel"),
    ("DELETE", ""),
]


@pytest.mark.parametrize(("method", "tail"), READS)
@pytest.mark.parametrize("response_id", [MISSING, "resp_1", "anything", "x" * 400, "a%20b", "%00", "%C3%A9"])
def test_an_unknown_response_is_404(ann: Client, method: str, tail: str, response_id: str) -> None:
    for surface in SURFACES:
        answer = ann.send(method, f"{surface}/responses/{response_id}{tail}")
        assert error_of(answer)[:4] == (404, INVALID, None, None), answer.body
        assert answer.error["message"].startswith("Response with id '")


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("stream=1", ("stream", "invalid_value")),
        ("stream=", ("stream", "invalid_value")),
        ("include_obfuscation=maybe", ("include_obfuscation", "invalid_value")),
        ("starting_after=one", ("starting_after", "invalid_type")),
        ("stream=true&starting_after=1.5", ("starting_after", "invalid_type")),
        ("starting_after=-1", ("starting_after", "integer_below_min_value")),
    ],
)
def test_a_bad_query_is_refused(ann: Client, query: str, wanted: tuple[str, str]) -> None:
    response = ann.make()
    for surface in SURFACES:
        answer = ann.get(f"{surface}/responses/{response['id']}?{query}")
        assert error_of(answer)[:4] == (400, INVALID, *wanted), answer.body


@pytest.mark.parametrize("of", ["responses/{response}/input_items", "conversations/{conversation}/items"])
@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("limit=0", ("limit", "integer_below_min_value")),
        ("limit=-3", ("limit", "integer_below_min_value")),
        ("limit=101", ("limit", "integer_above_max_value")),
        ("limit=ten", ("limit", "invalid_type")),
        ("order=up", ("order", "invalid_value")),
        ("after=msg_nowhere", ("after", "invalid_value")),
        ("before=msg_nowhere", ("before", "invalid_value")),
    ],
)
def test_a_bad_page_is_refused(ann: Client, of: str, query: str, wanted: tuple[str, str]) -> None:
    ids = {"response": ann.make()["id"], "conversation": ann.post("/v1/conversations").json["id"]}
    answer = ann.get(f"/v1/{of.format(**ids)}?{query}")
    assert error_of(answer)[:4] == (400, INVALID, *wanted), answer.body


def test_an_unknown_query_member_is_ignored(ann: Client) -> None:
    response = ann.make()
    assert ann.get(f"/v1/responses/{response['id']}?beta=true&colour=red").status == 200


def running(client: Client, **members: Any) -> str:
    """Begin a long background response; return its id once it runs."""
    response = client.make("take 20 seconds\nsay exactly: a b c d e f g h", background=True, **members)
    eventually(lambda: client.get(f"/v1/responses/{response['id']}").json["status"] == "in_progress")
    return str(response["id"])


@pytest.mark.parametrize("surface", SURFACES)
def test_a_running_background_response_cannot_be_deleted(ann: Client, surface: str) -> None:
    response_id = running(ann)
    answer = ann.delete(f"{surface}/responses/{response_id}")
    assert error_of(answer) == (400, INVALID, None, None, "Cannot delete an in-flight response.")
    assert ann.post(f"{surface}/responses/{response_id}/cancel").status == 200
    assert ann.delete(f"{surface}/responses/{response_id}").status == 200


def test_what_still_runs_cannot_be_continued(ann: Client) -> None:
    response_id = running(ann)
    answer = ann.create(previous_response_id=response_id)
    assert error_of(answer)[:4] == (400, INVALID, "previous_response_id", "previous_response_in_progress")
    ann.post(f"/v1/responses/{response_id}/cancel")


FORCED = {"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}}


@pytest.mark.parametrize("background", [False, True])
def test_what_no_target_can_do_is_refused_before_it_is_queued(ann: Client, background: bool) -> None:
    answer = ann.create(background=background, model="groq/llama", **FORCED)
    assert error_of(answer)[:4] == (400, INVALID, "tool_choice", "unsupported_parameter")
    strict = {"x-sluice-strict": "true"}
    body = {"model": "anthropic/claude-haiku-4-5", "input": "x", "seed": 7, "background": background}
    answer = ann.send("POST", "/v1/responses", body, strict)
    assert error_of(answer)[:4] == (400, INVALID, "seed", "unsupported_parameter")
    answer = ann.create(background=background, model="elevenlabs/x")
    assert (answer.status, answer.error["code"]) in (
        (400, "unsupported_operation"),
        (400, "provider_not_configured"),
    )


@pytest.mark.parametrize("background", [False, True])
def test_what_one_target_cannot_do_another_may(ann: Client, background: bool) -> None:
    response = ann.make(background=background, model="elevenlabs/x", fallbacks=["sandbox/echo"])
    assert ann.ended(response["id"])["extra_fields"]["provider"] == "sandbox"


def test_a_background_answer_says_who_will_answer(ann: Client) -> None:
    for stream in (False, True):
        answer = ann.create(background=True, stream=stream)
        assert (answer.headers["x-sluice-provider"], answer.headers["x-sluice-model"]) == ("sandbox", "echo")


def test_a_deleted_response_is_no_parent(ann: Client) -> None:
    first = ann.make()
    ann.delete(f"/v1/responses/{first['id']}")
    answer = ann.create(previous_response_id=first["id"])
    assert error_of(answer)[:4] == (400, INVALID, "previous_response_id", "previous_response_not_found")


def test_a_failed_response_cannot_be_cancelled(ann: Client) -> None:
    response = ann.make("fail with 400", background=True)
    assert ann.ended(response["id"])["status"] == "failed"
    answer = ann.post(f"/v1/responses/{response['id']}/cancel")
    assert error_of(answer) == (400, INVALID, None, None, "Cannot cancel a failed response.")


def test_a_tool_call_without_its_output_is_refused(ann: Client) -> None:
    tool = {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {}}}
    first = ann.make("call tool add with a=5", tools=[tool])
    call_id = next(item["call_id"] for item in first["output"] if item["type"] == "function_call")
    answer = ann.create("Go on.", previous_response_id=first["id"])
    assert error_of(answer) == (
        400,
        INVALID,
        "input",
        None,
        f"No tool output found for function call {call_id}.",
    )


SAID = {"role": "user", "content": "hi"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "call_1", "output": "5"}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": []}
WORDS = {"type": "message", "role": "assistant", "content": "Good."}
ALONE = "Item 'rs_1' of type 'reasoning' was provided without its required following item."


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([SAID, CALL], "No tool output found for function call call_1."),
        ([SAID, CALL, SAID], "No tool output found for function call call_1."),
        ([SAID, THOUGHT], ALONE),
        ([SAID, THOUGHT, SAID], ALONE),
        ([SAID, WORDS, SAID, THOUGHT], ALONE),
    ],
)
def test_an_input_that_lacks_what_must_follow_is_refused(
    ann: Client, items: list[dict[str, Any]], message: str
) -> None:
    for more in ({}, {"store": False}, {"background": True}, {"stream": True}):
        assert error_of(ann.create(items, **more)) == (400, INVALID, "input", None, message)


@pytest.mark.parametrize(
    "items",
    [
        [SAID, THOUGHT, WORDS, SAID],
        [SAID, WORDS, THOUGHT, SAID],  # as Gemini's signatures come
        [SAID, THOUGHT, CALL, RESULT],
        [SAID, {name: value for name, value in THOUGHT.items() if name != "id"}, SAID],
    ],
)
def test_an_input_that_lacks_nothing_is_taken(ann: Client, items: list[dict[str, Any]]) -> None:
    assert ann.create(items).status == 200


def test_too_many_items_of_a_conversation_are_refused(ann: Client) -> None:
    items = [{"role": "user", "content": "x"}] * 21
    answer = ann.post("/v1/conversations", {"items": items})
    assert error_of(answer)[:4] == (400, INVALID, "items", "array_above_max_length")
    body = ann.post("/v1/conversations").json
    assert ann.post(f"/v1/conversations/{body['id']}/items", {"items": items}).status == 400
    assert ann.post(f"/v1/conversations/{body['id']}/items", {}).error["code"] == "missing_required_parameter"
    assert ann.post(f"/v1/conversations/{body['id']}", {}).error["code"] == "missing_required_parameter"


@pytest.mark.parametrize("more", [{}, {"instructions": "Be brief."}, {"input": None}])
def test_a_create_that_asks_nothing_is_refused(ann: Client, more: dict[str, Any]) -> None:
    answer = ann.post("/v1/responses", {"model": "sandbox/echo", **more})
    assert error_of(answer)[:4] == (400, INVALID, "input", "missing_required_parameter")
