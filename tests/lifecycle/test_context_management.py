"""``context_management`` at targets without it: the gateway compacts the history within the turn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from app.gateway.context_management import split
from tests.governance.city import City, running_city
from tests.lifecycle.chat_only import LONG, MODEL, SMALL, Model, user
from tests.lifecycle.house import Client, House, eventually, recorded, running_house, text_of
from tests.services import new_postgres
from tests.traffic.replay import Reply
from tests.websocket_client import connect

MANAGED = {"context_management": [{"type": "compaction", "compact_threshold": 1000}]}
TOOL = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
SUMMED = {"input_tokens": 1540, "output_tokens": 67, "total_tokens": 1607}


HISTORY = [user(LONG), {"role": "assistant", "content": "Noted."}, user("How old is she?")]


MODES = {
    "whole": {},
    "stream": {"stream": True},
    "background": {"background": True},
    "log": {"background": True, "stream": True},
    "unstored": {"store": False},
    "unstored stream": {"store": False, "stream": True},
}


def shown(ann: Client, input: Any, mode: str, **members: Any) -> dict[str, Any]:
    """Return the response that a client sees in the end; a stream keeps the contract's order."""
    answer = ann.create(input, model=MODEL, **MANAGED, **MODES[mode], **members)
    assert answer.status == 200, answer.body
    if "stream" in MODES[mode]:
        assert answer.broken("responses") == []
        done = [e["item"] for e in answer.events if e["type"] == "response.output_item.done"]
        response: dict[str, Any] = answer.events[-1]["response"]
        assert done == response["output"]
        assert [e["sequence_number"] for e in answer.events] == list(range(len(answer.events)))
        return response
    return ann.ended(answer.json["id"]) if mode == "background" else dict(answer.json)


def counts(response: dict[str, Any]) -> dict[str, int]:
    return {name: response["usage"][name] for name in SUMMED}


@pytest.mark.parametrize("mode", MODES)
def test_a_long_history_is_compacted_before_the_answer(ann: Client, model: Model, mode: str) -> None:
    response = shown(ann, [{"role": "developer", "content": "Be kind."}, *HISTORY], mode)
    item, message = response["output"]
    assert set(item) == {"id", "type", "encrypted_content"}
    assert (item["type"], item["id"][:4]) == ("compaction", "cmp_")
    assert (message["type"], text_of(response)) == ("message", "She is nine.")
    assert response["status"] == "completed"
    assert counts(response) == SUMMED
    assert not response.get("extra_fields", {}).get("warnings")
    (summarised,), (prompt,) = model.summaries, model.prompts
    assert LONG in json.dumps(summarised)
    assert [(one["role"], one["content"][:24]) for one in prompt] == [
        ("developer", "Be kind."),
        ("developer", "Summary of the conversat"),
        ("user", "How old is she?"),
    ]
    assert prompt[1]["content"].endswith("THE SUMMARY: Ada is a cat.")
    if not mode.startswith("unstored"):
        stored = ann.get(f"/v1/responses/{response['id']}").json
        assert stored["output"] == response["output"]
        assert counts(stored) == SUMMED
        listed = ann.get(f"/v1/responses/{response['id']}/input_items?order=asc").json["data"]
        assert [one["role"] for one in listed] == ["developer", "user", "assistant", "user"]


def test_both_calls_are_attempts_of_the_turn(ann: Client, model: Model) -> None:
    response = shown(ann, HISTORY, "whole")
    assert [row["status"] for row in response["extra_fields"]["attempts"]] == [200, 200]


