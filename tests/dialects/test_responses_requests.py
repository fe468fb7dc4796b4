"""Requests of the Responses dialect: recorded bodies through both halves, and the tolerances."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from app.canonical.request import Message, OpaquePart, Request, Signature, TextPart, Tool, ToolChoice
from app.dialects import dialect
from app.dialects.base import ServerContext
from app.dialects.responses.dialect import DIALECT
from app.dialects.shared.losses import Losses
from app.errors import GatewayError
from tests.dialects import generic
from tests.traffic import load
from tests.traffic.load import Exchange

APIS = ("openai.responses", "azure.openai.responses", "openrouter.openai.responses")
REQUESTS = [
    exchange
    for exchange in load.exchanges(APIS)
    if isinstance(exchange.request["body"], dict) and exchange.request["method"] == "POST"
]
FORCED = {"store": False}
TAKEN_OUT = ("previous_response_id", "conversation", "background")


def decode(body: dict[str, Any], **members: Any) -> Request:
    return DIALECT.decode_request(body, ServerContext(new_id=generic.counter(), now=0, **members))


def resolved(body: dict[str, Any]) -> dict[str, Any]:
    """The body as the store hands it on: references are resolved before a body is decoded."""
    items = body.get("input")
    if not isinstance(items, list):
        return body
    return {**body, "input": [item for item in items if item.get("type") != "item_reference"]}


@pytest.mark.parametrize("exchange", load.params(REQUESTS))
def test_a_recorded_request_keeps_every_member_through_both_halves(exchange: Exchange) -> None:
    body = resolved(exchange.request["body"])
    request = decode(body)
    losses = Losses("responses")
    context = generic.client_context(body.get("model", ""), losses=losses)
    sent = DIALECT.encode_request(request, context).body
    expected = {k: v for k, v in body.items() if v is not None and k not in ("input", "include", *TAKEN_OUT)}
    if not body.get("stream"):
        expected.pop("stream", None)
        expected.pop("stream_options", None)
    expected["tools"] = [unnested(tool) for tool in body.get("tools") or []]
    if body.get("tools") is None:
        del expected["tools"]
    assert {k: v for k, v in sent.items() if k not in ("input", "include")} == expected | FORCED
    assert set(body.get("include") or ()) <= set(sent.get("include", ()))
    assert losses.items == []
    again = DIALECT.encode_request(decode(sent), generic.client_context(body.get("model", ""))).body
    assert again == sent


def unnested(tool: dict[str, Any]) -> dict[str, Any]:
    """One client sends its function nested and flat at once; flat is what goes out."""
    nested = tool.get("function", {})
    return nested | {k: v for k, v in tool.items() if k != "function"}


@pytest.mark.parametrize("exchange", load.params(REQUESTS))
def test_a_recorded_input_goes_out_item_by_item(exchange: Exchange) -> None:
    body = resolved(exchange.request["body"])
    if not isinstance(body.get("input"), list):
        return
    sent = DIALECT.encode_request(decode(body), generic.client_context()).body["input"]
    assert [whole(item) for item in sent] == [whole(item) for item in body["input"]]


def whole(item: dict[str, Any]) -> dict[str, Any]:
    """An item without the freedoms of the input form: no type, string content, idle members."""
    item = {"type": "message", **item}
    role = item.get("role")
    for name in ("content", "output"):
        if isinstance(item.get(name), str):
            kind = "output_text" if role == "assistant" else "input_text"
            item[name] = [{"type": kind, "text": item[name]}]
        if isinstance(item.get(name), list) and item["type"] not in HOSTED:
            item[name] = [plain(part) for part in item[name]]
    return item


HOSTED = ("tool_search_output",)


def plain(part: dict[str, Any]) -> dict[str, Any]:
    defaults = {"annotations": [], "logprobs": []} if part["type"] == "output_text" else {}
    if part["type"] == "input_image":
        defaults["detail"] = "auto"
    return {**defaults, **{k: v for k, v in part.items() if v is not None}}


def canonical(**members: Any) -> Request:
    return decode({"model": "m", "input": "hi", **members})


READ = [
    # body members, how to look at the request, what is seen
    ({}, lambda r: r.messages, (Message("user", (TextPart("hi"),)),)),
    ({"input": [{"role": "user", "content": "hi"}]}, lambda r: r.messages[0].role, "user"),
    ({"max_output_tokens": 20, "text": {"max_tokens": 30}}, lambda r: r.sampling.max_tokens, 20),
    ({"text": {"max_tokens": 30}}, lambda r: r.sampling.max_tokens, 30),
    ({"text": {"verbosity": "low"}}, lambda r: r.output.verbosity, "low"),
    ({"text": {"format": {"type": "json_object"}}}, lambda r: r.output.format, "json"),
    (
        {"text": {"format": {"type": "json_schema", "name": "n", "schema": {"b": 1, "a": 2}, "strict": True}}},
        lambda r: (r.output.format, r.output.name, list(r.output.schema or {}), r.output.strict),
        ("schema", "n", ["b", "a"], True),
    ),
    (
        {"reasoning": {"effort": "low", "summary": "auto", "max_tokens": 9, "context": "all_turns"}},
        lambda r: (r.reasoning.effort, r.reasoning.summary, r.reasoning.budget, r.reasoning.native),
        ("low", "auto", 9, ("responses", {"context": "all_turns"})),
    ),
    ({"include": ["message.output_text.logprobs"], "top_logprobs": 2}, lambda r: (r.sampling.logprobs, r.sampling.top_logprobs), (True, 2)),
    ({"top_logprobs": 2}, lambda r: (r.sampling.logprobs, r.sampling.top_logprobs), (None, None)),
    ({"include": ["reasoning.encrypted_content", "file_search_call.results"], "max_tool_calls": 3, "tools": [{"type": "file_search"}]}, lambda r: r.hints, {"include": ["file_search_call.results"], "max_tool_calls": 3}),
    ({"include": ["message.input_image.image_url"], "max_tool_calls": 3, "tools": [{"type": "web_search"}]}, lambda r: r.hints, {"max_tool_calls": 3}),
    ({"include": ["web_search_call.results", "inline_citations"]}, lambda r: r.hints, {"include": ["web_search_call.results", "inline_citations"]}),
    ({"include": ["web_search_call.results"], "max_tool_calls": 3, "tools": [{"type": "function", "name": "f"}]}, lambda r: r.hints, {}),
    ({"truncation": "disabled", "service_tier": "auto"}, lambda r: r.hints, {}),
    ({"truncation": "auto", "user": "u", "prompt_cache_key": "k"}, lambda r: r.hints, {"truncation": "auto", "user": "u", "prompt_cache_key": "k"}),
    ({"conversation": {"id": "conv_1"}, "store": False}, lambda r: (r.state.conversation, r.state.store), ("conv_1", False)),
    ({"stop": "x", "seed": 5, "logit_bias": {"1": 2}, "n": 1, "top_k": 3}, lambda r: (r.sampling.stop, r.sampling.seed, r.sampling.logit_bias, r.sampling.n, r.sampling.top_k), (("x",), 5, {"1": 2}, 1, 3)),
    ({"logprobs": 4}, lambda r: (r.sampling.logprobs, r.sampling.top_logprobs), (True, 4)),
    ({"client_metadata": {"a": 1}, "fallbacks": ["x/y"], "stream_options": {"include_usage": True}}, lambda r: r.extra, {"client_metadata": {"a": 1}}),
    ({"tool_choice": "any"}, lambda r: r.tool_choice, ToolChoice("required")),
    ({"tool_choice": {"type": "tool", "name": "f"}}, lambda r: r.tool_choice, ToolChoice("named", "f")),
    ({"tool_choice": {"type": "custom", "name": "c"}}, lambda r: r.tool_choice, ToolChoice("named", "c", "custom")),
    ({"tool_choice": {"type": "web_search"}}, lambda r: r.tool_choice, ToolChoice("named", "web_search", "hosted", native=("responses", {"type": "web_search"}))),
    (
        {"tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]}},
        lambda r: r.tool_choice,
        ToolChoice("allowed", allowed=({"type": "function", "name": "f"},), required=True),
    ),
    (
        {"tools": [{"type": "function", "function": {"name": "f", "strict": True}}, {"type": "custom", "name": "c", "format": {"type": "text"}}, {"type": "web_search", "x": 1}]},
        lambda r: [(t.kind, t.name, t.strict, t.format) for t in r.tools],
        [("function", "f", True, None), ("custom", "c", None, {"type": "text"}), ("hosted", "web_search", None, None)],
    ),
    ({"instructions": [{"role": "developer", "content": "be"}]}, lambda r: [(m.role, m.parts[0].text) for m in r.messages], [("developer", "be"), ("user", "hi")]),
]  # fmt: skip


@pytest.mark.parametrize("members, look, seen", READ)
def test_a_member_is_read(members: dict[str, Any], look: Any, seen: Any) -> None:
    assert look(canonical(**members)) == seen


def test_a_hosted_item_is_opaque_and_whole() -> None:
    item = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}
    (message,) = canonical(input=[item]).messages
    assert message.parts == (OpaquePart("web_search_call", ("responses", item)),)
    assert message.item is not None
    assert (message.role, message.item.id) == ("assistant", "ws_1")


def test_a_reasoning_item_brings_back_what_we_wrapped() -> None:
    ours = Signature("sig", "messages", "anthropic")
    items = [
        {"type": "reasoning", "summary": [], "encrypted_content": text} for text in ("wrapped", "native")
    ]
    request = decode({"model": "m", "input": items}, unwrap={"wrapped": ours}.get)
    assert [message.parts[0].signature for message in request.messages] == [
        ours,
        Signature("native", "responses"),
    ]


FAULTS = [
    ({"input": 5}, "input", "invalid_type", "Invalid type for 'input': expected a string or an array of items, but got an integer instead."),
    ({"input": [5]}, "input[0]", "invalid_type", "Invalid type for 'input[0]': expected an object, but got an integer instead."),
    ({"input": [{"role": "user"}]}, "input[0].content", "missing_required_parameter", "Missing required parameter: 'input[0].content'."),
    ({"input": [{"role": "user", "content": 5}]}, "input[0].content", "invalid_type", "Invalid type for 'input[0].content': expected a string or an array, but got an integer instead."),
    ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role", "invalid_value", "Invalid value: 'robot'. Supported values are: 'user', 'assistant', 'system', 'developer', 'tool'."),
    ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role", "invalid_value", "Invalid value: 'tool'. Supported values are: 'assistant', 'system', 'developer', and 'user'."),
    ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text", "missing_required_parameter", "Missing required parameter: 'input[0].content[0].text'."),
    ({"input": [{"role": "user", "content": [{}]}]}, "input[0].content[0].type", "missing_required_parameter", "Missing required parameter: 'input[0].content[0].type'."),
    ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": {}}]}, "input[0].arguments", "invalid_type", "Invalid type for 'input[0].arguments': expected a string, but got an object instead."),
    ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output", "missing_required_parameter", "Missing required parameter: 'input[0].output'."),
    ({"text": {"format": 5}}, "text.format", "invalid_type", "Invalid type for 'text.format': expected an object, but got an integer instead."),
    ({"reasoning": "high"}, "reasoning", "invalid_type", "Invalid type for 'reasoning': expected an object, but got a string instead."),
    ({"parallel_tool_calls": "yes"}, "parallel_tool_calls", "invalid_type", "Invalid type for 'parallel_tool_calls': expected a boolean, but got a string instead."),
]  # fmt: skip


@pytest.mark.parametrize("members, param, code, message", FAULTS)
def test_a_fault_is_told_in_openais_words(
    members: dict[str, Any], param: str, code: str, message: str
) -> None:
    with pytest.raises(GatewayError) as raised:
        canonical(**members)
    error = raised.value
    assert (error.status, error.param, error.code, error.message) == (400, param, code, message)


@pytest.mark.parametrize("item", [{"type": "item_reference", "id": "msg_1"}, {"id": "msg_1"}])
def test_a_reference_that_nobody_resolved_is_not_found(item: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as raised:
        canonical(input=[item])
    error = raised.value
    assert (error.status, error.param, error.code, error.message) == (
        404,
        "input",
        None,
        "Item with id 'msg_1' not found.",
    )


FORMS = [None, True, 5, 1.5, "x", [], [None], {}, {"type": 5}, {"type": "function"}, [{"type": None}], [[]]]


@pytest.mark.parametrize("member", ["input", "tools", "tool_choice", "text", "reasoning", "include", "metadata", "stop", "instructions", "conversation", "max_output_tokens"])  # fmt: skip
@pytest.mark.parametrize("value", FORMS, ids=repr)
def test_no_json_whatever_crashes_the_reading(member: str, value: Any) -> None:
    for body in (
        {"model": "m", member: value},
        {"model": "m", "input": [{"role": "user", "content": value}]},
    ):
        with suppress(GatewayError):
            DIALECT.encode_request(decode(body), generic.client_context())


def test_what_a_layer_changed_is_written_over_the_native_body() -> None:
    body = {
        "model": "openai/m", "input": "hi", "temperature": 0.2, "top_p": 0.9, "unheard_of": 1, "stream": True,
        "tools": [{"type": "function", "name": "f", "parameters": {}, "defer_loading": True}], "reasoning": {"effort": "low", "mode": "pro"},
    }  # fmt: skip
    request = decode(body)
    changed = replace(
        request,
        messages=(*request.messages, Message("user", (TextPart("more"),))),
        sampling=replace(request.sampling, temperature=0.5, top_p=None),
    )
    sent = DIALECT.encode_request(changed, generic.client_context("m")).body
    assert sent == {
        "model": "m", "temperature": 0.5, "unheard_of": 1, "stream": True, "tools": body["tools"], "reasoning": body["reasoning"],
        "input": [{"type": "message", "content": "hi", "role": "user"}, {"type": "message", "content": "more", "role": "user"}],
        "include": ["reasoning.encrypted_content"], "store": False,
    }  # fmt: skip


CHAT = {
    "model": "openai/m",
    "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "name": "bob", "content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "42"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}],
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
    "max_tokens": 5, "seed": 3, "stop": ["x"], "web_search_options": {"user_location": {"type": "approximate", "approximate": {"city": "Bern"}}},
    "logprobs": True, "top_logprobs": 2, "reasoning_effort": "low", "verbosity": "high",
}  # fmt: skip


def test_a_chat_request_becomes_a_responses_body_with_its_losses_told() -> None:
    request = dialect("chat").decode_request(CHAT, ServerContext(new_id=generic.counter(), now=0))
    losses = Losses("chat", target="'openai/m'")
    body = DIALECT.encode_request(request, generic.client_context("m", losses=losses)).body
    assert body == {
        "model": "m",
        "input": [
            {"type": "message", "content": "be brief", "role": "system"},
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"}]},
            {"type": "function_call", "arguments": "{}", "call_id": "call_1", "name": "f"},
            {"type": "function_call_output", "call_id": "call_1", "output": "42"},
        ],
        "tools": [
            {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": False},
            {"type": "web_search", "user_location": {"type": "approximate", "city": "Bern"}},
        ],
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "high"},
        "max_output_tokens": 16, "top_logprobs": 2, "reasoning": {"effort": "low"}, "store": False,
        "include": ["message.output_text.logprobs", "reasoning.encrypted_content"],
    }  # fmt: skip
    assert sorted(loss.param for loss in losses.items) == [
        "max_completion_tokens",
        "messages",
        "seed",
        "stop",
    ]


def test_what_an_item_cannot_say_is_refused_or_told() -> None:
    sound = {
        "role": "user",
        "content": [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}],
    }
    with pytest.raises(GatewayError) as raised:
        DIALECT.encode_request(
            decode({"model": "m", "input": [sound]}), generic.client_context(losses=Losses("responses"))
        )
    assert (raised.value.kind.name, raised.value.param) == ("unsupported_parameter", "input")
    foreign = Message("assistant", (OpaquePart("server_tool_use", ("messages", {})), TextPart("a")))
    losses = Losses("messages")
    body = DIALECT.encode_request(Request("m", (foreign,)), generic.client_context("m", losses=losses)).body
    assert [item["content"] for item in body["input"]] == ["a"]
    assert [loss.param for loss in losses.items] == ["messages"]


@pytest.mark.parametrize(
    "tool, sent, warned",
    [
        ({"type": "web_search", "filters": 1}, [{"type": "web_search", "filters": 1}], []),
        (
            {"type": "web_search_20250305", "name": "web_search"},
            None,
            ["tools"],
        ),
        ({"type": "openrouter:advisor", "x": 1}, None, ["tools"]),
    ],
)
def test_a_hosted_tool_of_another_api(tool: dict[str, Any], sent: Any, warned: list[str]) -> None:
    hosted = Tool("hosted", tool["type"], native=("chat", tool))
    losses = Losses("chat")
    request = Request("m", (Message("user", (TextPart("hi"),)),), tools=(hosted,))
    body = DIALECT.encode_request(request, generic.client_context("m", losses=losses)).body
    assert body.get("tools") == sent
    assert [loss.param for loss in losses.items] == warned


def test_a_forced_tool_that_is_not_run_is_refused() -> None:
    choice = ToolChoice("named", "openrouter:advisor", "hosted")
    with pytest.raises(GatewayError) as raised:
        DIALECT.encode_request(
            Request("m", tool_choice=choice), generic.client_context(losses=Losses("chat"))
        )
    assert raised.value.param == "tool_choice"
