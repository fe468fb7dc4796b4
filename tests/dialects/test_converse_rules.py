"""What Bedrock's Converse refuses never goes out to it, from both surfaces.

The rules and their sources: docs/contract/providers.md.
"""

from __future__ import annotations

import base64
from typing import Any

import pytest

from app.canonical.request import ImagePart, OpaquePart
from app.dialects.converse.dialect import DIALECT
from tests.dialects import generic
from tests.dialects.surfaces import both, translate

Json = dict[str, Any]
CLAUDE = "anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "us.amazon.nova-pro-v1:0"
MARK = {"type": "ephemeral", "ttl": "1h"}
POINT = {"cachePoint": {"type": "default", "ttl": "1h"}}
USER = {"role": "user", "content": "hi"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def say(role: str, text: Any) -> Json:
    return {"role": role, "content": text}


def text(words: str) -> Json:
    return {"type": "text", "text": words}


def turn(role: str, *words: str) -> Json:
    return {"role": role, "content": [{"text": word} for word in words]}


BLANKS: list[tuple[list[Json], list[Json]]] = [
    ([say("user", " \n")], [turn("user", ".")]),
    ([say("user", [text("a"), text(" ")])], [turn("user", "a ")]),
    ([USER, say("assistant", "  "), say("user", "b")], [turn("user", "hi", "b")]),
    ([USER, say("assistant", None), say("user", "b")], [turn("user", "hi", "b")]),
    (
        [USER, say("assistant", "a"), say("user", ""), say("assistant", "b"), say("user", "c")],
        [
            turn("user", "hi"),
            turn("assistant", "a"),
            turn("user", "."),
            turn("assistant", "b"),
            turn("user", "c"),
        ],
    ),
    ([say("assistant", "a"), USER], [turn("user", "."), turn("assistant", "a"), turn("user", "hi")]),
    ([USER, say("assistant", "Once ")], [turn("user", "hi"), turn("assistant", "Once")]),
]


@pytest.mark.parametrize("messages, want", BLANKS)
@pytest.mark.parametrize("model", [CLAUDE])
def test_no_blank_text_goes_out_and_turns_alternate(
    model: str, messages: list[Json], want: list[Json]
) -> None:
    for surface, body in both(messages):
        assert translate(surface, body, "converse", model)[0]["messages"] == want


def test_turns_alternate_around_another_models_thoughts() -> None:
    thought = {"type": "reasoning", "summary": [], "encrypted_content": "eA"}
    body = {"model": "m", "input": [USER, thought, {**USER, "content": "b"}]}
    assert translate("responses", body, "converse", NOVA)[0]["messages"] == [turn("user", "hi", "b")]
    chat = {"role": "assistant", "content": None, "reasoning_content": "hm"}
    body = {"model": "m", "messages": [USER, chat, {**USER, "content": "b"}]}
    assert translate("chat", body, "converse", NOVA)[0]["messages"] == [turn("user", "hi", "b")]


def test_a_document_alone_is_given_words() -> None:
    part = {
        "type": "file",
        "file": {"file_data": "data:application/pdf;base64,JVBERi0x", "filename": "a.pdf"},
    }
    out, warned = translate("chat", {"model": "m", "messages": [say("user", [part])]}, "converse", CLAUDE)
    assert [next(iter(block)) for block in out["messages"][0]["content"]] == ["document", "text"]
    assert [param for param, _ in warned] == ["messages"]
    body = {"model": "m", "messages": [say("user", [part, text("read")])]}
    assert translate("chat", body, "converse", CLAUDE)[1] == []


@pytest.mark.parametrize("content", [" ", "", "\n\t", [text(" ")]])
def test_a_tools_result_without_words_holds_some(content: Any) -> None:
    result = {"role": "tool", "tool_call_id": "c1", "content": content}
    body = {"model": "m", "messages": [USER, {"role": "assistant", "tool_calls": [CALL]}, result]}
    out, warned = translate("chat", body, "converse", NOVA)
    assert out["messages"][2]["content"][0]["toolResult"]["content"] == [{"text": "."}]
    assert [param for param, _ in warned] == ["messages"]


GPT = [
    ("openai.gpt-5.6-sol", "high", "high", []),
    ("us.openai.gpt-6-luna", "none", "none", []),
    ("global.openai.gpt-6-luna", "minimal", "low", ["reasoning_effort"]),
    ("openai.gpt-5.6-terra", "max", "max", []),
    ("us.openai.gpt-6-astra", "none", "low", ["reasoning_effort"]),
]


@pytest.mark.parametrize("model, asked, want, params", GPT)
def test_a_gpts_effort_is_nested(model: str, asked: str, want: str, params: list[str]) -> None:
    body = {"model": "m", "messages": [USER], "reasoning_effort": asked}
    out, warned = translate("chat", body, "converse", model)
    assert out["additionalModelRequestFields"] == {"reasoning": {"effort": want}}
    assert [param for param, _ in warned] == params


def test_gpt_oss_keeps_the_flat_effort() -> None:
    body = {"model": "m", "input": "hi", "reasoning": {"effort": "high"}}
    out, _ = translate("responses", body, "converse", "openai.gpt-oss-120b-1:0")
    assert out["additionalModelRequestFields"] == {"reasoning_effort": "high"}


WIDE = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "T",
    "description": "D",
    "type": "object",
    "properties": {
        "a": {"$ref": "#/$defs/A"},
        "b": {"type": "array", "items": {"$ref": "#/$defs/A"}},
        "additionalProperties": {"type": "string"},
    },
    "required": ["a"],
    "additionalProperties": False,
    "$defs": {
        "A": {"type": "object", "properties": {"x": {"type": "string"}}, "additionalProperties": False}
    },
}
A = {"type": "object", "properties": {"x": {"type": "string"}}}