@pytest.mark.parametrize("mode", ["whole", "stream", "log"])
def test_an_answer_that_reaches_the_threshold_is_followed_by_the_item(
    ann: Client, model: Model, mode: str
) -> None:
    model.answered = {"prompt_tokens": 800, "completion_tokens": 300, "total_tokens": 1100}
    response = shown(ann, [user("Ada is a cat."), {"role": "assistant", "content": "Oh."}, user("?")], mode)
    assert [item["type"] for item in response["output"]] == ["message", "compaction"]
    assert counts(response) == {"input_tokens": 2300, "output_tokens": 360, "total_tokens": 2660}
    stored = ann.get(f"/v1/responses/{response['id']}").json
    assert stored["output"] == response["output"]
    model.answered = {"prompt_tokens": 40, "completion_tokens": 7, "total_tokens": 47}
    shown(ann, [user("And now?")], "whole", previous_response_id=response["id"])
    assert [one["role"] for one in model.prompts[-1]] == ["developer", "user", "assistant", "user"]
    assert [one["content"] for one in model.prompts[-1][-3:]] == ["?", "She is nine.", "And now?"]


@pytest.mark.parametrize("mode", ["whole", "stream"])
@pytest.mark.parametrize("input", [[user("Hello")], [user(LONG)], LONG, [user(LONG), user("And?")]])
def test_what_no_model_has_answered_is_never_replaced(
    ann: Client, model: Model, input: Any, mode: str
) -> None:
    response = shown(ann, input, mode)
    assert [item["type"] for item in response["output"]] == ["message"]
    assert (model.summaries, len(model.prompts)) == ([], 1)


@pytest.mark.parametrize("through", ["previous_response_id", "conversation", "items", "pruned items"])
def test_the_item_stands_for_all_before_it(ann: Client, ann_too: Client, model: Model, through: str) -> None:
    members: dict[str, Any] = {}
    if through == "conversation":
        members["conversation"] = ann.post("/v1/conversations", {}).json["id"]
    first = shown(ann, [{"role": "system", "content": "Be kind."}, *HISTORY], "whole", **members)
    if through == "previous_response_id":
        members["previous_response_id"] = first["id"]
    sent = [user("Is she old?")]
    if through == "items":
        sent = [{"role": "system", "content": "Be kind."}, *HISTORY, *first["output"], *sent]
    if through == "pruned items":
        sent = [*first["output"], *sent]
    second = shown(ann_too, sent, "whole", **members)
    assert [item["type"] for item in second["output"]] == ["message"]
    assert [one["content"][:20] for one in model.prompts[-1]] == [
        "Be kind.",
        "Summary of the conve",
        "How old is she?",
        "She is nine.",
        "Is she old?",
    ]
    assert len(model.summaries) == 1
    if through == "conversation":
        kept = ann.get(f"/v1/conversations/{members['conversation']}/items?order=asc").json["data"]
        assert [one["type"] for one in kept] == [*["message"] * 4, "compaction", *["message"] * 3]


def test_only_its_tenant_can_use_the_item(ann: Client, bob: Client, model: Model) -> None:
    item = shown(ann, HISTORY, "unstored")["output"][0]
    answer = bob.create([item, user("?")], model=MODEL)
    assert (answer.status, answer.error["param"], answer.error["code"]) == (400, "input", "invalid_value")


def test_a_response_outlives_the_deletion_of_what_was_compacted(ann: Client, model: Model) -> None:
    first = shown(ann, HISTORY[:1], "whole")
    second = shown(ann, "How old is she?", "whole", previous_response_id=first["id"])
    assert second["output"][0]["type"] == "compaction"
    assert ann.delete(f"/v1/responses/{first['id']}").status == 200
    shown(ann, "Is she old?", "whole", previous_response_id=second["id"])
    assert LONG not in json.dumps(model.prompts[-1])
    assert ann.delete(f"/v1/responses/{second['id']}").status == 200
    assert ann.create("?", model=MODEL, previous_response_id=second["id"]).status == 400


@pytest.mark.parametrize("mode", ["whole", "stream", "background"])
def test_a_turn_goes_on_with_its_history_where_no_summary_comes(ann: Client, model: Model, mode: str) -> None:
    model.fails = True
    response = shown(ann, HISTORY, mode)
    assert [item["type"] for item in response["output"]] == ["message"]
    assert LONG in json.dumps(model.prompts)
    warnings = ann.get(f"/v1/responses/{response['id']}").json["extra_fields"]["warnings"]
    assert [row["param"] for row in warnings] == ["context_management"]
    assert "not compacted: The model is ill." in warnings[0]["message"]


