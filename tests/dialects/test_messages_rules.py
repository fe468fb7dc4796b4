"""What Anthropic's API refuses never goes out to it, and what it takes arrives, from both surfaces.

The rules and their sources: docs/contract/providers.md.
"""

from __future__ import annotations

from typing import Any

import pytest

from app.canonical.request import Request
from app.dialects import dialect
from app.dialects.messages.dialect import DIALECT
from app.errors import GatewayError
from app.providers import vertex
from tests.dialects import generic
from tests.dialects.surfaces import both, translate

Json = dict[str, Any]
MODEL = "claude-sonnet-4-5"
VERTEX: Any = vertex._CLAUDE
MARK = {"type": "ephemeral", "ttl": "1h"}
USER = {"role": "user", "content": "hi"}


def say(role: str, text: Any) -> Json:
    return {"role": role, "content": text}


def text(words: str) -> Json:
    return {"type": "text", "text": words}


def turn(role: str, *words: str) -> Json:
    return {"role": role, "content": [text(word) for word in words]}


BLANKS: list[tuple[list[Json], list[Json]]] = [
    ([say("user", " \n")], [turn("user", ".")]),
    ([say("user", [text("a"), text(" ")])], [turn("user", "a ")]),
    ([say("user", [text(" "), text("a")])], [turn("user", " a")]),
    ([USER, say("assistant", "  "), say("user", "b")], [turn("user", "hi", "b")]),
    ([USER, say("assistant", None), say("user", "b")], [turn("user", "hi", "b")]),
    (
        [USER, say("assistant", "a"), say("user", "\t")],
        [turn("user", "hi"), turn("assistant", "a"), turn("user", ".")],
    ),
    ([USER, say("assistant", "Once ")], [turn("user", "hi"), turn("assistant", "Once")]),
    ([USER, say("assistant", " \n")], [turn("user", "hi")]),
]


@pytest.mark.parametrize("messages, want", BLANKS)
def test_no_blank_text_goes_out_and_turns_alternate(messages: list[Json], want: list[Json]) -> None:
    for surface, body in both(messages):
        assert translate(surface, body, "messages", MODEL)[0]["messages"] == want


def test_what_stands_for_nothing_and_what_is_cut_is_told() -> None:
    for surface, body in both([USER, say("assistant", "a"), say("user", " ")]):
        assert [param for param, _ in translate(surface, body, "messages", MODEL)[1]] == [_list(surface)]
    for surface, body in both([USER, say("assistant", "a ")]):
        assert [param for param, _ in translate(surface, body, "messages", MODEL)[1]] == [_list(surface)]


def _list(surface: str) -> str:
    return "messages" if surface == "chat" else "input"


@pytest.mark.parametrize(
    "model", ["claude-opus-4-6", "claude-sonnet-4-6", "claude-opus-5", "claude-haiku-5-5"]
)
def test_a_model_that_does_not_prefill_is_given_a_users_turn(model: str) -> None:
    for surface, body in both([USER, say("assistant", "Once ")]):
        out, warned = translate(surface, body, "messages", model)
        assert out["messages"] == [turn("user", "hi"), turn("assistant", "Once "), turn("user", ".")]
        assert [param for param, _ in warned] == [_list(surface)]
        out, _ = translate(surface, body, "converse", f"anthropic.{model}")
        assert [one["role"] for one in out["messages"]] == ["user", "assistant", "user"]
    own = {"model": "m", "max_tokens": 9, "messages": [USER, say("assistant", "Once")]}
    assert len(translate("messages", own, "messages", model)[0]["messages"]) == 2


def test_a_blank_system_prompt_is_none() -> None:
    for surface, body in both([say("system", " "), USER]):
        assert "system" not in translate(surface, body, "messages", MODEL)[0]
    body = {"model": "m", "instructions": " ", "input": "hi"}
    assert "system" not in translate("responses", body, "messages", MODEL)[0]


def test_a_tools_result_of_white_space_has_no_content() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    result = {"role": "tool", "tool_call_id": "c1", "content": " "}
    body = {"model": "m", "messages": [USER, {"role": "assistant", "tool_calls": [call]}, result]}
    assert translate("chat", body, "messages", MODEL)[0]["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "c1"}
    ]


# tools


def tool(surface: str, parameters: Json, **more: Any) -> Json:
    function = {"name": "f", "parameters": parameters}
    if surface == "chat":
        return {"type": "function", "function": {**function, **more}}
    return {"type": "function", **function, **more}


A, B = {"type": "string"}, {"type": "integer"}

