"""What is taken in without complaint, and what it comes to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.behaviour.world import World, chat_body, responses_body
from tests.traffic.replay import Reply

FLAT = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}
NESTED = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
CALLING = {
    "chat": {"messages": [{"role": "user", "content": "call tool get_weather"}]},
    "responses": {"input": "call tool get_weather"},
}


@pytest.mark.parametrize("surface", ["chat", "responses"])
@pytest.mark.parametrize("tool", [FLAT, NESTED], ids=["flat", "nested"])
@pytest.mark.parametrize("choice", ["auto", "required", "any", "tool", None])
def test_tools_are_taken_in_both_nestings(world: World, surface: str, tool: Any, choice: str | None) -> None:
    body = {**CALLING[surface], "tools": [tool], "tool_choice": choice}
    answer = world.ask(surface, model="sandbox/x", **body).json
    if surface == "chat":
        assert answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "get_weather"
    else:
        assert [i["name"] for i in answer["output"] if i["type"] == "function_call"] == ["get_weather"]
        assert answer["tools"][0]["name"] == "get_weather"  # the surface's own, flat form
        assert "function" not in answer["tools"][0]
        assert answer["tool_choice"] == (
            choice if choice in ("auto", "required") else "required" if choice else "auto"
        )


ALLOWING = {
    "chat": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NESTED]}},
    "responses": {"type": "allowed_tools", "mode": "auto", "tools": [FLAT]},
}


@pytest.mark.parametrize("surface", ALLOWING)
@pytest.mark.parametrize("wrong", [[], {}, 5, [{"type": []}], [{"type": "function", "name": {}}], [5]])
def test_the_tools_that_a_choice_allows_are_checked(world: World, surface: str, wrong: Any) -> None:
    assert world.ask(surface, model="sandbox/x", tools=[FLAT], tool_choice=ALLOWING[surface]).status == 200
    holder = {"allowed_tools": {"mode": "auto", "tools": wrong}} if surface == "chat" else {"tools": wrong}
    refused = world.ask(
        surface, model="sandbox/x", tools=[FLAT], tool_choice={"type": "allowed_tools", **holder}
    )
    assert refused.status == (200 if wrong == [] else 400)
    if wrong != []:
        assert refused.error["param"].startswith("tool_choice.")


@pytest.mark.parametrize("word", ["any", "tool"])
def test_any_and_tool_are_sent_on_as_required(world: World, word: str) -> None:
    world.upstream.add(Reply.json(chat_body("good")), times=2)
    for surface in ("chat", "responses"):
        world.ask(surface, tools=[FLAT], tool_choice=word)
    assert [request.json()["tool_choice"] for request in world.upstream.requests] == ["required", "required"]


def test_unknown_members_reach_a_target_of_the_same_dialect(world: World) -> None:
    world.upstream.add(Reply.json(responses_body()))
    answer = world.ask("responses", model="openai/x", brand_new_member={"a": 1})
    assert answer.status == 200
    assert world.upstream.requests[0].json()["brand_new_member"] == {"a": 1}
    assert "warnings" not in answer.json["extra_fields"]


def test_unknown_members_are_warned_of_elsewhere_and_refused_when_strict(world: World) -> None:
    answer = world.ask("responses", model="sandbox/x", brand_new_member=1)
    assert [row["param"] for row in answer.json["extra_fields"]["warnings"]] == ["brand_new_member"]
    strict = world.ask(
        "responses", model="sandbox/x", brand_new_member=1, headers={"x-sluice-strict": "true"}
    )
    assert (strict.status, strict.error["code"], strict.error["param"]) == (
        400,
        "unsupported_parameter",
        "brand_new_member",
    )


@pytest.mark.parametrize(
    "value, status, param",
    [("TRUE", 400, "brand_new_member"), ("false", 200, None), ("1", 400, "x-sluice-strict")],
)
def test_strictness_is_true_or_false(world: World, value: str, status: int, param: str | None) -> None:
    answer = world.ask("responses", model="sandbox/x", brand_new_member=1, headers={"x-sluice-strict": value})
    assert answer.status == status
    assert param is None or answer.error["param"] == param


@pytest.mark.parametrize(
    "surface, members, code, param",
    [
        ("responses", {"context_management": [5]}, "invalid_type", "context_management[0]"),
        (
            "responses",
            {"context_management": [{}]},
            "missing_required_parameter",
            "context_management[0].type",
        ),
        (
            "responses",
            {"context_management": [{"type": "compaction", "compact_threshold": 999}]},
            "integer_below_min_value",
            "context_management[0].compact_threshold",
        ),
        (
            "responses",
            {"context_management": [{"type": "compaction", "compact_threshold": "1000"}]},
            "invalid_type",
            "context_management[0].compact_threshold",
        ),
        ("responses", {"input": [{"type": "x_call", "call_id": {}}]}, "invalid_type", "input[0].call_id"),
        (
            "responses",
            {"input": [{"role": "user", "content": "x", "call_id": [1]}]},
            "invalid_type",
            "input[0].call_id",
        ),
        ("responses", {"prompt": {}}, "missing_required_parameter", "prompt.id"),
        ("responses", {"prompt": {"id": 5}}, "invalid_type", "prompt.id"),
        ("responses", {"conversation": {"id": 5}}, "invalid_type", "conversation.id"),
        ("chat", {"response_format": {"type": 5}}, "invalid_type", "response_format.type"),
    ],
)
def test_a_wrong_member_of_an_object_is_named_by_its_path(
    world: World, surface: str, members: dict[str, Any], code: str, param: str
) -> None:
    answer = world.ask(surface, model="sandbox/x", **members)
    assert (answer.status, answer.error["code"], answer.error["param"]) == (400, code, param)


def test_the_least_threshold_of_compaction_is_accepted(world: World) -> None:
    edits = [{"type": "compaction", "compact_threshold": 1000}, {"type": "compaction"}]
    assert world.ask("responses", model="sandbox/x", context_management=edits).status == 200


@pytest.mark.parametrize(
    "surface, member, least",
    [
        ("chat", "max_tokens", 1),
        ("chat", "max_completion_tokens", 1),
        ("chat", "n", 1),
        ("responses", "max_output_tokens", 16),
        ("responses", "text.max_tokens", 1),
    ],
)
def test_lower_bounds_and_their_paths(world: World, surface: str, member: str, least: int) -> None:
    def ask(value: Any) -> Any:
        outer, _, inner = member.partition(".")
        return world.ask(surface, model="sandbox/x", **{outer: {inner: value} if inner else value})

    assert ask(least).status == 200
    assert ask(float(least)).status == 200  # 5.0 is an integer
    refused = ask(least - 1)
    assert (refused.status, refused.error["param"]) == (400, member)
    assert refused.error["code"] == "integer_below_min_value"
    for wrong in (str(least), least + 0.5, True, [least]):
        assert (ask(wrong).status, ask(wrong).error["param"]) == (400, member)


@pytest.mark.parametrize(
    "surface, member, right, wrong",
    [
        ("responses", "text.verbosity", "low", "loud"),
        ("responses", "text.format.type", "json_object", "yaml"),
        ("responses", "reasoning.summary", "concise", "long"),
        ("chat", "verbosity", "low", "loud"),
    ],
)
def test_words_inside_members_are_checked(
    world: World, surface: str, member: str, right: str, wrong: str
) -> None:
    def ask(value: Any) -> Any:
        first, *inner = member.split(".")
        for name in reversed(inner):
            value = {name: value}
        return world.ask(surface, model="sandbox/x", **{first: value})

    assert ask(right).status == 200
    assert ask(None).status == 200
    for value, code in ((wrong, "invalid_value"), (5, "invalid_type"), ([], "invalid_type")):
        refused = ask(value)
        assert (refused.status, refused.error["param"], refused.error["code"]) == (400, member, code)


def test_whether_to_obfuscate_is_a_boolean(world: World) -> None:
    refused = world.ask("responses", model="sandbox/x", stream_options={"include_obfuscation": "no"})
    assert (refused.status, refused.error["param"]) == (400, "stream_options.include_obfuscation")


_DOCUMENT = {"format": "txt", "name": "d", "source": {"text": "hi"}, "citations": {"enabled": True}}
_CONVERSE = "/bedrock/model/sandbox%2Fecho/converse"
_GOOGLE = "/v1beta/models/sandbox%2Fmessages-x:generateContent"
PLACES: list[tuple[str, dict[str, Any], str]] = [
    (
        "/v1/chat/completions",
        {"model": "sandbox/responses-x", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
        "max_tokens",
    ),
    (
        _CONVERSE,
        {"messages": [{"role": "user", "content": [{"text": "hi"}, {"document": _DOCUMENT}]}]},
        "messages[0].content[1].document.citations",
    ),
    (
        _CONVERSE,
        {
            "system": [{"text": "a", "cachePoint": None}, {"cachePoint": {"type": "default"}}],
            "messages": [{"role": "user", "content": [{"text": "hi"}]}],
        },
        "system[1].cachePoint",
    ),
    (
        _GOOGLE,
        {"contents": [{"parts": [{"text": "hi"}]}], "generation_config": {"presence_penalty": 1}},
        "generation_config.presence_penalty",
    ),
]


@pytest.mark.parametrize(("path", "body", "param"), PLACES, ids=[param for _, _, param in PLACES])
def test_a_warning_names_the_place_in_the_clients_body(
    world: World, path: str, body: dict[str, Any], param: str
) -> None:
    answer = world.send("POST", path, body)
    told = answer.headers.get("x-sluice-warnings")
    rows = json.loads(told) if told else answer.json["extra_fields"]["warnings"]
    assert [row["param"] for row in rows] == [param]


def test_a_search_for_tools_brings_no_warning_of_our_own_members(world: World) -> None:
    call = {"type": "tool_search_call", "call_id": "a", "arguments": {}, "execution": "client"}
    item = {"type": "tool_search_output", "call_id": "a", "tools": [FLAT], "execution": "client"}
    messages = [{"role": "user", "content": "hi"}, call, item]
    answer = world.ask("responses", model="sandbox/x", input=messages, tools=[{"type": "tool_search"}])
    assert answer.status == 200
    assert "whole" not in json.dumps(answer.json["extra_fields"])


def test_of_both_chat_limits_the_newer_wins(world: World) -> None:
    world.upstream.add(Reply.json(chat_body("good")))
    world.ask("chat", max_tokens=5, max_completion_tokens=9)
    body = world.upstream.requests[0].json()
    assert [body[name] for name in ("max_tokens", "max_completion_tokens") if name in body] == [9]


def test_stream_options_of_both_surfaces_are_taken_on_either(world: World) -> None:
    options = {"include_usage": True, "include_obfuscation": False}
    events = world.ask("responses", model="sandbox/x", stream=True, stream_options=options).events
    assert not [event for event in events if "obfuscation" in event]
    assert world.ask("chat", model="sandbox/x", stream=True, stream_options=options).status == 200


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", ["sandbox/x", "sandbox/responses-x", "sandbox/messages-x", "groq/x"])
def test_a_response_with_several_choices_is_refused(world: World, model: str, stream: bool) -> None:
    refused = world.ask("responses", model=model, stream=stream, n=2)
    assert (refused.status, refused.error["param"]) == (400, "n")
    assert world.upstream.requests == []


def test_a_warning_names_a_member_of_another_form_as_the_client_wrote_it(world: World) -> None:
    names = ["max_tokens", "reasoning_effort", "messages"]
    answer = world.ask("responses", model="sandbox/x", max_tokens=9, reasoning_effort="low", messages=[])
    assert [
        (row["param"], row["message"].split(" ")[0]) for row in answer.json["extra_fields"]["warnings"]
    ] == [(name, f"'{name}'") for name in names]


@pytest.mark.parametrize("surface", ["chat", "responses"])
def test_null_is_absent(world: World, surface: str) -> None:
    members = (
        "temperature",
        "top_p",
        "tools",
        "tool_choice",
        "metadata",
        "stream",
        "user",
        "fallbacks",
        "n",
        "text",
    )
    answer = world.ask(surface, model="sandbox/x", **dict.fromkeys(members))
    assert answer.status == 200, answer.body
    assert "warnings" not in answer.json["extra_fields"]
