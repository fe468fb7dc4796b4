"""Every recorded exchange of Bedrock's Converse, held against the extractors."""

from __future__ import annotations

import pytest

from app.canonical.events import Ended, Failed, replay
from app.canonical.request import TextPart
from app.canonical.response import Choice
from app.dialects.converse.dialect import DIALECT
from app.dialects.shared.claude import OMITTED
from app.errors import GatewayError
from tests.dialects import generic
from tests.dialects.recorded import CONVERSE, reading_of
from tests.traffic import load
from tests.traffic.answers import Count, extract
from tests.traffic.load import Exchange

ANSWERS, STREAMS, ERRORS = CONVERSE.answers, CONVERSE.streams, CONVERSE.errors
events_of, response_of = CONVERSE.events, CONVERSE.response
COUNTS = load.exchanges(("bedrock.count_tokens",))


def summary(choice: Choice) -> dict[str, object]:
    """Our mark on the signature of withheld thinking is not the wire's."""
    got = generic.summary(choice)
    return {**got, "signatures": [value.removeprefix(OMITTED) for value in got["signatures"]]}


@pytest.mark.parametrize("exchange", load.params(ANSWERS))
def test_the_answer_is_read_as_the_extractor_reads_it(exchange: Exchange) -> None:
    answer, response = reading_of(exchange), response_of(exchange)
    assert [summary(choice) for choice in response.choices] == [generic.expected(c) for c in answer.choices]
    assert (response.id, response.model) == ("msg_1", None)
    generic.assert_usage(response, answer)


@pytest.mark.parametrize("exchange", load.params(ANSWERS))
def test_every_citation_is_an_annotation_over_its_text(exchange: Exchange) -> None:
    texts = [p for p in generic.parts_of(response_of(exchange).choices[0]) if isinstance(p, TextPart)]
    notes = [(part, note) for part in texts for note in part.annotations]
    expected = reading_of(exchange).choices[0].citations  # "" for a place in a document
    assert [note.get("url", "") for _, note in notes] == expected
    for part, note in notes:
        if note["type"] == "url_citation":
            assert part.text[note["start_index"] : note["end_index"]] == part.text
        else:
            assert note["filename"]


@pytest.mark.parametrize("exchange", load.params(STREAMS))
def test_before_the_stop_an_end_is_a_cut_and_after_it_only_the_usage_is_missing(exchange: Exchange) -> None:
    frames = CONVERSE.frames(exchange)
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
