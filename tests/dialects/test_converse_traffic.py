"""Every recorded exchange of Bedrock's Converse, held against the extractors."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from app.canonical.events import Ended, Event, Failed, replay
from app.canonical.request import TextPart
from app.canonical.response import Choice, Response
from app.dialects.base import Frame
from app.dialects.claude import OMITTED
from app.dialects.converse import DIALECT
from app.errors import GatewayError
from app.wire.eventstream import EventStreamDecoder
from tests.dialects import generic
from tests.traffic import load
from tests.traffic.answers import Answer, Count, extract
from tests.traffic.load import Exchange

FOUND = load.exchanges(("bedrock.converse",))
ANSWERS = [exchange for exchange in FOUND if exchange.status == 200]
STREAMS = [exchange for exchange in ANSWERS if exchange.streamed]
ERRORS = [exchange for exchange in FOUND if exchange.status >= 400]
COUNTS = load.exchanges(("bedrock.count_tokens",))


def frames_of(exchange: Exchange, size: int) -> Iterator[Frame]:
    body, decoder = exchange.content(), EventStreamDecoder()
    for start in range(0, len(body), size):
        for message in decoder.feed(body[start : start + size]):
            yield Frame(message.headers[":event-type"], json.loads(message.payload))


def events_of(exchange: Exchange, size: int = 1 << 30) -> list[Event]:
    return generic.decoded(DIALECT.stream_decoder(generic.client_context()), frames_of(exchange, size))


def response_of(exchange: Exchange) -> Response:
    if exchange.streamed:
        return generic.fold(events_of(exchange)).response()
    return DIALECT.decode_response(exchange.json(), generic.client_context())


def told(exchange: Exchange) -> Answer:
    answer = extract(exchange)
    assert isinstance(answer, Answer)
    return answer


def summary(choice: Choice) -> dict[str, object]:
    """Our mark on the signature of withheld thinking is not the wire's."""
    got = generic.summary(choice)
    return {**got, "signatures": [value.removeprefix(OMITTED) for value in got["signatures"]]}


@pytest.mark.parametrize("exchange", load.params(ANSWERS))
def test_the_answer_is_read_as_the_extractor_reads_it(exchange: Exchange) -> None:
    answer, response = told(exchange), response_of(exchange)
    assert [summary(choice) for choice in response.choices] == [generic.expected(c) for c in answer.choices]
    assert (response.id, response.model) == ("msg_1", None)
    generic.assert_usage(response, answer)


@pytest.mark.parametrize("exchange", load.params(ANSWERS))
def test_every_citation_is_an_annotation_over_its_text(exchange: Exchange) -> None:
    texts = [p for p in generic.parts_of(response_of(exchange).choices[0]) if isinstance(p, TextPart)]
    notes = [(part, note) for part in texts for note in part.annotations]
    wanted = told(exchange).choices[0].citations  # "" for a place in a document
    assert [note.get("url", "") for _, note in notes] == wanted
    for part, note in notes:
        if note["type"] == "url_citation":
            assert part.text[note["start_index"] : note["end_index"]] == part.text
        else:
            assert note["filename"]


@pytest.mark.parametrize("exchange", load.params(STREAMS))
def test_events_keep_their_order(exchange: Exchange) -> None:
    generic.assert_order(events_of(exchange))


@pytest.mark.parametrize("exchange", load.params(STREAMS))
def test_a_stream_reads_the_same_however_it_is_cut(exchange: Exchange) -> None:
    whole = events_of(exchange)
    for size in generic.CHUNK_SIZES:
        assert events_of(exchange, size) == whole


@pytest.mark.parametrize("exchange", load.params(STREAMS))
def test_before_the_stop_an_end_is_a_cut_and_after_it_only_the_usage_is_missing(exchange: Exchange) -> None:
    frames = list(frames_of(exchange, 1 << 30))
    stop = next(i for i, frame in enumerate(frames) if frame.event == "messageStop")
    cut = generic.decoded(DIALECT.stream_decoder(generic.client_context()), frames[:stop])[-1]
    assert isinstance(cut, Failed)
    assert cut.error.kind.name == "upstream_cut"
    late = generic.decoded(DIALECT.stream_decoder(generic.client_context()), frames[: stop + 1])[-1]
    assert isinstance(late, Ended)
    assert late.usage is None


@pytest.mark.parametrize("exchange", load.params(ANSWERS))
def test_an_answer_survives_replay(exchange: Exchange) -> None:
    response = response_of(exchange)
    events = list(replay(response))
    generic.assert_order(events)
    assert generic.fold(events).response().choices == response.choices


@pytest.mark.parametrize("exchange", load.params(ERRORS))
def test_an_error_keeps_its_words(exchange: Exchange) -> None:
    error = DIALECT.decode_error(
        exchange.status, exchange.json(), {"x-amzn-errortype": "ValidationException:x"}
    )
    assert (error.kind.name, error.status, error.message) == (
        "upstream_rejected",
        400,
        "The provided model identifier is invalid.",
    )


@pytest.mark.parametrize("exchange", load.params([e for e in COUNTS if e.status == 200]))
def test_tokens_are_counted(exchange: Exchange) -> None:
    counted = extract(exchange)
    assert isinstance(counted, Count)
    assert DIALECT.decode_count(exchange.json()) == counted.tokens
    with pytest.raises(GatewayError):
        DIALECT.decode_count({})
