"""Every recorded exchange of generateContent, of both Google hosts, held against the extractors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.canonical.events import Event, Failed
from app.canonical.request import OpaquePart, Request, TextPart, ToolCallPart
from app.canonical.response import Response
from app.dialects.base import Frame
from app.dialects.gemini.dialect import DIALECT
from tests.dialects import generic
from tests.dialects.recorded import GEMINI, reading_of
from tests.traffic import load
from tests.traffic.answers import Count, extract
from tests.traffic.load import Exchange

ANSWERS, ERRORS = GEMINI.answers, GEMINI.errors
UNFRAMED = GEMINI.bodies
"""JSON answers, and streams asked for without ``alt=sse``, which are lists of chunks."""


def events_of(exchange: Exchange) -> list[Event]:
    """A stream's events; one asked for without ``alt=sse`` is a list of chunks, a JSON answer one chunk."""
    if exchange.streamed:
        return GEMINI.events(exchange)
    body = exchange.json()
    chunks = body if isinstance(body, list) else [body]
    return generic.decoded(GEMINI.decoder(exchange), [Frame(None, chunk) for chunk in chunks])


def response_of(exchange: Exchange) -> Response:
    return generic.fold(events_of(exchange)).response()


def summary(choice: Any) -> dict[str, Any]:
    """A signature on code that Google ran stays inside the opaque part."""
    got = generic.summary(choice)
    hidden = [
        part.native[1]["thoughtSignature"]
        for part in generic.parts_of(choice)
        if isinstance(part, OpaquePart) and "thoughtSignature" in part.native[1]
    ]
    return {**got, "signatures": sorted([*got["signatures"], *hidden])}


@pytest.mark.parametrize("exchange", load.params(ANSWERS))
def test_the_answer_is_read_as_the_extractor_reads_it(exchange: Exchange) -> None:
    answer, response = reading_of(exchange), response_of(exchange)
    want = [{**generic.expected(c), "signatures": sorted(c.signatures)} for c in answer.choices]
    if answer.status and not answer.choices:
        want = [{**summary(response.choices[0]), "text": "", "tool_calls": [], "finish_raw": answer.status}]
        assert response.choices[0].finish is not None
        assert response.choices[0].finish.reason == "content_filter"
    assert [summary(choice) for choice in response.choices] == want
    assert (response.id, response.model) == (answer.id, answer.model)
    generic.assert_usage(response, answer)


@pytest.mark.parametrize(
    "exchange", load.params([e for e in ANSWERS if isinstance(e.response["body"], dict)])
)
def test_a_json_answer_folds_to_the_same_response_as_its_events(exchange: Exchange) -> None:
    whole = DIALECT.decode_response(exchange.json(), generic.client_context())
    assert whole == response_of(exchange)


@pytest.mark.parametrize("exchange", load.params(UNFRAMED))
def test_chunks_without_frames_keep_the_order_of_events(exchange: Exchange) -> None:
    generic.assert_order(events_of(exchange))


@pytest.mark.parametrize("exchange", load.params(ANSWERS))
def test_a_sources_address_becomes_a_citation_of_the_right_words(exchange: Exchange) -> None:
    answer, response = reading_of(exchange), response_of(exchange)
    for choice, wanted in zip(response.choices, answer.choices, strict=False):
        texts = [part for part in generic.parts_of(choice) if isinstance(part, TextPart)]
        urls = {annotation["url"] for part in texts for annotation in part.annotations}
        assert urls == {url for url in wanted.citations if url}
        for part in texts:
            for annotation in part.annotations:
                assert 0 <= annotation["start_index"] <= annotation["end_index"] <= len(part.text)


@pytest.mark.parametrize(
    "exchange", load.params([e for e in ANSWERS if "supports" in json.dumps(e.response["body"]).lower()])
)
def test_a_citations_span_holds_the_segments_words(exchange: Exchange) -> None:
    segments = [s["segment"]["text"] for s in _supports(exchange)]
    texts = [p for c in response_of(exchange).choices for p in generic.parts_of(c) if isinstance(p, TextPart)]
    spans = {p.text[a["start_index"] : a["end_index"]] for p in texts for a in p.annotations} - {""}
    with_address = {segment for segment in segments if any(p.annotations for p in texts)}
    assert spans == with_address


def _supports(exchange: Exchange) -> list[dict[str, Any]]:
    body: Any = exchange.response["body"]
    if exchange.streamed:
        body = [frame.data for frame in generic.sse_frames(exchange.content(), 1 << 30)]
    chunks = body if isinstance(body, list) else [body]
    candidates = [candidate for chunk in chunks for candidate in chunk.get("candidates", [])]
    return [s for c in candidates for s in c.get("groundingMetadata", {}).get("groundingSupports", [])]


