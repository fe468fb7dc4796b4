"""Every recorded exchange of Cohere's v2 chat, held against the extractors."""

from __future__ import annotations

from typing import Any

import pytest

from app.canonical.events import Failed, replay
from app.canonical.request import TextPart
from app.dialects.cohere.dialect import DIALECT
from app.errors import GatewayError
from tests.dialects import generic
from tests.dialects.recorded import COHERE, reading_of
from tests.traffic import load
from tests.traffic.answers import Count, extract
from tests.traffic.load import Exchange

ANSWERS, STREAMS, ERRORS = COHERE.answers, COHERE.streams, COHERE.errors
events_of, response_of = COHERE.events, COHERE.response


def without_finish(summary: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in summary.items() if name != "finish_raw"}


@pytest.mark.parametrize("exchange", load.params(ANSWERS))
def test_the_answer_is_read_as_the_extractor_reads_it(exchange: Exchange) -> None:
    answer, response = reading_of(exchange), response_of(exchange)
    got = [generic.summary(choice) for choice in response.choices]
    want = [generic.expected(choice) for choice in answer.choices]
    if answer.error is not None:
        failed = events_of(exchange)[-1]
        assert isinstance(failed, Failed)
        assert failed.error.message == answer.error.message
        got, want = [without_finish(s) for s in got], [without_finish(s) for s in want]
    assert got == want
    assert (response.id, response.model) == (answer.id, None)
    if answer.usage is not None:
        generic.assert_usage(response, answer)


@pytest.mark.parametrize("exchange", load.params([e for e in ANSWERS if "citations" in e.features]))
def test_every_citation_is_an_annotation_on_the_words_it_cites(exchange: Exchange) -> None:
    texts = [p for p in generic.parts_of(response_of(exchange).choices[0]) if isinstance(p, TextPart)]
    (part,) = [text for text in texts if text.annotations]
    assert part.native is not None
    citations = part.native[1]["citations"]
    assert [citation["sources"][0]["id"] for citation in citations] == reading_of(exchange).choices[
        0
    ].citations
    for citation, note in zip(citations, part.annotations, strict=True):
        assert part.text[citation["start"] : citation["end"]] == citation["text"]
        assert note.get("url") or note["filename"]


@pytest.mark.parametrize("exchange", load.params(STREAMS))
def test_a_stream_without_its_end_has_failed(exchange: Exchange) -> None:
    frames = COHERE.told_frames(exchange)
    events = generic.decoded(DIALECT.stream_decoder(generic.client_context()), frames[:-1])
    assert isinstance(events[-1], Failed)
    assert events[-1].error.kind.name == "upstream_cut"


@pytest.mark.parametrize("exchange", load.params([e for e in ANSWERS if reading_of(e).error is None]))
def test_an_answer_survives_replay(exchange: Exchange) -> None:
    response = response_of(exchange)
    events = list(replay(response))
    generic.assert_order(events)
    assert generic.fold(events).response().choices == response.choices


@pytest.mark.parametrize("exchange", load.params(ERRORS))
def test_an_error_keeps_its_words(exchange: Exchange) -> None:
    failure = reading_of(exchange).error
    assert failure is not None
    error = DIALECT.decode_error(exchange.status, exchange.json(), {})
    kinds = {400: "upstream_rejected", 401: "upstream_auth"}
    too_long = exchange.json().get("error_type") == "TOO_MANY_TOKENS"
    assert error.kind.name == ("context_length" if too_long else kinds[exchange.status])
    assert error.message.startswith(failure.message[:30])


@pytest.mark.parametrize("exchange", load.params(load.exchanges(("cohere.v1.tokenize",))))
def test_tokens_are_counted(exchange: Exchange) -> None:
    counted = extract(exchange)
    assert isinstance(counted, Count)
    assert DIALECT.decode_count(exchange.json()) == counted.tokens
    with pytest.raises(GatewayError):
        DIALECT.decode_count({"tokens": 3})
