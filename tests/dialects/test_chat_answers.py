"""Whole chat answers as our surfaces give them, and error bodies as upstreams send them."""

from __future__ import annotations

from typing import Any

import pytest

from app.canonical.request import (
    AudioPart,
    ImagePart,
    Message,
    OpaquePart,
    Origin,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    Signature,
    TextPart,
    ToolCallPart,
)
from app.canonical.response import Choice, Finish, Response, Usage
from app.dialects.base import ServerContext
from app.dialects.chat.dialect import DIALECT
from app.errors import GatewayError
from tests.dialects import generic

Json = dict[str, Any]


def encode(*parts: Part, body: Json | None = None, **members: Any) -> Json:
    choices = (Choice(0, tuple(Message("assistant", (part,)) for part in parts), Finish("stop")),)
    response = Response("up", "model", choices, created=7, **members)
    request = Request("asked", origin=Origin("chat", body or {}))
    context = ServerContext(new_id=generic.counter(), now=9, wrap=lambda s: f"sealed:{s.value}")
    return DIALECT.encode_response(response, request, context)


def test_an_answer_is_the_apis_own_object() -> None:
    usage = Usage(10, 5, cached_tokens=4, reasoning_tokens=2, details={"output.audio_tokens": 1})
    assert encode(
        TextPart("hi"), usage=usage, service_tier="default", native=("chat", {"system_fingerprint": "fp"})
    ) == {
        "id": "up",
        "object": "chat.completion",
        "created": 7,
        "model": "model",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hi", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 2,
                "audio_tokens": 1,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": "default",
        "system_fingerprint": "fp",
    }


MESSAGES: list[tuple[tuple[Part, ...], Json]] = [
    ((TextPart("a"), TextPart("b")), {"content": "ab"}),
    ((), {"content": ""}),
    ((RefusalPart("no"),), {"content": None, "refusal": "no"}),
    (
        (TextPart("a"), ToolCallPart("c", "f", ""), ToolCallPart("d", "g", "x", "custom")),
        {
            "content": "a",
            "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "d", "type": "custom", "custom": {"name": "g", "input": "x"}},
            ],
        },
    ),
    (
        (
            ReasoningPart("one", "summary"),
            ReasoningPart("two", "summary", Signature("S", "responses")),
            TextPart("a"),
        ),
        {
            "content": "a",
            "reasoning": "one\n\ntwo",
            "reasoning_details": [
                {"type": "reasoning.summary", "summary": "one", "index": 0},
                {"type": "reasoning.summary", "summary": "two", "index": 1},
                {"type": "reasoning.encrypted", "data": "sealed:S", "index": 1},
            ],
        },
    ),
    (
        (
            ReasoningPart("hm", "text", Signature("S", "messages")),
            ReasoningPart("", "hidden", Signature("E", "messages")),
        ),
        {
            "content": "",
            "reasoning": "hm",
            "reasoning_details": [
                {"type": "reasoning.text", "text": "hm", "signature": "sealed:S", "index": 0},
                {"type": "reasoning.encrypted", "data": "sealed:E", "index": 1},
            ],
        },
    ),
    (
        (ToolCallPart("c", "f", "{}", signature=Signature("T", "gemini")),),
        {
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            "reasoning_details": [{"type": "reasoning.encrypted", "data": "sealed:T", "id": "c", "index": 0}],
        },
    ),
    (
        (
            TextPart(
                "a",
                (
                    {
                        "type": "url_citation",
                        "url": "https://e",
                        "start_index": 0,
                        "end_index": 1,
                        "title": "t",
                    },
                ),
            ),
        ),
        {
            "content": "a",
            "annotations": [
                {
                    "type": "url_citation",
                    "url_citation": {"url": "https://e", "start_index": 0, "end_index": 1, "title": "t"},
                }
            ],
        },
    ),
    ((TextPart("a", ({"type": "file_citation", "file_id": "f"},)),), {"content": "a"}),
    (
        (AudioPart("AAAA", audio_id="au", transcript="hey", native=("chat", {"expires_at": 9})),),
        {"content": None, "audio": {"id": "au", "data": "AAAA", "expires_at": 9, "transcript": "hey"}},
    ),
    (
        (TextPart("a"), ImagePart("iVBO", "image/png")),
        {
            "content": "a",
            "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}],
        },
    ),
    ((OpaquePart("web_search_call", ("responses", {})), TextPart("a")), {"content": "a"}),
]