@pytest.mark.parametrize("exchange", load.params(ERRORS))
def test_an_error_keeps_its_words_and_finds_its_kind(exchange: Exchange) -> None:
    error = DIALECT.decode_error(exchange.status, exchange.response["body"], exchange.response["headers"])
    expected = reading_of(exchange).error
    assert expected is not None
    kinds = {400: "upstream_rejected", 403: "upstream_auth", 404: "upstream_rejected"}
    kinds |= {429: "upstream_rate_limited", 503: "upstream_overloaded"}
    kind = kinds[exchange.status]
    if "API key not valid" in expected.message:
        kind = "upstream_auth"
    if "input token count" in expected.message:
        kind = "context_length"
    assert error.kind.name == kind
    assert error.message[:60] == " ".join(expected.message.split())[:60]


@pytest.mark.parametrize("exchange", load.params(ERRORS))
def test_an_error_inside_a_stream_ends_it(exchange: Exchange) -> None:
    events = DIALECT.stream_decoder(generic.client_context()).feed(None, exchange.response["body"])
    assert [type(event) for event in events] == [Failed]
    error = events[0].error  # type: ignore[union-attr]
    outside = DIALECT.decode_error(exchange.status, exchange.response["body"], {})
    assert (error.kind, error.status, error.retry_after) == (
        outside.kind,
        outside.status,
        outside.retry_after,
    )


@pytest.mark.parametrize("exchange", load.params(load.exchanges(["gemini.countTokens"])))
def test_a_count_is_read(exchange: Exchange) -> None:
    counted = extract(exchange)
    assert isinstance(counted, Count)
    assert DIALECT.decode_count(exchange.json()) == counted.tokens


@pytest.mark.parametrize("exchange", load.params(ANSWERS))
def test_a_truncated_answer_is_cut_or_the_same(exchange: Exchange) -> None:
    """Any prefix of a stream either fails as cut or has met its finish."""
    frames = [Frame(None, chunk) for chunk in _chunks(exchange)]
    for length in range(len(frames)):
        events = generic.decoded(DIALECT.stream_decoder(generic.client_context()), frames[:length])
        last = events[-1]
        if isinstance(last, Failed):
            assert last.error.kind.name == "upstream_cut"
        generic.assert_order(events)


def _chunks(exchange: Exchange) -> list[Any]:
    if exchange.streamed:
        return [frame.data for frame in generic.sse_frames(exchange.content(), 1 << 30)]
    body = exchange.json()
    return body if isinstance(body, list) else [body]


@pytest.mark.parametrize(
    "exchange",
    load.params([e for e in ANSWERS if reading_of(e).choices and reading_of(e).choices[0].tool_calls]),
)
def test_a_calls_own_id_is_kept_and_a_missing_one_is_minted(exchange: Exchange) -> None:
    expected = [call.id for call in reading_of(exchange).choices[0].tool_calls]
    got = [p.id for p in generic.parts_of(response_of(exchange).choices[0]) if isinstance(p, ToolCallPart)]
    assert len(set(got)) == len(got)
    for mine, theirs in zip(got, expected, strict=True):
        assert mine == theirs if theirs else mine.startswith("call_")


@pytest.mark.parametrize("exchange", load.params([e for e in ANSWERS if e.fidelity in load.REAL]))
def test_an_answer_goes_back_as_the_turn_that_it_was(exchange: Exchange) -> None:
    """Texts, thoughts, calls, code and media return in order, each signature on its own part."""
    model = "gemini-2.5-flash"
    for choice in response_of(exchange).choices:
        context = generic.client_context(model)
        body = DIALECT.encode_request(Request(model, choice.messages), context).body
        sent = [part for content in body["contents"] for part in content["parts"]]
        assert _joined(sent) == _joined(_recorded(exchange, choice.index))
        assert context.losses.items == []


def _recorded(exchange: Exchange, index: int) -> list[dict[str, Any]]:
    return [
        part
        for chunk in _chunks(exchange)
        for position, candidate in enumerate(chunk.get("candidates", []))
        if candidate.get("index", position) == index
        for part in candidate.get("content", {}).get("parts", [])
    ]


def _joined(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adjacent texts as one, empty parts left out, minted call ids set aside."""
    joined: list[dict[str, Any]] = []
    for wire in parts:
        part = json.loads(json.dumps(wire))
        if str(part.get("functionCall", {}).get("id", "")).startswith("call_"):
            del part["functionCall"]["id"]
        if "functionCall" in part:
            part["functionCall"].setdefault("args", {})
        if part == {"text": ""} or not part:
            continue
        last = joined[-1] if joined else {}
        same = "text" in last and last.get("thought") == part.get("thought")
        if same and part.get("text"):
            last["text"] += part["text"]
        else:
            joined.append(part)
    return joined
