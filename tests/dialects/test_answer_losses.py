"""Content of an answer arrives in every client's dialect, whole and streamed, or is reported: never both, never neither.

Each case has one marker, a word that the answer has in one place only.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from typing import Any, Final

import pytest

from app.canonical.events import Accumulator, replay
from app.canonical.media import CompletionRequest
from app.canonical.request import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    Native,
    OpaquePart,
    Origin,
    Part,
    Reasoning,
    ReasoningPart,
    RefusalPart,
    Request,
    Sampling,
    Signature,
    TextPart,
    ToolCallPart,
)
from app.canonical.response import Choice, Finish, Response, Usage
from app.dialects import _MODULES, dialect, dialect_of
from app.dialects.base import CompletionDialect, Dialect, Row, not_supported
from app.dialects.completions.over_chat import ChatToCompletion, completion
from app.dialects.shared.answer_losses import _LACKS, report_losses
from app.dialects.shared.losses import Losses
from app.errors import GatewayError
from tests.dialects import generic
from tests.dialects.generic import server_context
from tests.dialects.recorded import WIRES

MARK: Final = "aMarker"
DIALECTS: Final = ("chat", "completions", "responses", "messages", "gemini", "converse", "cohere")
ANSWER: Final = TextPart("hello")
PAGE: Final = {
    "type": "url_citation",
    "url": f"https://{MARK}",
    "title": "t",
    "start_index": 0,
    "end_index": 5,
}
QUOTE: Final = {"type": "file_citation", "file_id": "f", "filename": MARK, "index": 0}
PRODUCT: Final = {"type": "container_file_citation", "container_id": "c", "file_id": "f", "filename": MARK}


def answer(
    *parts: Part, finish: str = "stop", raw: str | None = None, native: Native | None = None
) -> Response:
    messages = tuple(Message("assistant", (part,)) for part in parts)
    return Response("id", "m", (Choice(0, messages, Finish(finish, raw)),), created=1, native=native)  # type: ignore[arg-type]


def cited(*notes: Mapping[str, Any]) -> Response:
    return answer(replace(ANSWER, annotations=notes))


SAID: Final = answer(TextPart(MARK)).choices[0]

CASES: Final[Mapping[str, Response]] = {
    "text": answer(TextPart(MARK)),
    "refusal": answer(RefusalPart(MARK)),
    "reasoning": answer(ReasoningPart(MARK)),
    "summary": answer(ReasoningPart(MARK, "summary")),
    "call": answer(ToolCallPart("c", "f", json.dumps({"a": MARK}))),
    "custom call": answer(ToolCallPart("c", "f", MARK, "custom")),
    "member of a call": answer(ToolCallPart("c", "f", "{}", native=("other", {MARK: 1}))),
    "picture": answer(ANSWER, ImagePart(MARK, "image/png")),
    "drawing": answer(ANSWER, ImagePart(MARK, "image/svg+xml")),
    "drawn picture": answer(ANSWER, OpaquePart("image_generation_call", ("responses", {"result": MARK}))),
    "picture by URL": answer(ANSWER, ImagePart(url=f"https://{MARK}", media_type="image/png")),
    "picture by id": answer(ANSWER, ImagePart(file_id=MARK)),
    "name of a picture": answer(ANSWER, ImagePart("AAAA", native=("gemini", {"displayName": MARK}))),
    "sound": answer(AudioPart(MARK, "wav")),
    "sound of speech": answer(AudioPart(MARK, "wav", transcript="words")),
    "words": answer(AudioPart("AAAA", "wav", transcript=MARK)),
    "transcript alone": answer(AudioPart(transcript=MARK)),
    "file": answer(ANSWER, FilePart(MARK, media_type="application/pdf")),
    "page": cited(PAGE),
    "document": cited(QUOTE),
    "product": cited(PRODUCT),
    "nested citation": cited({"type": "file", "file": {"name": MARK}}),
    "unknown citation": answer(replace(ANSWER, native=("other", {"citations": [{"what": MARK}]}))),
    "log probabilities": answer(replace(ANSWER, logprobs=({"token": MARK, "logprob": -1.0},))),
    "member of a text": answer(replace(ANSWER, native=("other", {"new": MARK}))),
    "member of a message": answer(
        ANSWER, native=("other", {"choices": [{"index": 0, "message": {"new": MARK}}]})
    ),
    "member of a choice": answer(ANSWER, native=("other", {"choices": [{"index": 0, "new": MARK}]})),
    "pictures beside": answer(ANSWER, native=("chat", {"images": [MARK]})),
    "own member of a message": answer(
        ANSWER, native=("chat", {"choices": [{"index": 0, "message": {"new": MARK}}]})
    ),
    "unknown end": answer(ANSWER, raw=MARK),
    "second choice": replace(answer(ANSWER), choices=(*answer(ANSWER).choices, replace(SAID, index=1))),
    **{
        f"item of {name}": answer(ANSWER, OpaquePart("x_call", (name, {"x_call": {"type": MARK}})))
        for name in ("other", "chat", "responses", "messages", "gemini", "converse", "cohere")
    },
}

REPORTED: Final[Mapping[str, str]] = {
    # the case, what its warnings say where it is left out
    "picture": "a picture",
    "drawn picture": "a picture",
    "sound": "sound",
    "product": "a citation of type 'container_file_citation'",
    "second choice": "further choices",
    "item of other": "an item of type 'x_call'",
    "member of a message": "the member 'new'",
    "pictures beside": "the member 'images'",
    "call": "a tool call",
    "unknown end": f"the finish reason '{MARK}'",
}


def written(name: str, response: Response, streamed: bool) -> str:
    """Return what a client of the dialect gets."""
    context = server_context()
    body = {"model": "m", "stream_options": {"include_usage": False}}
    if name == "completions":
        row = dialect_of(CompletionDialect, name)
        asked = CompletionRequest(model="m", prompts=("hi",), logprobs=1)
        if not streamed:
            return json.dumps(row.encode_response(completion(response, asked), asked, context))
        mapper, texts = ChatToCompletion(asked), row.stream_encoder(asked, context)
        return json.dumps([f.data for e in replay(response) for m in mapper.feed(e) for f in texts.feed(m)])
    request = Request(
        "m", reasoning=Reasoning(summary="auto"), sampling=Sampling(logprobs=True), origin=Origin(name, body)
    )
    if not streamed:
        return json.dumps(dialect(name).encode_response(response, request, context))
    encoder = dialect(name).stream_encoder(request, context)
    return json.dumps([frame.data for event in replay(response) for frame in encoder.feed(event)])


def warnings(name: str, response: Response, streamed: bool) -> list[str]:
    """Return the warnings that the client gets."""
    if streamed:
        fold = Accumulator()
        for event in replay(response):
            fold.feed(event)
        response = fold.response()
    losses = Losses(name, strict=True)
    report_losses(response, name, losses, streamed=streamed)
    return [loss.message for loss in losses.items]


def arrives(text: str) -> bool:
    return MARK in text or base64.b64encode(MARK.encode()).decode() in text


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("case", CASES)
def test_content_arrives_or_is_reported(case: str, name: str, streamed: bool) -> None:
    response = CASES[case]

    reports = [text for text in warnings(name, response, streamed) if case != "words" or "transcript" in text]

    assert arrives(written(name, response, streamed)) == (not reports), reports
    if reports and case in REPORTED:
        assert reports == [
            f"The provider sent {REPORTED[case]}, for which this API has no place; this was left out."
        ]


@pytest.mark.parametrize("name", DIALECTS)
def test_a_fault_is_reported_where_no_word_says_it(name: str) -> None:
    response = answer(ANSWER, finish="fault", raw="MALFORMED_FUNCTION_CALL")

    says = {"responses": '"failed"', "gemini": "MALFORMED_", "converse": "malformed_", "cohere": '"ERROR"'}

    assert (name in says and says[name] in written(name, response, False)) == (
        not warnings(name, response, False)
    )


def test_every_dialect_of_a_client_has_a_row() -> None:
    rows = (dialect_of(Row, name) for name in _MODULES)
    generating = [row for row in rows if isinstance(row, Dialect | CompletionDialect)]

    assert _LACKS.keys() == {row.name for row in generating if row.encode_response is not not_supported}


@pytest.mark.parametrize("name", DIALECTS)
def test_an_ordinary_answer_has_no_warnings(name: str) -> None:
    signature = Signature("s", "messages")
    parts = (TextPart("hello", native=(name, {"new": 1})), ReasoningPart("t", signature=signature))
    native = ("other", {"system_fingerprint": "fp", "choices": [{"index": 0, "stop_reason": 1}]})
    response = answer(*parts[: 1 if name == "completions" else 2], native=native)

    assert warnings(name, response, False) == warnings(name, response, True) == []


@pytest.mark.parametrize("name", DIALECTS[:1] + DIALECTS[2:])
def test_of_the_recordings_only_content_is_reported(name: str) -> None:
    wire, unknown, members = WIRES[name], Losses(name), Losses("other")
    for exchange in wire.answers:
        context = replace(wire.context(exchange), losses=unknown)
        if exchange.streamed:
            events = generic.decoded(wire.dialect.stream_decoder(context), wire.frames(exchange))
            response = generic.fold(events).response()
        else:
            with suppress(GatewayError):  # some say an error with a status of success
                response = wire.dialect.decode_response(exchange.json(), context)
        report_losses(response, "completions" if name == "chat" else "chat", members)

    assert unknown.items == []
    names = {loss.message.split("'")[1] for loss in members.items if "sent the member" in loss.message}
    assert names <= {"executed_tools", "urlContextMetadata"}


@pytest.mark.parametrize(
    ("module", "details"),
    [
        ("messages.response", {"input.cache_write_5m_tokens": 5, "input.cache_write_1h_tokens": 0}),
        ("messages.response", {"output.num_search_queries": 2}),
        ("converse.response", {"input.cache_write_5m_tokens": 2, "input.cache_write_1h_tokens": 3}),
        ("gemini.response", {"input.audio_tokens": 7, "input.text_tokens": 3, "output.image_tokens": 9}),
    ],
)
def test_counts_of_other_apis_have_their_place(module: str, details: dict[str, int]) -> None:
    ways = [f"app.dialects.{module}{way}" for way in (("", "") if "messages" in module else ("_out", "_in"))]
    encoder, decoder = map(import_module, ways)
    usage = Usage(100, 50, cache_write_tokens=5, details=details)

    read = decoder.decode_usage(encoder.encode_usage(usage))

    assert read.details == {name: count for name, count in details.items() if count}
    assert encoder.encode_usage(Usage(100, 50)).keys() <= encoder.encode_usage(usage).keys()


@pytest.mark.parametrize("streamed", (False, True))
@pytest.mark.parametrize("name", _LACKS)
def test_many_citations_of_a_long_text_do_not_repeat_it_each_time(name: str, streamed: bool) -> None:
    notes = tuple({"type": "url_citation", "url": f"https://a.example/{i}"} for i in range(500))
    answer = Message("assistant", (TextPart("a" * 50_000, notes),))
    response = Response("r", "m", (Choice(0, (answer,), Finish("stop", "stop")),))
    assert written(name, response, streamed).count("a" * 50_000) <= 20


@pytest.mark.parametrize("streamed", (False, True))
@pytest.mark.parametrize("name", ("gemini", "converse", "cohere"))
def test_a_few_citations_of_a_text_each_have_its_words(name: str, streamed: bool) -> None:
    notes = tuple({"type": "url_citation", "url": f"https://a.example/{i}"} for i in range(20))
    answer = Message("assistant", (TextPart("a" * 5_000, notes),))
    response = Response("r", "m", (Choice(0, (answer,), Finish("stop", "stop")),))
    assert written(name, response, streamed).count("a" * 5_000) >= 20
