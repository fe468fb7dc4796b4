"""Text completions: recorded exchanges, the request's forms, and the emulation over chat."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from app.canonical.events import Accumulator, Ended, Event, Failed, Finished, Started, replay
from app.canonical.media import CompletionResponse
from app.canonical.request import Message, ReasoningPart, TextPart, ToolCallPart
from app.canonical.response import Choice, Finish, Response, Usage
from app.dialects.base import Frame
from app.dialects.completions.dialect import DIALECT, CompletionOptions, fold
from app.dialects.completions.over_chat import ChatToCompletion, chat_request, completion
from app.dialects.shared.losses import Losses
from app.errors import GatewayError
from tests.dialects import generic
from tests.dialects.generic import server_context
from tests.dialects.recorded import COMPLETIONS, reading_of
from tests.traffic import load
from tests.traffic.load import Exchange

FOUND, ANSWERS, STREAMS = COMPLETIONS.found, COMPLETIONS.answers, COMPLETIONS.streams
events_of = COMPLETIONS.events
REQUESTS = [e for e in FOUND if isinstance(e.request["body"], dict) and "prompt" in e.request["body"]]


def answer_of(exchange: Exchange) -> CompletionResponse:
    if exchange.streamed:
        return fold(generic.fold(events_of(exchange)).response())
    return DIALECT.decode_response(exchange.json(), generic.client_context())


@pytest.mark.parametrize("exchange", load.params(ANSWERS))
def test_the_answer_is_read_as_the_extractor_reads_it(exchange: Exchange) -> None:
    answer, wanted = answer_of(exchange), reading_of(exchange)
    got = [(c.index, c.text, c.finish.raw if c.finish else None) for c in answer.choices]
    assert got == [(c.index, c.text, c.finish_raw) for c in wanted.choices]
    assert (answer.id, answer.model) == (wanted.id, wanted.model)
    if wanted.usage is not None:
        assert answer.usage is not None
        assert (answer.usage.input_tokens, answer.usage.total) == (wanted.usage.input, wanted.usage.total)


@pytest.mark.parametrize("exchange", load.params([e for e in FOUND if e.status >= 400]))
def test_an_error_keeps_its_words(exchange: Exchange) -> None:
    expected = reading_of(exchange).error
    assert expected is not None
    error = DIALECT.decode_error(exchange.status, exchange.json(), {})
    assert error.message.startswith(expected.message[:60])


@pytest.mark.parametrize("exchange", load.params(REQUESTS))
def test_a_recorded_request_is_read_and_written_with_every_member(exchange: Exchange) -> None:
    body = exchange.request["body"]
    request = DIALECT.decode_request(body, server_context())
    context = generic.client_context(body.get("model", "m"))
    written = DIALECT.encode_request(request, context).body
    want = {name: value for name, value in body.items() if value is not None and value is not False}
    want["stop"] = [want["stop"]] if isinstance(want.get("stop"), str) else want.get("stop")
    want["model"] = body.get("model", "m")
    want["prompt"] = body["prompt"][0] if _single(body["prompt"]) else body["prompt"]
    if want["stop"] is None:
        del want["stop"]
    if body.get("stream"):
        want["stream_options"] = {"include_usage": True}
    assert written == want


def _single(prompt: Any) -> bool:
    return isinstance(prompt, list) and len(prompt) == 1


@pytest.mark.parametrize("exchange", load.params(ANSWERS))
def test_an_answer_written_and_read_again_is_the_same(exchange: Exchange) -> None:
    answer = answer_of(exchange)
    request = DIALECT.decode_request({"prompt": "p"}, server_context())
    body = DIALECT.encode_response(answer, request, server_context())
    assert body["object"] == "text_completion"
    again = DIALECT.decode_response(body, generic.client_context())
    assert (again.model, again.usage) == (answer.model, answer.usage)
    assert [(c.text, c.logprobs) for c in again.choices] == [(c.text, c.logprobs) for c in answer.choices]


@pytest.mark.parametrize("exchange", load.params(STREAMS))
def test_a_stream_written_and_read_again_is_the_same(exchange: Exchange) -> None:
    body = {"prompt": "p", "stream": True, "stream_options": {"include_usage": True}}
    request = DIALECT.decode_request(body, server_context())
    encoder = DIALECT.stream_encoder(request, server_context())
    frames = [frame for event in events_of(exchange) for frame in encoder.feed(event)]
    assert frames[-1] == Frame(None, None)
    assert all({"id", "object", "created", "model", "choices"} <= f.data.keys() for f in frames[:-1])
    events = generic.decoded(DIALECT.stream_decoder(generic.client_context()), frames)
    first, second = answer_of(exchange), fold(generic.fold(events).response())
    texts = [(c.index, c.text, c.logprobs) for c in first.choices]
    assert [(c.index, c.text, c.logprobs) for c in second.choices] == texts
    assert second.usage == first.usage


PROMPTS = [
    ("one", ("one",)),
    ("", ("",)),
    (["a", "b"], ("a", "b")),
    ([1, 2, 3], ((1, 2, 3),)),
    ([[1, 2], [3]], ((1, 2), (3,))),
]


@pytest.mark.parametrize(("prompt", "wanted"), PROMPTS, ids=str)
def test_every_form_of_prompt_is_read(prompt: Any, wanted: tuple[Any, ...]) -> None:
    assert DIALECT.decode_request({"prompt": prompt}, server_context()).prompts == wanted


WRONG = [
    ({}, "prompt", "missing_required_parameter"),
    ({"prompt": 5}, "prompt", "invalid_type"),
    ({"prompt": [1, "a", {}]}, "prompt[0]", "invalid_type"),
    ({"prompt": "p", "n": "2"}, "n", "invalid_type"),
    ({"prompt": "p", "echo": 1}, "echo", "invalid_type"),
    ({"prompt": "p", "stop": [1]}, "stop[0]", "invalid_type"),
    ({"prompt": "p", "logprobs": 1.5}, "logprobs", "invalid_type"),
    (
        {"prompt": "p", "stream_options": {"include_usage": "yes"}},
        "stream_options.include_usage",
        "invalid_type",
    ),
]


@pytest.mark.parametrize(("body", "param", "code"), WRONG, ids=lambda value: str(value))
def test_a_wrong_member_is_named(body: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(GatewayError) as caught:
        DIALECT.decode_request(body, server_context())
    assert (caught.value.kind.name, caught.value.param, caught.value.code) == ("bad_request", param, code)


def test_a_member_that_the_wire_lacks_is_told() -> None:
    request = DIALECT.decode_request({"prompt": "p", "best_of": 2, "mystery": 1}, server_context())
    context = generic.client_context(options=CompletionOptions(frozenset({"max_tokens"})))
    assert DIALECT.encode_request(request, context).body == {
        "model": "some-model",
        "prompt": "p",
        "mystery": 1,
    }
    assert [loss.param for loss in context.losses.items] == ["best_of"]


def test_a_stream_without_a_finish_is_cut() -> None:
    decoder = DIALECT.stream_decoder(generic.client_context())
    decoder.feed(None, {"id": "c", "choices": [{"index": 0, "text": "Hel"}]})
    (event,) = decoder.eof()
    assert isinstance(event, Failed)
    assert event.error.kind.name == "upstream_cut"


def test_log_probabilities_keep_their_offsets_over_a_stream() -> None:
    logprobs = {
        "tokens": ["Hel", "lo"],
        "token_logprobs": [-0.1, -0.2],
        "top_logprobs": [{"Hel": -0.1}, {"lo": -0.2, "p": -3.0}],
        "text_offset": [7, 10],
    }
    decoder = DIALECT.stream_decoder(generic.client_context())
    chunk = {
        "id": "c",
        "choices": [{"index": 0, "text": "Hello", "logprobs": logprobs, "finish_reason": "stop"}],
    }
    answer = fold(generic.fold([*decoder.feed(None, chunk), *decoder.done()]).response())
    assert answer.choices[0].logprobs == logprobs


THINKING = Response(
    "id",
    "m",
    (
        Choice(
            0,
            (
                Message("assistant", (ReasoningPart("hm"), TextPart(" world"))),
                Message("assistant", (ToolCallPart("c", "f", "{}"),)),
            ),
            Finish("tool_calls", "tool_calls"),
        ),
        Choice(1, (), Finish("length", "length")),
    ),
    Usage(1, 2),
)


def test_a_completion_goes_to_a_chat_as_one_user_message() -> None:
    body = {"model": "m", "prompt": "Hello", "n": 2, "logprobs": 3, "stop": "x", "user": "u", "max_tokens": 5}
    request = DIALECT.decode_request(body, server_context())
    chat = chat_request(request, Losses("completions"))
    assert chat.messages == (Message("user", (TextPart("Hello"),)),)
    assert (chat.sampling.n, chat.sampling.logprobs, chat.sampling.top_logprobs) == (2, True, 3)
    assert (chat.sampling.stop, chat.sampling.max_tokens, chat.hints) == (("x",), 5, {"user": "u"})


REFUSED = [
    ({"prompt": ["a", "b"]}, "prompt"),
    ({"prompt": [1, 2]}, "prompt"),
    ({"prompt": "a", "suffix": "z"}, "suffix"),
]


@pytest.mark.parametrize(("body", "param"), REFUSED, ids=str)
def test_what_a_chat_cannot_do_is_refused(body: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        chat_request(DIALECT.decode_request(body, server_context()), Losses("completions"))
    assert (caught.value.kind.name, caught.value.param) == ("unsupported_parameter", param)


def test_best_of_is_told_as_lost() -> None:
    losses = Losses("completions")
    chat_request(DIALECT.decode_request({"prompt": "a", "best_of": 3}, server_context()), losses)
    assert [loss.param for loss in losses.items] == ["best_of"]


@pytest.mark.parametrize("echo", [False, True])
def test_a_chat_answer_is_the_same_completion_whole_and_streamed(echo: bool) -> None:
    request = DIALECT.decode_request({"prompt": "Hello", "echo": echo}, server_context())
    whole = completion(THINKING, request)
    start = "Hello" if echo else ""
    assert [(c.index, c.text) for c in whole.choices] == [(0, start + " world"), (1, start)]
    assert [c.finish.reason for c in whole.choices if c.finish] == ["stop", "length"]
    mapper = ChatToCompletion(request)
    events = list(itertools.chain.from_iterable(mapper.feed(event) for event in replay(THINKING)))
    generic.assert_order(events)
    accumulator = Accumulator()
    for event in events:
        accumulator.feed(event)
    streamed = fold(accumulator.response())
    assert [(c.index, c.text) for c in streamed.choices] == [(c.index, c.text) for c in whole.choices]
    assert streamed.usage == whole.usage


@pytest.mark.parametrize("finished", [None, 0, 1])
def test_late_members_of_an_answer_are_written_whichever_choices_finished(finished: int | None) -> None:
    request = DIALECT.decode_request({"prompt": "Hello"}, server_context())
    encoder = DIALECT.stream_encoder(request, server_context())
    told: list[Event] = [Started("c1", "up", 7)]
    told += [] if finished is None else [Finished(Finish("stop", "stop"), finished)]
    late = Ended(Usage(1, 1), ("completions", {"x_trace": 1, "choices": [{"index": 0, "x_own": 2}]}))
    frames = [frame.data for event in [*told, late] for frame in encoder.feed(event)][:-1]

    assert [data["x_trace"] for data in frames if "x_trace" in data] == [1]
    assert [row["x_own"] for data in frames for row in data["choices"] if "x_own" in row] == [2]
