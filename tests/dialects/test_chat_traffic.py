"""Every recorded exchange of a chat-completions wire, held against the extractors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.canonical.events import Failed, replay
from app.canonical.request import Origin, Request, TextPart, ToolCallPart
from app.canonical.response import Response
from app.dialects.base import Frame
from app.dialects.chat.dialect import DIALECT
from app.dialects.chat.messages_out import short_id
from app.errors import GatewayError
from app.providers import chat_rows as rows
from tests.dialects import generic
from tests.dialects.generic import server_context
from tests.dialects.recorded import CHAT, reading_of
from tests.traffic import load
from tests.traffic.answers import parsed
from tests.traffic.chat_grammar import DONE, check_chat_stream
from tests.traffic.load import Exchange

ROWS = {
    "openai.chat": rows.OPENAI,
    "azure.openai.chat": rows.AZURE,
    "azure.inference.chat": rows.OTHER_MAKERS,
    "groq.openai.chat": rows.GROQ,
    "cerebras.openai.chat": rows.CEREBRAS,
    "openrouter.openai.chat": rows.OPENROUTER,
    "perplexity.openai.chat": rows.PERPLEXITY,
    "sgl.openai.chat": rows.SGL,
    "parasail.openai.chat": rows.SGL,
    "ollama.openai.chat": rows.OLLAMA,
    "mistral.chat": rows.MISTRAL,
    "gemini.openai_compat.chat": replace(
        rows.CUSTOM, text_lists=True, open_members=False, history="extra_content"
    ),
}
FOUND = CHAT.found
events_of, response_of = CHAT.events, CHAT.response


ANSWERS = [exchange for exchange in FOUND if reading_of(exchange).error is None]
ERRORS = [exchange for exchange in FOUND if reading_of(exchange).error is not None]
STREAMS = [exchange for exchange in FOUND if exchange.streamed]
OLLAMA_OWN_IMAGES = (
    "ollama-chat_completion-9cd1668e2569"  # a member of its own API, which the compatible one ignores
)
REQUESTS = [
    e for e in load.exchanges(ROWS) if isinstance(e.request["body"], dict) and e.id != OLLAMA_OWN_IMAGES
]


def summary(choice: Any) -> dict[str, Any]:
    """Reasoning is told twice by wires with details: as text, and as summaries."""
    got = generic.summary(choice)
    return {**got, "reasoning": got["reasoning"].replace("\n", "")}


def expected(choice: Any) -> dict[str, Any]:
    shown = choice.reasoning or "".join(choice.summaries)
    return {**generic.expected(choice), "reasoning": shown.replace("\n", "")}


@pytest.mark.parametrize("exchange", load.params(ANSWERS))
def test_the_answer_is_read_as_the_extractor_reads_it(exchange: Exchange) -> None:
    answer, response = reading_of(exchange), response_of(exchange)
    want = [{**expected(c), "tool_calls": _calls(c)} for c in answer.choices]
    assert [summary(choice) for choice in response.choices] == want
    assert (response.id, response.model) == (answer.id, answer.model)
    generic.assert_usage(response, answer)


def _calls(choice: Any) -> list[tuple[str, Any]]:
    """The arguments of a custom or old call are still text in the extractor."""
    return [
        (call.name, call.arguments if call.kind == "function" else parsed(call.arguments))
        for call in choice.tool_calls
    ]


@pytest.mark.parametrize("exchange", load.params(ANSWERS))
def test_citations_logprobs_and_price_are_kept(exchange: Exchange) -> None:
    answer, response = reading_of(exchange), response_of(exchange)
    for choice, wanted in zip(response.choices, answer.choices, strict=True):
        texts = [part for part in generic.parts_of(choice) if isinstance(part, TextPart)]
        urls = {row.get("url", "") for part in texts for row in part.annotations}
        assert urls == set(wanted.citations)
        assert sum(len(part.logprobs or ()) for part in texts) == wanted.logprobs
    if answer.usage is not None and answer.usage.cost is not None:
        assert response.usage is not None
        assert response.usage.cost is not None
        assert response.usage.cost["total_cost"] == answer.usage.cost


@pytest.mark.parametrize("exchange", load.params(ANSWERS))
def test_a_calls_own_id_is_kept_and_a_missing_one_is_minted(exchange: Exchange) -> None:
    for choice, wanted in zip(response_of(exchange).choices, reading_of(exchange).choices, strict=True):
        got = [part.id for part in generic.parts_of(choice) if isinstance(part, ToolCallPart)]
        for mine, theirs in zip(got, wanted.tool_calls, strict=True):
            assert mine == theirs.id if theirs.id else mine.startswith("call_")


@pytest.mark.parametrize("exchange", load.params(STREAMS))
def test_a_truncated_stream_is_cut_or_has_met_its_finish(exchange: Exchange) -> None:
    frames = list(generic.sse_frames(exchange.content(), 1 << 30))
    for length in range(0, len(frames), 3):
        events = generic.decoded(DIALECT.stream_decoder(generic.client_context()), frames[:length])
        if isinstance(events[-1], Failed):
            assert events[-1].error.kind.name in {"upstream_cut", "upstream_rejected", "upstream_error"}
        else:
            assert any(_finish(frame) for frame in frames[:length])
        generic.assert_order(events)


def _finish(frame: Frame) -> bool:
    choices = (frame.data or {}).get("choices") or []
    return any(choice.get("finish_reason") for choice in choices)


@pytest.mark.parametrize("exchange", load.params(ERRORS))
def test_an_error_keeps_its_words_and_finds_its_status(exchange: Exchange) -> None:
    wanted = reading_of(exchange).error
    assert wanted is not None
    error = _error_of(exchange)
    assert error.message.startswith(" ".join(wanted.message.split())[:60])
    statuses = {
        413: "upstream_rate_limited",
        429: "upstream_rate_limited",
        401: "upstream_auth",
        403: "upstream_auth",
    }
    kinds = {400: "upstream_rejected", 404: "upstream_rejected", 422: "upstream_rejected"}
    kind = {**kinds, **statuses}.get(wanted.status, "upstream_error")
    refined = {"content_filter": "content_filter", "context_length_exceeded": "context_length"}
    assert error.kind.name == refined.get(error.code or "", kind)


def _error_of(exchange: Exchange) -> GatewayError:
    if exchange.streamed:
        last = events_of(exchange)[-1]
        assert isinstance(last, Failed)
        return last.error
    body = exchange.json() if exchange.kind == "json" else None
    if exchange.status >= 400:
        return DIALECT.decode_error(exchange.status, body, exchange.response["headers"])
    with pytest.raises(GatewayError) as caught:
        DIALECT.decode_response(body, generic.client_context())
    return caught.value


@pytest.mark.parametrize("exchange", load.params([e for e in ERRORS if isinstance(e.response["body"], dict)]))
def test_an_error_body_where_a_stream_was_asked_for_ends_it(exchange: Exchange) -> None:
    events = DIALECT.stream_decoder(generic.client_context()).feed(None, exchange.json())
    assert [type(event) for event in events] == [Failed]


def _request(stream: bool = False) -> Request:
    return Request("asked", stream=stream, origin=Origin("chat", {"stream_options": {"include_usage": True}}))


@pytest.mark.parametrize("exchange", load.params(ANSWERS))
def test_an_answer_written_and_read_again_is_the_same(exchange: Exchange) -> None:
    response = response_of(exchange)
    body = DIALECT.encode_response(response, _request(), server_context())
    again = DIALECT.decode_response(body, generic.client_context())
    assert _plain(again) == _plain(response)
    assert (again.id, again.model, again.usage) == (response.id, response.model, response.usage)
    for name, value in (response.native[1] if response.native else {}).items():
        if name != "choices":
            assert body[name] == value


@pytest.mark.parametrize("exchange", load.params(ANSWERS))
def test_an_answer_streamed_and_read_again_is_the_same(exchange: Exchange) -> None:
    response = response_of(exchange)
    encoder = DIALECT.stream_encoder(_request(stream=True), server_context())
    frames = [frame for event in replay(response) for frame in encoder.feed(event)]
    assert check_chat_stream([DONE if frame.data is None else frame.data for frame in frames]) == []
    events = generic.decoded(DIALECT.stream_decoder(generic.client_context()), frames)
    generic.assert_order(events)
    again = generic.fold(events).response()
    assert _plain(again) == _plain(response)
    assert (again.id, again.model, again.usage) == (response.id, response.model, response.usage)


@pytest.mark.parametrize("exchange", load.params(STREAMS))
def test_a_stream_passed_through_canonical_events_keeps_the_grammar(exchange: Exchange) -> None:
    encoder = DIALECT.stream_encoder(_request(stream=True), server_context())
    frames = [frame for event in events_of(exchange) for frame in encoder.feed(event)]
    if "error" in (frames[-1].data or {}):
        frames.append(Frame(None, None))  # the checker wants it; we end a failed stream without
    assert check_chat_stream([DONE if frame.data is None else frame.data for frame in frames]) == []


def _plain(response: Response) -> list[Any]:
    """What a client sees: joined texts, thoughts, calls, annotations, signatures, finish."""
    plain = []
    for choice in response.choices:
        texts = [part for part in generic.parts_of(choice) if isinstance(part, TextPart)]
        shown = summary(choice)
        shown["finish_raw"] = choice.finish.reason if choice.finish else None
        shown["signatures"] = sorted(shown["signatures"])
        shown["logprobs"] = [row for part in texts for row in part.logprobs or ()]
        shown["annotations"] = [row for part in texts for row in part.annotations]
        plain.append(shown)
    return plain


@pytest.mark.parametrize("exchange", load.params(REQUESTS))
def test_a_recorded_request_is_read_and_written_with_every_member(exchange: Exchange) -> None:
    body = exchange.request["body"]
    body = {"model": "m", "messages": [], **body}
    request = DIALECT.decode_request(body, server_context())
    options = ROWS[exchange.api]
    context = generic.client_context(body["model"], options=options)
    if exchange.id == "openai-chat_completion-e41f0b2fefdf":  # a temperature of 99, lowered with a warning
        request = replace(request, sampling=replace(request.sampling, temperature=99.0))
        DIALECT.encode_request(request, context)
        assert [loss.param for loss in context.losses.items] == ["temperature"]
        return
    written = DIALECT.encode_request(request, context).body
    assert _normal(written, options) == _normal(body, options)
    assert context.losses.items == []


def says(value: Any) -> bool:
    """Null, false and empty members say nothing; zeros do."""
    return value is not None and value is not False and value != [] and value != {}


def _normal(body: dict[str, Any], options: Any) -> dict[str, Any]:
    """The one form of members that have several spellings, defaults left out."""
    normal = {name: value for name, value in body.items() if says(value)}
    limit = normal.pop("max_completion_tokens", None)
    older = normal.pop("max_tokens", None)
    normal["limit"] = older if limit is None else limit
    normal["stop"] = [normal["stop"]] if isinstance(normal.get("stop"), str) else normal.get("stop")
    normal["messages"] = [_message(message, options) for message in body["messages"]]
    effort = normal.pop("reasoning_effort", None)
    normal["reasoning"] = normal.get("reasoning") or ({"effort": effort} if effort else None)
    normal["tools"] = [_tool(tool) for tool in normal.get("tools", [])]
    normal["tools"] += [_tool({"function": function}) for function in normal.pop("functions", [])]
    choice = normal.pop("function_call", None) or normal.get("tool_choice")
    normal["tool_choice"] = "required" if choice == "any" else choice if normal["tools"] else None
    if normal.get("response_format") == {"type": "text"}:
        del normal["response_format"]
    if "json_schema" in normal.get("response_format", {}):
        schema = {k: v for k, v in normal["response_format"]["json_schema"].items() if v is not None}
        normal["response_format"] = {"type": "json_schema", "json_schema": {"name": "response", **schema}}
    normal.pop("stream_options", None)
    if normal.get("n") == 1:
        del normal["n"]
    return normal


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", **tool}


def _message(message: dict[str, Any], options: Any) -> dict[str, Any]:
    normal = {name: value for name, value in message.items() if says(value)}
    content = normal.get("content", "")
    if isinstance(content, list) and len(content) == 1 and content[0].keys() == {"type", "text"}:
        content = content[0]["text"]
    normal["content"] = content
    if "tool_calls" in normal:
        normal["tool_calls"] = [_call(call, options) for call in normal["tool_calls"]]
    if "tool_call_id" in normal:
        normal["tool_call_id"] = _id(normal["tool_call_id"], options)
    if normal.get("reasoning") == normal.get("reasoning_content"):
        normal.pop("reasoning_content", None)
    return normal


def _call(call: dict[str, Any], options: Any) -> dict[str, Any]:
    normal = {name: value for name, value in call.items() if name != "index"}
    return {**normal, "id": _id(call["id"], options)}


def _id(identifier: str, options: Any) -> str:
    return short_id(identifier) if options.short_ids else identifier
