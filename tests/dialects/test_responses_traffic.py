"""Every recorded Responses exchange, held against the extractors, and taken through both halves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.canonical.events import Event, Failed, replay
from app.canonical.request import Request
from app.canonical.response import Response
from app.dialects.responses.dialect import DIALECT
from app.errors import GatewayError
from tests.dialects import generic
from tests.dialects.generic import server_context
from tests.dialects.recorded import RESPONSES, reading_of
from tests.traffic import load
from tests.traffic.grammar import check_responses_stream
from tests.traffic.load import Exchange

FOUND, ANSWERS, STREAMS = RESPONSES.found, RESPONSES.answers, RESPONSES.streams
BODIES, ERRORS = RESPONSES.bodies, RESPONSES.errors
events_of, response_of = RESPONSES.events, RESPONSES.response
REQUESTS = [exchange for exchange in FOUND if isinstance(exchange.request["body"], dict)]


def outcome_of(exchange: Exchange) -> Response | GatewayError:
    if exchange.streamed:
        folded = generic.fold(events_of(exchange))
        return folded.error or folded.response()
    try:
        return response_of(exchange)
    except GatewayError as error:
        return error


@pytest.mark.parametrize("exchange", load.params(ANSWERS))
def test_an_answer_holds_what_the_recording_says(exchange: Exchange) -> None:
    answer, outcome = reading_of(exchange), outcome_of(exchange)
    if answer.error is not None:
        assert isinstance(outcome, GatewayError)
        assert (outcome.message, outcome.kind.name) == (answer.error.message, "upstream_quota")
        return
    assert isinstance(outcome, Response)
    assert (outcome.id, outcome.model) == (answer.id, answer.model)
    expected = generic.expected(answer.choices[0])
    if answer.status in ("queued", "in_progress"):
        expected["finish_raw"] = None
    assert generic.summary(outcome.choices[0]) | {"signatures": signatures(outcome)} == expected
    generic.assert_usage(outcome, answer)


def signatures(response: Response) -> list[str]:
    """The encrypted contents, those of opaque items included."""
    found = []
    for part in generic.parts_of(response.choices[0]):
        native = part.native[1] if part.native else {}
        signature = getattr(part, "signature", None)
        secret = signature.value if signature else native.get("encrypted_content")
        found += [secret] if secret else []
    return found


@pytest.mark.parametrize("exchange", load.params(STREAMS))
def test_the_fold_of_a_stream_is_its_final_object_decoded(exchange: Exchange) -> None:
    events = events_of(exchange)
    if isinstance(events[-1], Failed):
        assert events[-1].error.kind.name == "upstream_quota"
        return
    final = RESPONSES.told_frames(exchange)[-1].data["response"]
    folded = generic.fold(events).response()
    decoded = DIALECT.decode_response(final, generic.client_context())
    assert without_secrets(folded) == without_secrets(decoded)


def without_secrets(response: Response) -> Any:
    """OpenAI encrypts reasoning anew for the final object; OpenRouter gives it other item ids."""
    parts = [
        replace(part, signature=replace(part.signature, value=""))
        if getattr(part, "signature", None)
        else part
        for part in generic.parts_of(response.choices[0])
    ]
    usage = response.usage
    return parts, response.choices[0].finish, replace(usage, native=None) if usage else None, response.id


@pytest.mark.parametrize("exchange", load.params(ERRORS))
def test_an_error_answer_keeps_its_words(exchange: Exchange) -> None:
    answer = reading_of(exchange).error
    assert answer is not None
    error = DIALECT.decode_error(exchange.status, exchange.json(), {})
    if exchange.status == 401:
        assert (error.kind.name, error.status) == ("upstream_auth", 502)
        return
    words = answer.message if len(answer.message) <= 500 else answer.message[:499] + "…"
    assert (error.status, error.message, error.param) == (exchange.status, words, answer.param)
    assert error.code == answer.code


@pytest.mark.parametrize("exchange", load.params(ANSWERS))
def test_an_answer_survives_our_own_stream_and_object(exchange: Exchange) -> None:
    outcome = outcome_of(exchange)
    if isinstance(outcome, GatewayError) or outcome.choices[0].finish is None:
        return
    request = request_of(exchange)
    encoder = DIALECT.stream_encoder(request, server_context(response_id=outcome.id))
    frames = [frame for event in stream_of(exchange, outcome) for frame in encoder.feed(event)]
    assert check_responses_stream([frame.data for frame in frames], ours=True) == []
    assert all(frame.event == frame.data["type"] for frame in frames)
    again = DIALECT.stream_decoder(generic.client_context())
    folded = generic.fold(generic.decoded(again, frames)).response()
    assert essence_of(folded) == essence_of(outcome)
    body = DIALECT.encode_response(outcome, request, server_context(response_id=outcome.id))
    assert body == encoder.final
    assert essence_of(DIALECT.decode_response(body, generic.client_context())) == essence_of(outcome)


def stream_of(exchange: Exchange, response: Response) -> list[Event]:
    return events_of(exchange) if exchange.streamed else list(replay(response))


def essence_of(response: Response) -> Any:
    """What an answer is made of; its top level is echoed anew, and an item is whole at the end."""
    choice = response.choices[0]
    assert choice.finish is not None
    messages = tuple(
        replace(m, item=replace(m.item, status="completed"))
        if m.item and m.item.status == "in_progress"
        else m
        for m in choice.messages
    )
    choice = replace(choice, messages=messages, finish=choice.finish.reason)
    return replace(response, choices=(choice,), native=None, created=None, service_tier=None)


def request_of(exchange: Exchange) -> Request:
    body = exchange.request["body"]
    if isinstance(body, dict) and "model" in body:
        return DIALECT.decode_request(body, server_context())
    return Request(model="some-model")


@pytest.mark.parametrize("exchange", load.params(STREAMS))
def test_a_stream_that_breaks_off_is_cut(exchange: Exchange) -> None:
    frames = RESPONSES.told_frames(exchange)[:-1]
    decoder = DIALECT.stream_decoder(generic.client_context())
    last = generic.decoded(decoder, frames)[-1]
    assert isinstance(last, Failed)
    assert last.error.kind.name in ("upstream_cut", "upstream_quota")


@pytest.mark.parametrize("exchange", load.params(STREAMS))
def test_a_stream_cut_anywhere_ends_in_our_grammar(exchange: Exchange) -> None:
    frames = RESPONSES.told_frames(exchange)
    for end in range(0, len(frames), max(1, len(frames) // 12)):
        decoder = DIALECT.stream_decoder(generic.client_context())
        encoder = DIALECT.stream_encoder(Request(model="some-model"), server_context())
        ours = [f for event in generic.decoded(decoder, frames[:end]) for f in encoder.feed(event)]
        assert check_responses_stream([frame.data for frame in ours], ours=True) == []
        assert encoder.final is not None
        assert encoder.final["status"] == "failed"
