"""Text completions by InvokeModel: every recorded exchange, what goes out, what may go wrong."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from app.canonical.events import Ended, Event, Failed
from app.canonical.media import CompletionRequest
from app.canonical.request import Sampling, TextPart
from app.canonical.response import Finish, Usage
from app.dialects.base import Frame
from app.dialects.completions.bedrock_invoke import DIALECT, completes_text
from app.errors import GatewayError
from tests.dialects import generic
from tests.dialects.recorded import INVOKE, reading_of
from tests.traffic import answers, load
from tests.traffic.answers import Answer
from tests.traffic.load import Exchange

STREAMS, BODIES, ERRORS = INVOKE.streams, INVOKE.bodies, INVOKE.errors


def assert_usage(usage: Usage | None, answer: Answer) -> None:
    expected = answer.usage
    assert (None if usage is None else (usage.input_tokens, usage.output_tokens)) == (
        None if expected is None else (expected.input, expected.output)
    )


@pytest.mark.parametrize("exchange", load.params(BODIES))
def test_the_completions_are_read_as_the_extractor_reads_them(exchange: Exchange) -> None:
    answer = reading_of(exchange)
    context = generic.client_context(str(exchange.model))
    response = DIALECT.decode_response(exchange.json(), context, exchange.response["headers"])
    got = [(c.index, c.text, c.finish.raw if c.finish else None) for c in response.choices]
    assert got == [(c.index, c.text, c.finish_raw) for c in answer.choices]
    assert_usage(response.usage, answer)


@pytest.mark.parametrize("exchange", load.params(STREAMS))
def test_a_stream_is_read_as_the_extractor_reads_it(exchange: Exchange) -> None:
    answer, events = reading_of(exchange), INVOKE.events(exchange)
    assert isinstance(events[-1], Ended)
    response = generic.fold(events).response()
    got = [
        (
            c.index,
            "".join(p.text for p in generic.parts_of(c) if isinstance(p, TextPart)),
            c.finish.raw if c.finish else None,
        )
        for c in response.choices
    ]
    assert got == [(c.index, c.text, c.finish_raw) for c in answer.choices]
    assert_usage(response.usage, answer)


@pytest.mark.parametrize("exchange", load.params(ERRORS))
def test_an_error_keeps_its_words(exchange: Exchange) -> None:
    failure = reading_of(exchange).error
    assert failure is not None
    error = DIALECT.decode_error(exchange.status, exchange.json(), {})
    assert error.message == failure.message
    assert error.kind.name == {400: "upstream_rejected", 403: "upstream_auth"}[exchange.status]


BODIES_OUT = [
    (
        "meta.llama3-8b-instruct-v1:0",
        {"prompt": "p", "max_gen_len": 5, "temperature": 0.5, "top_p": 0.9},
        ["top_k", "stop"],
        1,
    ),
    (
        "mistral.mistral-7b-instruct-v0:2",
        {"prompt": "p", "max_tokens": 5, "temperature": 0.5, "top_p": 0.9, "top_k": 3, "stop": ["x"]},
        [],
        1,
    ),
    (
        "amazon.titan-text-express-v1",
        {
            "inputText": "p",
            "textGenerationConfig": {
                "maxTokenCount": 5,
                "temperature": 0.5,
                "topP": 0.9,
                "stopSequences": ["x"],
            },
        },
        ["top_k"],
        1,
    ),
    (
        "cohere.command-text-v14",
        {
            "prompt": "p",
            "max_tokens": 5,
            "temperature": 0.5,
            "p": 0.9,
            "k": 3,
            "stop_sequences": ["x"],
            "num_generations": 2,
        },
        [],
        2,
    ),
    (
        "ai21.j2-ultra-v1",
        {
            "prompt": "p",
            "maxTokens": 5,
            "temperature": 0.5,
            "topP": 0.9,
            "stopSequences": ["x"],
            "numResults": 2,
        },
        ["top_k"],
        2,
    ),
    (
        "anthropic.claude-v2:1",
        {
            "prompt": "\n\nHuman: p\n\nAssistant:",
            "max_tokens_to_sample": 5,
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 3,
            "stop_sequences": ["x"],
        },
        [],
        1,
    ),
]


@pytest.mark.parametrize(("model", "body", "warned", "n"), BODIES_OUT)
def test_every_family_is_asked_in_its_own_words(model: str, body: Any, warned: list[str], n: int) -> None:
    context = generic.client_context(model)
    sampling = Sampling(max_tokens=5, temperature=0.5, top_p=0.9, top_k=3, stop=("x",), n=n)
    assert DIALECT.encode_request(CompletionRequest(model, ("p",), sampling), context).body == body
    assert [loss.param for loss in context.losses.items] == warned


@pytest.mark.parametrize("exchange", load.params(BODIES))
def test_the_recorded_requests_use_only_members_we_would_send(exchange: Exchange) -> None:
    sampling = Sampling(
        max_tokens=1, temperature=1, top_p=1, top_k=1, stop=("x",), presence_penalty=1, frequency_penalty=1
    )
    context = generic.client_context(str(exchange.model))
    ours = DIALECT.encode_request(CompletionRequest("m", ("p",), sampling), context).body
    assert set(exchange.request["body"]) - {"countPenalty", "topP"} <= set(ours)


REFUSED = [
    (CompletionRequest("m", ("a", "b")), "prompt"),
    (CompletionRequest("m", ((1, 2),)), "prompt"),
    (CompletionRequest("m", ("a",), Sampling(n=2)), "n"),
    (CompletionRequest("m", ("a",), suffix="x"), "suffix"),
    (CompletionRequest("m", ("a",), logprobs=1), "logprobs"),
]


@pytest.mark.parametrize(("request_", "param"), REFUSED)
def test_what_would_change_the_answer_is_refused(request_: CompletionRequest, param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        DIALECT.encode_request(request_, generic.client_context("meta.llama3-8b-instruct-v1:0"))
    assert (caught.value.kind.name, caught.value.param) == ("unsupported_parameter", param)


def test_a_model_of_no_text_family_is_told_apart() -> None:
    assert completes_text("us.meta.llama3-1-70b-instruct-v1:0")
    assert not completes_text("us.anthropic.claude-sonnet-4-5-20250929-v1:0")
    with pytest.raises(GatewayError) as caught:
        DIALECT.encode_request(
            CompletionRequest("m", ("p",)), generic.client_context("amazon.nova-lite-v1:0")
        )
    assert caught.value.kind.name == "unsupported_operation"


def chunk(**members: Any) -> Frame:
    return Frame("chunk", {"bytes": base64.b64encode(json.dumps(members).encode()).decode()})


def llama(*frames: Frame) -> list[Event]:
    return generic.decoded(DIALECT.stream_decoder(generic.client_context("meta.llama3-8b")), frames)


def test_a_cut_an_exception_and_junk() -> None:
    cut = llama(chunk(generation="a", stop_reason=None, prompt_token_count=7, generation_token_count=1))[-1]
    assert isinstance(cut, Failed)
    assert cut.error.kind.name == "upstream_cut"
    assert cut.usage is not None
    assert (cut.usage.input_tokens, cut.usage.output_tokens) == (7, 1)
    failed = llama(chunk(generation="a"), Frame("exception:throttlingException", {"message": "Slow"}))[-1]
    assert isinstance(failed, Failed)
    assert failed.error.kind.name == "upstream_rate_limited"
    junk = [Frame("chunk", data) for data in (None, 3, {}, {"bytes": "!"}, {"bytes": "Mw=="})]
    whole = llama(*junk, chunk(generation="a", stop_reason="length"))
    generic.assert_order(whole)
    assert generic.fold(whole).response().choices[0].finish == Finish("length", "length")
    for body in (None, [], {}, {"outputs": 3}):
        with pytest.raises(GatewayError) as caught:
            DIALECT.decode_response(body, generic.client_context("mistral.mistral-7b-instruct-v0:2"))
        assert caught.value.kind.name == "upstream_invalid"


def test_there_are_recordings_of_every_answer_kind() -> None:
    load.require()
    assert len(BODIES) >= 8
    assert len(STREAMS) >= 6
    assert ERRORS
    assert isinstance(reading_of(ERRORS[0]).error, answers.Failure)