COMBINED: list[tuple[Json, Json]] = [
    (
        {
            "type": "object",
            "properties": {"a": A, "b": B},
            "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
        },
        {
            "type": "object",
            "properties": {"a": A, "b": B},
            "description": 'At least one of these sets of members must be given: [["a"],["b"]].',
        },
    ),
    (
        {
            "description": "D.",
            "oneOf": [
                {"type": "object", "properties": {"k": {"const": 1}, "a": A}, "required": ["k", "a"]},
                {"$ref": "#/$defs/two"},
            ],
            "$defs": {"two": {"type": "object", "properties": {"k": {"const": 2}}, "required": ["k"]}},
        },
        {
            "description": 'D. Exactly one of these sets of members must be given: [["k","a"],["k"]].',
            "$defs": {"two": {"type": "object", "properties": {"k": {"const": 2}}, "required": ["k"]}},
            "type": "object",
            "properties": {"k": {"anyOf": [{"const": 1}, {"const": 2}]}, "a": A},
            "required": ["k"],
        },
    ),
    (
        {"allOf": [{"properties": {"a": A}, "required": ["a"]}, {"allOf": [{"properties": {"b": B}}]}]},
        {"type": "object", "properties": {"a": A, "b": B}, "required": ["a"]},
    ),
    ({"anyOf": [{"$ref": "#"}]}, {"type": "object", "properties": {}}),
]


@pytest.mark.parametrize("schema, want", COMBINED)
@pytest.mark.parametrize("wire", ["messages", "converse"])
def test_a_combination_at_the_top_of_a_tools_schema_is_joined(schema: Json, want: Json, wire: str) -> None:
    model = MODEL if wire == "messages" else "anthropic.claude-sonnet-4-5-20250929-v1:0"
    for surface in ("chat", "responses"):
        (_, body) = both([USER], tools=[tool(surface, schema)])[surface == "responses"]
        out, warned = translate(surface, body, wire, model)
        offered = (
            out["tools"][0]["input_schema"]
            if wire == "messages"
            else out["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"]
        )
        assert offered == want
        assert [param for param, _ in warned] == ["tools"]


OWN = {
    "eager_input_streaming": True,
    "defer_loading": True,
    "input_examples": [{"a": "b"}],
    "allowed_callers": ["direct"],
    "cache_control": MARK,
}


def test_anthropics_own_members_of_tools_arrive() -> None:
    for surface in ("chat", "responses"):
        (_, body) = both([USER], tools=[tool(surface, {"type": "object"}, **OWN, fancy=1)])[
            surface == "responses"
        ]
        path = "tools[0].fancy" if surface == "responses" else "tools[0].function.fancy"
        out, warned = translate(surface, body, "messages", MODEL)
        assert {name: out["tools"][0].get(name) for name in OWN} == OWN
        assert [param for param, _ in warned] == [path]


SEARCH = {"type": "web_search_20250305", "name": "web_search"}
PLACE = {"type": "approximate", "city": "Bonn"}
SEARCHES: list[tuple[Json, Json, list[str]]] = [
    ({"max_uses": 3}, {"max_uses": 3}, []),
    ({"allowed_domains": ["a.b"]}, {"allowed_domains": ["a.b"]}, []),
    ({"filters": {"blocked_domains": ["a.b"]}}, {"blocked_domains": ["a.b"]}, []),
    (
        {"allowed_domains": ["a"], "blocked_domains": ["b"]},
        {"allowed_domains": ["a"]},
        ["blocked_domains"],
    ),
    ({"user_location": PLACE}, {"user_location": PLACE}, []),
    ({"image_settings": {"max_results": 3}}, {}, ["image_settings"]),
    ({"filters": {"max_uses": 3, "languages": ["de"]}, "fancy": None}, {"max_uses": 3}, ["languages"]),
]


@pytest.mark.parametrize("settings, want, params", SEARCHES)
def test_a_web_searchs_settings_arrive(settings: Json, want: Json, params: list[str]) -> None:
    for surface, body in both([USER], tools=[{"type": "web_search", **settings}]):
        out, warned = translate(surface, body, "messages", MODEL)
        assert out["tools"] == [{**SEARCH, **want}]
        assert [param for param, _ in warned] == params


def test_a_dated_tool_of_anthropics_goes_out_as_it_came() -> None:
    own = {"type": "web_search_20260209", "name": "web_search", "max_uses": 2}
    for surface, body in both([USER], tools=[own]):
        assert translate(surface, body, "messages", MODEL)[0]["tools"] == [own]


# the newest families