def test_a_summary_that_was_cut_off_replaces_nothing(ann: Client, model: Model) -> None:
    model.finish = "length"
    response = shown(ann, HISTORY, "whole")
    assert [item["type"] for item in response["output"]] == ["message"]
    assert "not completed" in response["extra_fields"]["warnings"][0]["message"]


@pytest.mark.parametrize("mode", ["whole", "stream", "log"])
def test_the_answer_after_a_compaction_is_tried_again(ann: Client, model: Model, mode: str) -> None:
    model.broken = 1
    response = shown(ann, HISTORY, mode)
    assert [item["type"] for item in response["output"]] == ["compaction", "message"]
    assert (len(model.summaries), len(model.prompts)) == (1, 2)


def test_a_target_that_speaks_responses_does_it_itself(house: House, ann: Client) -> None:
    response = ann.make(HISTORY, model="openai/gpt-4.1", **MANAGED)
    (request,) = house.upstream.requests
    assert request.json()["context_management"] == MANAGED["context_management"]
    assert not response["extra_fields"].get("warnings")


@pytest.mark.parametrize("stream", [False, True])
def test_a_fallback_that_speaks_responses_gets_the_compacted_history(
    house: House, ann: Client, model: Model, stream: bool
) -> None:
    model.broken = 99
    house.upstream.script = lambda request: (
        recorded(request) if request.path.endswith("/responses") else model(request)
    )
    answer = ann.create(HISTORY, model=MODEL, fallbacks=["openai/gpt-4.1"], stream=stream, **MANAGED)
    assert answer.status == 200, answer.body
    response = answer.events[-1]["response"] if stream else answer.json
    first, *_, last = response["output"]
    assert (first["type"], last["type"]) == ("compaction", "message")
    assert not stream or answer.broken("responses") == []
    sent = house.upstream.requests[-1].json()
    assert [item["role"] for item in sent["input"]] == ["developer", "user"]


def test_a_fallback_of_a_target_that_manages_its_context_warns(
    house: House, ann: Client, model: Model
) -> None:
    house.upstream.add(Reply.json({"error": {"message": "broken"}}, 500), path="*/responses", times=9)
    response = ann.make(HISTORY, model="openai/gpt-4.1", fallbacks=[MODEL], **MANAGED)
    assert [item["type"] for item in response["output"]] == ["message"]
    assert [row["param"] for row in response["extra_fields"]["warnings"]] == ["context_management"]


def test_in_strict_mode_a_summary_that_fails_is_an_error(ann: Client, model: Model) -> None:
    model.fails = True
    body = {"model": MODEL, "input": HISTORY, **MANAGED}
    answer = ann.send("POST", "/v1/responses", body, {"x-sluice-strict": "true"})
    assert (answer.status, model.prompts) == (400, [])
    assert "The model is ill." in answer.error["message"]