@pytest.mark.parametrize(("parts", "wanted"), MESSAGES, ids=lambda value: str(value)[:60])
def test_items_become_the_one_message(parts: tuple[Part, ...], wanted: Json) -> None:
    (choice,) = encode(*parts)["choices"]
    assert choice["message"] == {"role": "assistant", "refusal": None, **wanted}
    assert choice["finish_reason"] == ("tool_calls" if "tool_calls" in wanted else "stop")


def test_the_old_functions_are_answered_in_their_own_form() -> None:
    (choice,) = encode(ToolCallPart("c", "f", '{"x":1}'), body={"functions": [{"name": "f"}]})["choices"]
    assert choice["message"]["function_call"] == {"name": "f", "arguments": '{"x":1}'}
    assert (choice["finish_reason"], "tool_calls" in choice["message"]) == ("function_call", False)


def test_native_members_go_back_where_they_stood() -> None:
    native = {"citations": ["https://e"], "choices": [{"index": 0, "content_filter_results": {"hate": {}}}]}
    body = encode(TextPart("a"), native=("chat", native))
    assert (body["citations"], body["choices"][0]["content_filter_results"]) == (["https://e"], {"hate": {}})
    assert "citations" not in encode(TextPart("a"), native=("responses", {"citations": []}))


def test_log_probabilities_stand_on_the_choice() -> None:
    row = {"token": "a", "logprob": -0.1, "bytes": None, "top_logprobs": []}
    assert encode(TextPart("a", logprobs=(row,)))["choices"][0]["logprobs"] == {
        "content": [row],
        "refusal": None,
    }