@pytest.mark.parametrize(
    "model, want",
    [
        ("claude-opus-5-5", None),
        ("claude-fable-5-1", None),
        ("claude-fable-5", None),
        ("claude-mythos-5", None),
        ("anthropic/claude-opus-5.5", None),
        ("claude-sonnet-5-5", {"type": "between_tools"}),
        ("claude-haiku-5-5", {"type": "disabled"}),
        ("claude-opus-5", {"type": "disabled"}),
    ],
)
def test_thinking_is_turned_off_as_the_family_takes_it(model: str, want: Json | None) -> None:
    bodies = [
        ("chat", {"model": "m", "messages": [USER], "reasoning_effort": "none"}),
        ("chat", {"model": "m", "messages": [USER], "thinking": {"type": "disabled"}}),
        ("responses", {"model": "m", "input": "hi", "reasoning": {"effort": "none"}}),
        ("messages", {"model": "m", "messages": [USER], "thinking": {"type": "disabled"}}),
    ]
    for surface, body in bodies:
        assert translate(surface, body, "messages", model)[0].get("thinking") == want


UNFORCED = ["claude-opus-5-5", "claude-sonnet-5-5", "claude-fable-5", "claude-mythos-5-2"]


@pytest.mark.parametrize("model", UNFORCED)
def test_a_model_that_cannot_be_made_to_call_is_left_the_choice(model: str) -> None:
    for surface in ("chat", "responses"):
        named: Json = {"type": "function", "name": "f"}
        if surface == "chat":
            named = {"type": "function", "function": {"name": "f"}}
        for choice in ("required", named):
            (_, body) = both([USER], tools=[tool(surface, {"type": "object"})], tool_choice=choice)[
                surface == "responses"
            ]
            out, warned = translate(surface, body, "messages", model)
            assert out["tool_choice"] == {"type": "auto"}
            assert [param for param, _ in warned] == ["tool_choice"]


SCHEMA = {
    "type": "object",
    "properties": {"a": A},
    "required": ["a"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("model", UNFORCED)
def test_their_json_is_asked_for_without_a_forced_tool(model: str) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    body = {"model": "m", "messages": [USER], "response_format": form}
    for options in (None, VERTEX):
        out, _ = translate("chat", body, "messages", model, options)
        assert out["output_config"]["format"] == {"type": "json_schema", "schema": SCHEMA}
        assert "tools" not in out
    open_form = {"type": "json_schema", "name": "x", "schema": {"type": "object", "additionalProperties": A}}
    out, warned = translate(
        "responses", {"model": "m", "input": "hi", "text": {"format": open_form}}, "messages", model
    )
    assert "additionalProperties" in out["system"]
    assert ("tools" in out, [param for param, _ in warned]) == (False, ["text.format"])


@pytest.mark.parametrize(
    "model, thinking, want, effort",
    [
        (MODEL, {"type": "enabled", "budget_tokens": 2000}, {"type": "enabled", "budget_tokens": 2000}, None),
        ("claude-opus-5", {"type": "adaptive"}, {"type": "adaptive", "display": "summarized"}, "low"),
        (
            "claude-opus-5",
            {"type": "adaptive", "display": "omitted"},
            {"type": "adaptive", "display": "omitted"},
            "low",
        ),
    ],
)
def test_a_thinking_member_is_read_beside_the_standard_ones(
    model: str, thinking: Json, want: Json, effort: str | None
) -> None:
    more = {"reasoning_effort": effort} if effort else {}
    body = {"model": "m", "messages": [USER], "thinking": thinking, **more}
    out, warned = translate("chat", body, "messages", model)
    assert (out["thinking"], out.get("output_config", {}).get("effort"), warned) == (want, effort, [])


# hints and members


def marks(value: Any) -> int:
    """How many cache marks a body holds."""
    if isinstance(value, dict):
        return (value.get("cache_control") == MARK) + sum(marks(one) for one in value.values())
    return sum(marks(one) for one in value) if isinstance(value, list) else 0


CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
MARKED = [
    [{"role": "system", "content": "s", "cache_control": MARK}, USER],
    [{"role": "system", "content": [{**text("s"), "cache_control": MARK}]}, USER],
    [{"role": "user", "content": "hi", "cache_control": MARK}],
    [{"role": "user", "content": [text("hi"), {**text(" "), "cache_control": MARK}]}],
    [
        USER,
        {"role": "assistant", "tool_calls": [{**CALL, "cache_control": MARK}]},
        {"role": "tool", "tool_call_id": "c1", "content": "x"},
    ],
    [
        USER,
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "x", "cache_control": MARK},
    ],
    [
        USER,
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": [{**text("x"), "cache_control": MARK}]},
    ],
]


@pytest.mark.parametrize("messages", MARKED)
def test_a_cache_mark_arrives_wherever_it_stands(messages: list[Json]) -> None:
    out, warned = translate("chat", {"model": "m", "messages": messages}, "messages", MODEL)
    assert (marks(out), warned) == (1, [])


MARKED_ITEMS = [
    [{"role": "user", "content": "hi", "cache_control": MARK}],
    [{"role": "developer", "content": "s", "cache_control": MARK}, USER],
    [
        USER,
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "x", "cache_control": MARK},
    ],
]