@pytest.mark.parametrize("model", [NOVA, "us.amazon.nova-2-lite-v1:0"])
def test_nova_is_sent_the_plainest_schemas(model: str) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": WIDE}}
    out, warned = translate("chat", {"model": "m", "messages": [USER], "tools": [tool]}, "converse", model)
    assert out["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"] == {
        "title": "T",
        "description": "D",
        "type": "object",
        "properties": {
            "a": A,
            "b": {"type": "array", "items": A},
            "additionalProperties": {"type": "string"},
        },
        "required": ["a"],
    }
    assert warned == []


def test_a_schema_that_refers_to_itself_or_doubles_ends() -> None:
    twice = {f"n{i}": {"properties": {k: {"$ref": f"#/$defs/n{i + 1}"} for k in "ab"}} for i in range(30)}
    for schema in (
        {"type": "object", "properties": {"a": {"$ref": "#"}}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/n0"}}, "$defs": twice},
    ):
        tool = {"type": "function", "name": "f", "parameters": schema}
        out, warned = translate("responses", {"model": "m", "input": "hi", "tools": [tool]}, "converse", NOVA)
        assert len(str(out)) < 1_000_000
        assert [param for param, _ in warned] == ["tools"]


MARKED = [
    ([{"role": "system", "content": "s", "cache_control": MARK}, USER], ("system", 1)),
    ([{"role": "user", "content": "hi", "cache_control": MARK}], ("messages", 0, "content", 1)),
    (
        [
            USER,
            {"role": "assistant", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": [{**text("x"), "cache_control": MARK}]},
        ],
        ("messages", 2, "content", 1),
    ),
]


@pytest.mark.parametrize("messages, path", MARKED)
def test_a_cache_mark_becomes_a_point_behind_its_part(messages: list[Json], path: tuple[Any, ...]) -> None:
    out, warned = translate("chat", {"model": "m", "messages": messages}, "converse", CLAUDE)
    at: Any = out
    for step in path:
        at = at[step]
    assert (at, warned) == (POINT, [])


def test_a_cache_mark_inside_a_tools_function_becomes_a_point() -> None:
    tool = {"type": "function", "function": {"name": "f", "cache_control": MARK}}
    out, _ = translate("chat", {"model": "m", "messages": [USER], "tools": [tool]}, "converse", CLAUDE)
    assert out["toolConfig"]["tools"][1] == POINT
    _, warned = translate(
        "chat",
        {"model": "m", "messages": [USER], "tools": [tool]},
        "converse",
        "meta.llama3-1-8b-instruct-v1:0",
    )
    assert [param for param, _ in warned] == ["cache_control"]


def test_unknown_members_of_parts_are_told() -> None:
    messages = [{"role": "user", "content": [{**text("hi"), "fancy": 1}], "strange": 1}]
    _, warned = translate("chat", {"model": "m", "messages": messages}, "converse", NOVA)
    assert sorted(param for param, _ in warned) == ["messages[0].content[0].fancy", "messages[0].strange"]


def test_a_claude_that_cannot_be_forced_is_left_the_choice() -> None:
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}}
    body = {"model": "m", "input": "hi", "tools": [tool], "tool_choice": "required"}
    out, warned = translate("responses", body, "converse", "us.anthropic.claude-opus-5-5")
    assert ("toolChoice" in out["toolConfig"], [param for param, _ in warned]) == (False, ["tool_choice"])


# pictures in a stream

PNG = base64.b64encode(b"\x89PNG-and-more").decode()


def streamed(*deltas: Json) -> Any:
    decoder = DIALECT.stream_decoder(generic.client_context())
    frames = [
        ("messageStart", {"role": "assistant"}),
        ("contentBlockStart", {"contentBlockIndex": 0, "start": {"image": {"format": "png"}}}),
        *(("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"image": delta}}) for delta in deltas),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "so"}}),
        ("contentBlockStop", {"contentBlockIndex": 1}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {}),
    ]
    events = [event for name, data in frames for event in decoder.feed(name, data)]
    generic.assert_order(events)
    return generic.parts_of(generic.fold(events).response().choices[0])[0]


def test_a_streams_picture_comes_whole() -> None:
    assert streamed({"source": {"bytes": PNG}}) == ImagePart(PNG, "image/png")
    pieces = [base64.b64encode(piece).decode() for piece in (b"\x89PNG", b"-and-", b"more")]
    assert streamed(*({"source": {"bytes": piece}} for piece in pieces)) == ImagePart(PNG, "image/png")
    assert isinstance(streamed({"error": {"message": "no"}}), OpaquePart)


def test_no_more_cache_points_go_out_than_are_taken() -> None:
    marked = {"role": "user", "content": [{**text("hi"), "cache_control": MARK}]}
    opening = {"role": "system", "content": [{**text("s"), "cache_control": MARK}]}
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}, "cache_control": MARK}
    messages = [opening, *([marked, say("assistant", "a")] * 5), marked]
    body = {"model": "m", "messages": messages, "tools": [tool]}
    out, warned = translate("chat", body, "converse", CLAUDE)
    told = [POINT in turn["content"] for turn in out["messages"] if turn["role"] == "user"]
    assert told == [False] * 4 + [True] * 2
    assert (out["system"].count(POINT), out["toolConfig"]["tools"].count(POINT)) == (1, 1)
    assert [param for param, _ in warned] == ["cache_control"]
