"""Chat-shaped bodies on a Responses surface (seed page 002)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.canonical.request import Request
from app.dialects import dialect
from app.dialects.base import ServerContext
from app.dialects.chat.options import ChatOptions
from app.dialects.responses.chat_shape import is_chat_shaped, to_responses_body
from app.dialects.responses.dialect import DIALECT
from app.dialects.shared.losses import Losses
from app.errors import GatewayError
from tests.dialects import generic
from tests.traffic import load
from tests.traffic.load import Exchange

CHATS = [
    exchange
    for exchange in load.exchanges(
        ("*.openai.chat", "openai.chat", "openrouter.openai.chat", "groq.openai.chat")
    )
    if isinstance(exchange.request["body"], dict) and exchange.status == 200
]
PAGE = {
    "model": "openai/gpt-4o",
    "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
    "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}}],
    "tool_choice": "none", "temperature": 0.5, "top_p": 0.9, "n": 1, "stream": True, "logprobs": 2, "stop": "x",
    "max_tokens": 12, "presence_penalty": 0.1, "frequency_penalty": 0.2, "logit_bias": {"5": -1}, "user": "u",
}  # fmt: skip


def context() -> ServerContext:
    return ServerContext(new_id=generic.counter(), now=0)


def test_every_member_of_the_page_has_its_place() -> None:
    body, left_out = to_responses_body(PAGE)
    assert body == {
        "model": "openai/gpt-4o",
        "input": [
            {"type": "message", "content": "be brief", "role": "system"},
            {"type": "message", "content": "hi", "role": "user"},
        ],
        "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {}, "strict": False}],
        "tool_choice": "none", "temperature": 0.5, "top_p": 0.9, "n": 1, "stream": True, "logprobs": 2, "stop": "x",
        "max_output_tokens": 12, "presence_penalty": 0.1, "frequency_penalty": 0.2, "logit_bias": {"5": -1}, "user": "u",
    }  # fmt: skip
    assert left_out == ["stop", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "n"]
    assert (is_chat_shaped(PAGE), is_chat_shaped(body)) == (True, False)


def test_a_target_that_speaks_chat_gets_them_with_their_meaning() -> None:
    request = DIALECT.decode_request(to_responses_body({**PAGE, "seed": 7})[0], context())
    losses = Losses("responses")
    body = dialect("chat").encode_request(request, generic.client_context("gpt-4o", losses=losses)).body
    expected = {
        "temperature": 0.5, "top_p": 0.9, "seed": 7, "logprobs": True, "top_logprobs": 2, "presence_penalty": 0.1,
        "frequency_penalty": 0.2, "logit_bias": {"5": -1}, "user": "u", "tool_choice": "none", "stream": True,
    }  # fmt: skip
    assert {name: body.get(name) for name in expected} == expected
    assert body["stop"] in ("x", ["x"])
    assert body.get("max_completion_tokens", body.get("max_tokens")) == 12
    assert [message["role"] for message in body["messages"]] == ["system", "user"]


def test_a_target_that_speaks_responses_is_told_what_it_loses() -> None:
    request = DIALECT.decode_request(to_responses_body(PAGE)[0], context())
    losses = Losses("responses")
    body = DIALECT.encode_request(request, generic.client_context("gpt-4o", losses=losses)).body
    assert not {"stop", "logit_bias", "n", "presence_penalty", "frequency_penalty", "logprobs"} & set(body)
    assert body["top_logprobs"] == 2
    warned = {loss.param for loss in losses.items}
    assert warned == {"stop", "logit_bias", "presence_penalty", "frequency_penalty", "max_output_tokens"}


def test_a_loss_that_the_surface_forgives_is_a_warning() -> None:
    losses = Losses("responses", warn_only=frozenset({"logprobs"}))
    losses.report("logprobs")
    assert [loss.param for loss in losses.items] == ["include"]
    with pytest.raises(GatewayError):
        Losses("responses").report("logprobs")


@pytest.mark.parametrize(
    "member, name, value",
    [
        ({"max_completion_tokens": 9, "max_tokens": 5}, "max_output_tokens", 9),
        ({"max_output_tokens": 20, "max_tokens": 5}, "max_output_tokens", 20),
        ({"reasoning_effort": "low", "reasoning": {"summary": "auto"}}, "reasoning", {"effort": "low", "summary": "auto"}),
        ({"verbosity": "low", "response_format": {"type": "json_object"}}, "text", {"format": {"type": "json_object"}, "verbosity": "low"}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True}}},
            "text",
            {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}},
        ),
        ({"functions": [{"name": "g"}]}, "tools", [{"strict": False, "name": "g", "type": "function"}]),
        ({"function_call": {"name": "g"}}, "tool_choice", {"type": "function", "name": "g"}),
        ({"tools": [{"type": "web_search"}]}, "tools", [{"type": "web_search"}]),
        ({"tools": [{"type": "function", "name": "g"}]}, "tools", [{"type": "function", "name": "g"}]),
        (
            {"tools": [{"type": "custom", "custom": {"name": "c", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "d"}}}}]},
            "tools",
            [{"name": "c", "format": {"type": "grammar", "syntax": "lark", "definition": "d"}, "type": "custom"}],
        ),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "resp_1"),
        ({"instructions": "be"}, "instructions", "be"),
        ({"input": "more"}, "input", [{"type": "message", "role": "user", "content": "more"}]),
    ],
)  # fmt: skip
def test_a_member_is_rewritten(member: dict[str, Any], name: str, value: Any) -> None:
    body, _ = to_responses_body({"model": "m", "messages": [], **member})
    assert body[name] == value


@pytest.mark.parametrize(
    "body, param",
    [
        ({"n": 2, "messages": []}, "n"),
        ({"messages": "x"}, "messages"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [5]}, "messages[0]"),
    ],
)
def test_a_fault_is_named_by_the_clients_own_path(body: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as raised:
        to_responses_body(body)
    assert (raised.value.status, raised.value.param) == (400, param)


@pytest.mark.parametrize("exchange", load.params(CHATS))
def test_recorded_chat_bodies_mean_the_same_in_both_shapes(exchange: Exchange) -> None:
    body = {**exchange.request["body"], "n": None}
    chat = dialect("chat").decode_request(body, context())
    shaped = DIALECT.decode_request(to_responses_body(body)[0], context())
    assert replace(shaped.sampling, logprobs=None) == replace(chat.sampling, logprobs=None)
    assert bool(shaped.sampling.logprobs) == bool(chat.sampling.logprobs)
    assert (shaped.output.format, shaped.output.schema) == (chat.output.format, chat.output.schema)
    assert [(tool.kind, tool.name) for tool in shaped.tools] == [
        (tool.kind, tool.name) for tool in chat.tools
    ]
    assert sent_as_chat(shaped) == sent_as_chat(chat)


def sent_as_chat(request: Request) -> Any:
    """What a chat target is sent, or what is refused; turns that say nothing do not count."""
    options = ChatOptions(custom_tools=True, file_ids=True, file_urls=True)
    context = generic.client_context("m", options=options)
    try:
        body = dialect("chat").encode_request(request, context).body
    except GatewayError as error:
        return error.message
    told = [spoken(message) for message in body["messages"]]
    return [turn for turn in told if any(turn[1:])]


def spoken(message: dict[str, Any]) -> Any:
    calls = [(c["id"], c.get("function", c.get("custom"))["name"]) for c in message.get("tool_calls") or ()]
    content = message.get("content")
    if isinstance(content, list):
        content = [plain(part) for part in content]
        if len(content) == 1 and content[0]["type"] == "text":
            content = content[0]["text"]
    return message["role"], content or None, calls, message.get("tool_call_id")


def plain(part: dict[str, Any]) -> dict[str, Any]:
    """A part without cache marks, and without the detail that is the default."""
    image = part.get("image_url")
    if image is not None:
        return {**part, "image_url": {name: value for name, value in image.items() if value != "auto"}}
    return {
        name: value
        for name, value in part.items()
        if name not in ("cache_control", "prompt_cache_breakpoint")
    }
