"""Every recorded exchange of Anthropic Messages, on all its hosts, held against the extractors."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from app.canonical.events import Failed, replay
from app.canonical.request import Message, Part, Request, TextPart, ToolCallPart
from app.canonical.response import Choice, Response
from app.dialects.messages.dialect import DIALECT
from app.dialects.messages.options import MessagesOptions
from app.dialects.shared.claude import OMITTED
from app.dialects.shared.lenient_json import json_text
from app.errors import GatewayError
from tests.dialects import generic, recorded
from tests.dialects.generic import server_context
from tests.dialects.recorded import MESSAGES
from tests.traffic import load
from tests.traffic.answers import Answer
from tests.traffic.load import Exchange

FOUND, ANSWERS, STREAMS = MESSAGES.found, MESSAGES.answers, MESSAGES.streams
BODIES, ERRORS = MESSAGES.bodies, MESSAGES.errors
events_of, response_of = MESSAGES.events, MESSAGES.response
REQUESTS = [e for e in FOUND if isinstance(e.request["body"], dict) and e.status == 200]


def reading_of(exchange: Exchange) -> Answer:
    if "eventstream" in exchange.content_type or exchange.api.startswith("bedrock"):
        from tests.traffic.wires import messages

        if exchange.streamed:
            return messages.from_events([frame.data for frame in MESSAGES.frames(exchange)])
        return messages.from_message(exchange.json())
    return recorded.reading_of(exchange)


def summary(choice: Choice) -> dict[str, Any]:
    """Our mark on the signature of withheld thinking is not the wire's."""
    got = generic.summary(choice)
    return {**got, "signatures": [value.removeprefix(OMITTED) for value in got["signatures"]]}


@pytest.mark.parametrize("exchange", load.params(ANSWERS))
def test_the_answer_is_read_as_the_extractor_reads_it(exchange: Exchange) -> None:
    answer, response = reading_of(exchange), response_of(exchange)
    assert [summary(choice) for choice in response.choices] == [generic.expected(c) for c in answer.choices]
    assert (response.id, response.model) == (answer.id, answer.model)
    generic.assert_usage(response, answer)


@pytest.mark.parametrize("exchange", load.params(ANSWERS))
def test_every_citation_of_a_web_page_is_an_annotation_over_its_block(exchange: Exchange) -> None:
    response = response_of(exchange)
    texts = [part for part in generic.parts_of(response.choices[0]) if isinstance(part, TextPart)]
    notes = [(part, note) for part in texts for note in part.annotations]
    named = [note.get("url") or note.get("filename") for _, note in notes]
    expected = (
        reading_of(exchange).choices[0].citations
    )  # "" where the extractor knows no name for a search result
    assert [name for name, want in zip(named, expected, strict=True) if want] == [
        want for want in expected if want
    ]
    for part, note in notes:
        if note["type"] == "url_citation":
            assert part.text[note["start_index"] : note["end_index"]] == part.text


@pytest.mark.parametrize("exchange", load.params(STREAMS))
def test_a_stream_that_is_cut_short_has_failed(exchange: Exchange) -> None:
    decoder = DIALECT.stream_decoder(generic.client_context())
    events = generic.decoded(decoder, MESSAGES.frames(exchange)[:-1])
    assert isinstance(events[-1], Failed)
    assert events[-1].error.kind.name == "upstream_cut"


def compact(response: Response) -> Response:
    """An answer whose tool arguments are compact JSON: their white space is lost in an object."""

    def part(one: Part) -> Part:
        if isinstance(one, ToolCallPart):
            return replace(one, arguments=json_text(json.loads(one.arguments)))
        return one

    def message(one: Message) -> Message:
        return replace(one, parts=tuple(part(p) for p in one.parts))

    choices = tuple(replace(c, messages=tuple(message(m) for m in c.messages)) for c in response.choices)
    return replace(response, choices=choices)


@pytest.mark.parametrize("exchange", load.params(ANSWERS))
def test_an_answer_survives_being_written_and_read_again(exchange: Exchange) -> None:
    response = response_of(exchange)
    body = DIALECT.encode_response(response, Request("m"), server_context())
    again = DIALECT.decode_response(json.loads(json.dumps(body)), generic.client_context())
    assert compact(again) == compact(response)


