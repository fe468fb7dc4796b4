"""Token counts as a server speaks them, and InvokeModel's bodies of Claude."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from app.canonical.events import Failed, Started, replay
from app.canonical.request import Message, Request, TextPart
from app.canonical.response import Choice, Finish, Response, Usage
from app.dialects import dialect
from app.dialects.base import Frame
from app.dialects.messages.invoke import METRICS, family_of_body, lead_betas, wrap_frames
from app.errors import GatewayError
from tests.dialects import generic, served
from tests.traffic import load
from tests.traffic.load import Exchange

HI = (Message("user", (TextPart("Hi"),)),)
CLAUDE = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 5,
    "messages": [{"role": "user", "content": "Hi"}],
}
CONVERSE = {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
GEMINI = {"contents": [{"parts": [{"text": "Hi"}]}]}

COUNTED: list[tuple[str, dict[str, Any]]] = [
    ("messages", {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}),
    ("gemini", GEMINI),
    ("gemini", {"generateContentRequest": {"model": "models/m", **GEMINI}}),
    ("converse", {"input": {"converse": CONVERSE}}),
    (
        "converse",
        {"input": {"invokeModel": {"body": base64.b64encode(json.dumps(CLAUDE).encode()).decode()}}},
    ),
]


@pytest.mark.parametrize(("name", "body"), COUNTED)
def test_a_prompt_to_count_is_read(name: str, body: dict[str, Any]) -> None:
    assert dialect(name).decode_count_request(body, generic.server_context()).messages == HI


FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("messages", {}, "messages"),
    ("gemini", {}, "contents"),
    ("gemini", {"generateContentRequest": 5}, "generateContentRequest"),
    ("converse", {}, "input"),
    ("converse", {"input": {}}, "input.converse"),
    ("converse", {"input": {"invokeModel": {"body": "!"}}}, "input.invokeModel.body"),
]


@pytest.mark.parametrize(("name", "body", "param"), FAULTS)
def test_a_wrong_shape_is_refused_by_its_path(name: str, body: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        dialect(name).decode_count_request(body, generic.server_context())
    assert (caught.value.kind.name, caught.value.param) == ("bad_request", param)


@pytest.mark.parametrize("name", ["messages", "gemini", "converse"])
def test_a_written_count_is_read_by_the_dialect_itself(name: str) -> None:
    assert dialect(name).decode_count(dialect(name).encode_count_response(7)) == 7


def test_an_estimate_is_told_where_the_wire_has_room_for_it() -> None:
    assert dialect("messages").encode_count_response(7, estimated=True) == {
        "input_tokens": 7,
        "estimated": True,
    }
    assert dialect("gemini").encode_count_response(7, estimated=True) == {"totalTokens": 7}


RECORDED = [
    pytest.param(name, exchange, id=exchange.id)
    for name, api in (
        ("messages", "anthropic.count_tokens"),
        ("gemini", "gemini.countTokens"),
        ("converse", "bedrock.*"),
    )
    for exchange in load.exchanges((api,))
    if exchange.operation == "count_tokens" and isinstance(exchange.request["body"], dict)
]


@pytest.mark.parametrize(("name", "exchange"), RECORDED or [load.absent(2)])
def test_a_recorded_question_is_read(name: str, exchange: Exchange) -> None:
    assert dialect(name).decode_count_request(exchange.request["body"], generic.server_context()).messages


FAMILIES: list[tuple[dict[str, Any], str]] = [
    (CLAUDE, "messages"),
    ({"messages": [], "max_tokens": 5}, "messages"),
    ({"inputText": "a"}, "embeddings_bedrock"),
    ({"texts": ["a"]}, "embeddings_bedrock"),
    ({"inputs": []}, "embeddings_bedrock"),
]


@pytest.mark.parametrize(("body", "family"), FAMILIES)
def test_the_body_tells_the_family(body: dict[str, Any], family: str) -> None:
    assert family_of_body(body) == family


def test_a_body_of_no_family_is_refused_with_what_there_is() -> None:
    with pytest.raises(GatewayError, match="inputText") as caught:
        family_of_body({"prompt": "x"})
    assert caught.value.kind.name == "bad_request"


def test_half_a_character_in_an_answer_is_written_in_a_chunk() -> None:
    (frame,) = wrap_frames([Frame("x", {"type": "x", "text": "\ud800"})], None)
    assert json.loads(base64.b64decode(frame.data["bytes"])) == {"type": "x", "text": "\ud800"}


def test_a_stream_of_invoke_is_messages_in_chunks_with_the_counts_at_its_end() -> None:
    message = Message("assistant", (TextPart("Hi"),))
    response = Response("id", "m", (Choice(0, (message,), Finish("stop")),), Usage(3, 4))
    encoder = dialect("messages").stream_encoder(Request("m"), generic.server_context())
    written = served.frames_of(encoder, replay(response))
    frames = wrap_frames([Frame(*frame) for frame in written], Usage(3, 4))
    assert {frame.event for frame in frames} == {"chunk"}
    events = [json.loads(base64.b64decode(frame.data["bytes"])) for frame in frames]
    assert events[-1] == {"type": "message_stop", METRICS: {"inputTokenCount": 3, "outputTokenCount": 4}}
    assert events[:-1] == [frame.data for frame in written[:-1]]


EXCEPTIONS = [
    ("rate_limited", "throttlingException"),
    ("upstream_overloaded", "serviceUnavailableException"),
    ("upstream_timeout", "modelTimeoutException"),
    ("upstream_cut", "internalServerException"),
    ("bad_request", "validationException"),
    ("forbidden", "modelStreamErrorException"),
]


@pytest.mark.parametrize(("kind", "name"), EXCEPTIONS)
def test_a_broken_stream_of_invoke_ends_in_an_exception(kind: str, name: str) -> None:
    encoder = dialect("messages").stream_encoder(Request("m"), generic.server_context())
    frames = served.frames_of(encoder, [Started("id"), Failed(GatewayError(kind, "No."))])
    assert wrap_frames(frames, None)[-1] == (f"exception:{name}", {"message": "No."})


def test_betas_of_an_invoke_body_go_into_claudes_header() -> None:
    assert lead_betas({"anthropic_beta": ["a", "b"], "x": 1}) == ({"x": 1}, {"anthropic-beta": "a,b"})
    assert lead_betas({"anthropic_beta": 5}) == ({"anthropic_beta": 5}, {})