@pytest.mark.parametrize("items", MARKED_ITEMS)
def test_a_cache_mark_on_an_item_arrives(items: list[Json]) -> None:
    out, warned = translate("responses", {"model": "m", "input": items}, "messages", MODEL)
    assert (marks(out), warned) == (1, [])


def test_no_more_cache_marks_go_out_than_are_taken() -> None:
    marked = {"role": "user", "content": [{**text("hi"), "cache_control": MARK}]}
    opening = {"role": "system", "content": "s", "cache_control": MARK}
    messages = [opening, *([marked, say("assistant", "a")] * 5), marked]
    out, warned = translate("chat", {"model": "m", "messages": messages}, "messages", MODEL)
    assert (marks(out), marks(out["system"]), marks(out["messages"][-1])) == (4, 1, 1)
    assert [param for param, _ in warned] == ["cache_control"]


def test_a_cache_mark_on_nothing_is_told() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": [{**text(" "), "cache_control": MARK}]}]}
    assert [param for param, _ in translate("chat", body, "messages", MODEL)[1]] == [
        "cache_control",
        "messages",
    ]


def test_unknown_members_of_parts_and_messages_are_told_like_those_of_the_body() -> None:
    messages = [
        USER,
        {"role": "user", "content": [text("a"), {**text("hi"), "fancy": 1}], "strange": {"a": 1}},
    ]
    _, warned = translate("chat", {"model": "m", "messages": messages, "odd": 1}, "messages", MODEL)
    assert sorted(param for param, _ in warned) == [
        "messages[1].content[1].fancy",
        "messages[1].strange",
        "odd",
    ]
    items = [
        USER,
        {"role": "user", "content": [{"type": "input_text", "text": "hi", "fancy": 1}], "strange": 2},
    ]
    _, warned = translate("responses", {"model": "m", "input": items}, "messages", MODEL)
    assert sorted(param for param, _ in warned) == ["input[1].content[0].fancy", "input[1].strange"]


def test_a_files_citations_and_context_arrive() -> None:
    own = {"citations": {"enabled": True}, "context": "c"}
    part = {"type": "file", "file": {"file_data": "data:text/plain;base64,YQ==", "filename": "a.txt"}, **own}
    out, warned = translate("chat", {"model": "m", "messages": [say("user", [part])]}, "messages", MODEL)
    assert out["messages"][0]["content"][0].items() >= own.items()
    item = {"type": "input_file", "file_data": "data:text/plain;base64,YQ==", "filename": "a.txt", **own}
    body = {"model": "m", "input": [{"role": "user", "content": [item]}]}
    out, more = translate("responses", body, "messages", MODEL)
    assert out["messages"][0]["content"][0].items() >= own.items()
    assert warned + more == []


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "https://x/a.png"}},
        {"type": "file", "file": {"file_data": "https://x/a.pdf"}},
        {"type": "file", "file": {"file_id": "file_1"}},
    ],
)
def test_vertex_is_not_sent_addresses(part: Json) -> None:
    with pytest.raises(GatewayError) as caught:
        translate("chat", {"model": "m", "messages": [say("user", [part])]}, "messages", MODEL, VERTEX)
    assert caught.value.kind.name == "unsupported_parameter"


# what a refusal tells

DETAILS = {"type": "refusal", "category": "cyber", "explanation": "Not this."}


@pytest.mark.parametrize(
    "details, words",
    [
        (DETAILS, "Not this."),
        (
            {"type": "refusal", "category": "bio", "explanation": None},
            "The request was refused (category: bio).",
        ),
    ],
)
def test_a_refusals_details_reach_the_client(details: Json, words: str) -> None:
    answer = {"type": "message", "content": [], "stop_reason": "refusal", "stop_details": details}
    frames = [
        {"type": "message_start", "message": {"id": "m"}},
        {"type": "message_delta", "delta": {"stop_reason": "refusal", "stop_details": details}},
        {"type": "message_stop"},
    ]
    context = generic.client_context()
    whole = DIALECT.decode_response(answer, context)
    decoder = DIALECT.stream_decoder(context)
    events = [event for frame in frames for event in decoder.feed(None, frame)]
    generic.assert_order(events)
    for response in (whole, generic.fold(events).response()):
        request, server = Request("m"), generic.server_context()
        choice = dialect("chat").encode_response(response, request, server)["choices"][0]
        assert (choice["message"]["refusal"], choice["finish_reason"]) == (words, "content_filter")
        assert choice["stop_details"] == details
        output = dialect("responses").encode_response(response, request, server)["output"]
        assert output[-1]["content"][0] == {"type": "refusal", "refusal": words}
        own = DIALECT.encode_response(response, request, server)
        assert (own["content"], own["stop_details"]) == ([], details)