CALLS = [
    {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
    {"type": "function_call", "call_id": "c2", "name": "look", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1", "output": "a cat"},
    {"type": "function_call_output", "call_id": "c2", "output": "a dog"},
]


def test_no_result_of_a_tool_loses_its_call(ann: Client, model: Model) -> None:
    earlier = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"type": "function_call", "call_id": "c0", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c0", "output": LONG},
    ]
    response = shown(ann, [user("Look!"), *earlier, *CALLS], "whole", tools=[TOOL])
    assert response["output"][0]["type"] == "compaction"
    assert [one["role"] for one in model.summaries[0]] == ["assistant", "user", "user"]
    assert "look({})" in model.summaries[0][0]["content"]
    assert LONG in json.dumps(model.summaries[0][1])
    prompt = model.prompts[0]
    assert [one["role"] for one in prompt] == ["developer", "user", "assistant", "tool", "tool"]
    assert [call["id"] for call in prompt[2]["tool_calls"]] == ["c1", "c2"]
    shown(ann, [*response["output"], user("And?")], "whole", tools=[TOOL])
    assert [one["role"] for one in model.prompts[-1]] == [
        *[one["role"] for one in prompt],
        "assistant",
        "user",
    ]


@pytest.mark.parametrize(
    ("kinds", "replaced"),
    [
        # u user, s system, a assistant, r reasoning, 1 2 a call, x y its result, S a summary, t tools
        ("uau", "ua"),
        ("suau", "ua"),
        ("Suau", "Sua"),
        ("Su", ""),
        ("Sau", "Sa"),
        ("u", ""),
        ("ur1x", ""),
        ("ur1xr2y", "r1x"),
        ("uau12xy", "ua"),
        ("u1xu2y", "u1x"),
        ("u1ua2xy", "u"),
        ("tua", ""),
        ("uaua", "ua"),
        ("uauu", "ua"),
        ("ua1xua1x", "ua"),
        ("", ""),
    ],
)
def test_what_a_summary_may_replace(kinds: str, replaced: str) -> None:
    made = {
        "u": user("?"),
        "s": {"role": "system", "content": "Be kind."},
        "a": {"role": "assistant", "content": "Oh."},
        "r": {"type": "reasoning", "summary": []},
        "1": CALLS[0],
        "2": CALLS[1],
        "x": CALLS[2],
        "y": CALLS[3],
        "t": {"type": "additional_tools", "tools": []},
        "S": {
            "role": "developer",
            "content": "Summary of the conversation so far, made to shorten it:\n\nAda",
        },
    }
    gone, kept = split([dict(made[kind], mark=kind) for kind in kinds])
    assert "".join(item["mark"] for item in gone) == replaced
    assert len(gone) + len(kept) == len(kinds)


@pytest.mark.parametrize(
    ("value", "param", "code"),
    [
        ({"type": "compaction"}, "context_management", "invalid_type"),
        ([5], "context_management[0]", "invalid_type"),
        ([{}], "context_management[0].type", "missing_required_parameter"),
        ([{"type": None}], "context_management[0].type", "missing_required_parameter"),
        (
            [{"type": "compaction", "compact_threshold": 999}],
            "context_management[0].compact_threshold",
            "integer_below_min_value",
        ),
        (
            [{"type": "compaction", "compact_threshold": "9999"}],
            "context_management[0].compact_threshold",
            "invalid_type",
        ),
        (
            [{"type": "compaction", "compact_threshold": 1000.5}],
            "context_management[0].compact_threshold",
            "invalid_type",
        ),
        (
            [{"type": "compaction", "compact_threshold": True}],
            "context_management[0].compact_threshold",
            "invalid_type",
        ),
        ([{"type": "compaction"}, {"type": 5}], "context_management[1].type", "invalid_type"),
    ],
)
def test_a_wrong_member_is_refused_with_its_place(ann: Client, value: Any, param: str, code: str) -> None:
    answer = ann.create("x", context_management=value)
    assert (answer.status, answer.error["param"], answer.error["code"]) == (400, param, code)
    assert param in answer.error["message"]


@pytest.mark.parametrize("value", [None, []])
def test_an_empty_member_changes_nothing(ann: Client, model: Model, value: Any) -> None:
    response = ann.make(HISTORY, model=MODEL, context_management=value)
    assert [item["type"] for item in response["output"]] == ["message"]
    assert (model.summaries, response["extra_fields"].get("warnings")) == ([], None)


@pytest.mark.parametrize(("name", "types"), [(SMALL, ["compaction", "message"]), (MODEL, ["message"])])
def test_without_a_threshold_the_window_decides(
    ann: Client, model: Model, name: str, types: list[str]
) -> None:
    history = [user(LONG * 5), *HISTORY[1:]]
    response = ann.make(history, model=name, context_management=[{"type": "compaction"}])
    assert [item["type"] for item in response["output"]] == types
    warned = [row["param"] for row in response["extra_fields"].get("warnings", ())]
    assert warned == ([] if "compaction" in types else ["context_management"])


def test_turns_of_one_websocket_that_are_not_stored(ann: Client, model: Model) -> None:
    headers = {"authorization": f"Bearer {ann.key}"}
    with connect(f"ws://127.0.0.1:{ann.port}/v1/responses", additional_headers=headers) as connection:

        def turn(input: Any, **members: Any) -> dict[str, Any]:
            sent = {"type": "response.create", "model": MODEL, "store": False, "input": input}
            connection.send(json.dumps({**sent, **MANAGED, **members}))
            event = {"type": ""}
            while event["type"] not in ("response.completed", "error"):
                event = json.loads(connection.recv(timeout=20))
            assert event["type"] == "response.completed", event
            return dict(event["response"])

        first = turn(HISTORY)
        assert [item["type"] for item in first["output"]] == ["compaction", "message"]
        second = turn([user("Is she old?")], previous_response_id=first["id"])
        turn([user("Is she?")], previous_response_id=second["id"])
    assert [one["role"] for one in model.prompts[-1]] == [
        "developer",
        *["user", "assistant"] * 2,
        "user",
    ]
    assert len(model.summaries) == 1


LIMITED = """
[keys.tom]
key = "sk-tom"
tenant = "red"
limits = [{ tokens = 100000, per = "hour" }, { concurrent = 1 }]
budgets = [{ usd = 100, per = "day" }]

[providers.groq.prices]
llama = { input = 1000, output = 1000 }
"""


@pytest.fixture(scope="module")
def limited() -> Iterator[City]:
    """A gateway with a key that has limits and a budget; a token costs a tenth of a cent."""
    with running_city(LIMITED, script=Model(), env={"SLUICE_MASTER_KEY": "sk-master"}) as running:
        yield running


def test_an_explanation_has_the_call_for_the_summary(limited: City) -> None:
    def explained(**members: Any) -> dict[str, Any]:
        body = {"model": MODEL, "input": HISTORY, "max_output_tokens": 20, **members}
        asked = {"path": "/v1/responses", "key": "tom", "body": body}
        answer: dict[str, Any] = limited.client("master").post("/admin/explain", asked).json
        return answer

    alone, both = explained(), explained(**MANAGED)
    short = explained(input=[user("Who?")], **MANAGED)
    assert both["cost_estimate"] > alone["cost_estimate"] + 1.4  # the tokens of the history alone
    assert [row["param"] for row in both["targets"][0]["adjusted"]] == ["context_management"]
    assert alone["targets"][0]["adjusted"] == short["targets"][0]["adjusted"] == []


@pytest.mark.parametrize("mode", ["whole", "stream", "background"])
def test_both_calls_are_counted_and_charged_once(limited: City, mode: str) -> None:
    tom = limited.client("tom")
    before = spent(tom)
    response = shown(tom, HISTORY, mode)
    assert [item["type"] for item in response["output"]] == ["compaction", "message"]
    assert response["usage"]["cost"] == pytest.approx(1.607)

    def counted() -> bool:
        tokens, dollars = spent(tom)
        return (tokens - before[0], round(dollars - before[1], 6)) == (1607, 1.607)

    assert eventually(counted)


def spent(client: Client) -> tuple[int, float]:
    """Return the tokens and dollars that the key has used."""
    key = client.get("/v1/key").json
    return 100_000 - key["limits"][0]["remaining"], key["budgets"][0]["spent"]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_thread_that_is_compacted_may_become_longer_than_a_body(kind: str) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(new_postgres()) if kind == "postgres" else None
        house = stack.enter_context(running_house(url, env={"SLUICE_MAX_BODY_BYTES": "16000"}))
        model = house.upstream.script = Model()
        ann = house.client("ann")
        conversation = ann.post("/v1/conversations", {}).json["id"]
        for start in ({"conversation": conversation}, {}):
            members: dict[str, Any] = dict(start)
            for _ in range(4):
                response = ann.make([user(LONG), user("Who?")], model=MODEL, **MANAGED, **members)
                if not start:
                    members = {"previous_response_id": response["id"]}
            assert [item["type"] for item in response["output"]] == ["compaction", "message"]
            assert [one["role"] for one in model.prompts[-1]] == ["developer", "user", "user"]
            answer = ann.create([user(LONG * 2)], model=MODEL, **members)
            assert answer.status == 200, answer.body