USAGES: list[tuple[Json, Usage | None]] = [
    ({}, None),
    ({"prompt_tokens": "5", "completion_tokens": None}, None),
    ({"prompt_tokens": -1, "completion_tokens": 2}, Usage(0, 2, missing=("input",))),
    ({"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 9}, Usage(1, 2, 9)),
    (
        {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 1}},
        Usage(5, 0, None, 3, 1, missing=("output",)),
    ),
    ({"prompt_tokens": 5, "num_cached_tokens": 3}, Usage(5, cached_tokens=3, missing=("output",))),
    ({"completion_tokens": 5, "reasoning_tokens": 3}, Usage(0, 5, reasoning_tokens=3, missing=("input",))),
    (
        {"completion_tokens": 5, "citation_tokens": 7, "num_search_queries": 2},
        Usage(
            0, 5, details={"output.citation_tokens": 7, "output.num_search_queries": 2}, missing=("input",)
        ),
    ),
    ({"prompt_tokens": 1, "cost": 0.5}, Usage(1, cost={"total_cost": 0.5}, missing=("output",))),
    (
        {"prompt_tokens": 1, "cost": {"total_cost": 0.5, "request_cost": 0.1}},
        Usage(1, cost={"total_cost": 0.5, "request_cost": 0.1}, missing=("output",)),
    ),
    (
        {"prompt_tokens": 1, "queue_time": 0.5},
        Usage(1, missing=("output",), native=("chat", {"queue_time": 0.5})),
    ),
]


@pytest.mark.parametrize(("wire", "wanted"), USAGES, ids=lambda value: str(value)[:60])
def test_usage_is_read_from_every_form(wire: Json, wanted: Usage | None) -> None:
    body = {"choices": [{"message": {"content": "a"}}], "usage": wire}
    assert DIALECT.decode_response(body, generic.client_context()).usage == wanted


FINISHES = [
    ("stop", "stop"),
    ("length", "length"),
    ("model_length", "length"),
    ("content_filter", "content_filter"),
    ("function_call", "tool_calls"),
    ("something_new", "stop"),
    (None, "stop"),
]


@pytest.mark.parametrize(("word", "reason"), FINISHES, ids=str)
def test_finish_words_are_unified_and_kept(word: str | None, reason: str) -> None:
    body = {"choices": [{"message": {"content": "a"}, "finish_reason": word}]}
    finish = DIALECT.decode_response(body, generic.client_context()).choices[0].finish
    assert finish is not None
    assert (finish.reason, finish.raw) == (reason, word)


def test_a_forced_call_that_says_stop_is_a_call() -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": {"x": 1}}}
    body = {"choices": [{"message": {"tool_calls": [call]}, "finish_reason": "stop"}]}
    (choice,) = DIALECT.decode_response(body, generic.client_context()).choices
    assert choice.finish == Finish("tool_calls", "stop")
    assert generic.parts_of(choice) == [ToolCallPart("c", "f", '{"x":1}')]


ERRORS: list[tuple[int, Any, str, str]] = [
    (
        400,
        {"error": {"message": "m", "type": "invalid_request_error", "param": "p", "code": "c"}},
        "upstream_rejected",
        "m",
    ),
    (400, [{"error": {"message": "m"}}], "upstream_rejected", "m"),
    (400, {"error": "m"}, "upstream_rejected", "m"),
    (
        400,
        {"object": "error", "message": "m", "type": "BadRequestError", "code": 400},
        "upstream_rejected",
        "m",
    ),
    (429, {"message": "m", "type": "too_many_requests_error", "code": "x"}, "upstream_rate_limited", "m"),
    (401, {"detail": "m"}, "upstream_auth", "m"),
    (
        422,
        {"detail": [{"loc": ["body", "n"], "msg": "bad", "type": "t"}]},
        "upstream_rejected",
        "body.n: bad",
    ),
    (
        422,
        {"object": "error", "message": {"detail": [{"loc": ["body"], "msg": "bad"}]}},
        "upstream_rejected",
        "body: bad",
    ),
    (400, {"error": {"message": "m", "metadata": {"raw": "why"}}}, "upstream_rejected", "m: why"),
    (413, {"error": {"message": "m", "code": "rate_limit_exceeded"}}, "upstream_rate_limited", "m"),
    (400, {"error": {"message": "m", "code": "content_filter", "innererror": {}}}, "content_filter", "m"),
    (
        400,
        {"error": {"message": "This model's maximum context length is 10 tokens."}},
        "context_length",
        "This model's maximum context length is 10 tokens.",
    ),
    (402, {"error": {"message": "m"}}, "upstream_quota", "m"),
    (500, None, "upstream_error", "The provider answered with status 500."),
    (503, "busy", "upstream_overloaded", "busy"),
    (500, {"error": {"message": 5}}, "upstream_error", "The provider answered with status 500."),
    (500, [], "upstream_error", "The provider answered with status 500."),
]


@pytest.mark.parametrize(("status", "body", "kind", "message"), ERRORS, ids=lambda value: str(value)[:60])
def test_every_error_shape_is_read(status: int, body: Any, kind: str, message: str) -> None:
    error = DIALECT.decode_error(status, body, {})
    assert (error.kind.name, error.message) == (kind, message)


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "m", "code": 502}},
        {"id": "x", "choices": [{"error": {"message": "m", "code": 502}, "message": {"content": "half"}}]},
        {"id": "x", "choices": [{"finish_reason": "error", "message": {"content": "half"}}]},
    ],
)
def test_an_error_inside_a_200_is_raised(body: Json) -> None:
    with pytest.raises(GatewayError) as caught:
        DIALECT.decode_response(body, generic.client_context())
    assert caught.value.kind.name == "upstream_error"


def test_our_error_has_all_four_members() -> None:
    assert DIALECT.encode_error(GatewayError("bad_request", "No.")) == {
        "error": {"message": "No.", "type": "invalid_request_error", "param": None, "code": None}
    }