@pytest.mark.parametrize("exchange", load.params(BODIES))
def test_a_written_answer_has_every_member_of_the_recorded_one(exchange: Exchange) -> None:
    body = exchange.json()
    written = DIALECT.encode_response(response_of(exchange), Request("m"), server_context())
    assert without_nulls(written) == without_nulls({k: v for k, v in body.items() if k != "request_id"})


@pytest.mark.parametrize("exchange", load.params(ANSWERS))
def test_an_answer_survives_being_streamed(exchange: Exchange) -> None:
    response = response_of(exchange)
    encoder = DIALECT.stream_encoder(Request("m"), server_context())
    frames = [frame for event in replay(response) for frame in encoder.feed(event)]
    assert all(frame.event == frame.data["type"] for frame in frames)
    events = generic.decoded(DIALECT.stream_decoder(generic.client_context()), frames)
    generic.assert_order(events)
    again = generic.fold(events).response()
    assert compact(again).choices[0].messages == compact(response).choices[0].messages
    assert again.choices[0].finish == response.choices[0].finish
    assert again.usage == response.usage


@pytest.mark.parametrize("exchange", load.params(ERRORS))
def test_an_error_keeps_its_words_and_status_class(exchange: Exchange) -> None:
    failure = reading_of(exchange).error
    assert failure is not None
    error = DIALECT.decode_error(exchange.status, exchange.response["body"], {})
    assert error.message == failure.message
    assert error.kind.name == KINDS[exchange.status]


KINDS = {
    400: "upstream_rejected",
    401: "upstream_auth",
    404: "upstream_rejected",
    413: "upstream_rejected",
    529: "upstream_overloaded",
}


# requests


def without_nulls(value: Any) -> Any:
    """JSON without null members and empty citation lists, which say nothing."""
    if isinstance(value, dict):
        return {
            k: without_nulls(v) for k, v in value.items() if v is not None and (k, v) != ("citations", [])
        }
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def blocks_of(content: Any) -> Any:
    """Content as blocks, whether it was written as a string or as a list."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [
        {**block, "content": blocks_of(block["content"])} if block["type"] == "tool_result" else block
        for block in content
    ]


def plain(body: dict[str, Any]) -> dict[str, Any]:
    """A request with strings as blocks and adjacent turns of one role as one, as the API reads it."""
    turns: list[dict[str, Any]] = []
    for turn in body["messages"]:
        blocks = blocks_of(turn["content"])
        if turns and turns[-1]["role"] == turn["role"]:
            turns[-1] = {**turns[-1], "content": turns[-1]["content"] + blocks}
        else:
            turns.append({"role": turn["role"], "content": blocks})
    system = {"system": blocks_of(body["system"])} if body.get("system") else {}
    return without_nulls({**body, **system, "messages": turns})


HOSTS = {
    "vertex": MessagesOptions(model_in_body=False, anthropic_version="vertex-2023-10-16"),
    "bedrock": MessagesOptions(model_in_body=False, anthropic_version="bedrock-2023-05-31"),
}


@pytest.mark.parametrize("exchange", load.params(REQUESTS))
def test_a_request_keeps_every_member_through_decode_and_encode(exchange: Exchange) -> None:
    body = exchange.request["body"]
    request = DIALECT.decode_request(body, server_context())
    model = body.get("model") or exchange.model
    context = generic.client_context(model, options=HOSTS.get(exchange.provider), realm=None)
    sent = plain(DIALECT.encode_request(request, context).body)
    want = plain(body)
    lost = {loss.param for loss in context.losses.items}
    if "output_format" in want:
        want["output_config"] = {"format": want.pop("output_format")}
    for member, nothing in (("stream", False), ("tools", [])):
        if want.get(member) == nothing:
            del want[member]
    for member in lost:
        assert member in {"top_p", "output_constraint", "tool_strict"}, member
        want.pop(member, None)
    if "tool_strict" in lost:
        want["tools"] = [{k: v for k, v in tool.items() if k != "strict"} for tool in want["tools"]]
    if "output_constraint" in lost:
        assert sent.pop("output_config") != want.pop("output_config")
    assert sent == want


@pytest.mark.parametrize(
    "exchange", load.params([e for e in FOUND if e.id == "anthropic-chat_completion-4e16aac03c31"])
)
def test_a_message_that_is_no_object_is_refused_by_its_path(exchange: Exchange) -> None:
    with pytest.raises(GatewayError) as caught:
        DIALECT.decode_request(exchange.request["body"], server_context())
    assert (caught.value.kind.name, caught.value.param) == ("bad_request", "messages[0]")
