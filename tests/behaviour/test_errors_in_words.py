"""Error events whose data is text and no JSON object: the client reads the words, at every wire."""

from __future__ import annotations

from typing import Any

import pytest

from app.wire.eventstream import encode_message
from tests.behaviour.world import EVERY_WIRE, World
from tests.traffic.load import EVENT_STREAM
from tests.traffic.replay import Reply

WORDS = "the engine ran out of memory"
KEY = "some-key-of-cohere"
MODELS = ("groq/x", "openai/x", "responder/x", "anthropic/x", "gemini/x", "cohere/x")
PROMPTS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/v1/responses": {"input": "hi"},
    "/v1/messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9},
    "/v1/completions": {"prompt": "hi"},
    "/v1/audio/speech": {"input": "hi", "voice": "alloy", "stream_format": "sse"},
    "/v1/images/generations": {"prompt": "a cat"},
}
FORMS = {
    "text": b"event: error\ndata: %s\n\n",
    "lines": b"event: error\ndata: oh:\ndata: %s\n\n",
    "returns": b": hello\r\nevent: error\r\ndata: %s\r\n\r\n",
    "a string": b'event: error\ndata: "%s"\n\n',
    "a list": b'event: error\ndata: ["%s"]\n\n',
    "no blank line": b"event: error\ndata: %s\n",
    "a message": b'event: error\ndata: {"message": "%s"}\n\n',
    "an error": b'event: error\ndata: {"error": {"message": "%s"}}\n\n',
    "an error in words": b'event: error\ndata: {"error": "%s"}\n\n',
}

SETTING = EVERY_WIRE


def message_of(world: World, path: str, model: str, reply: Reply) -> str:
    world.upstream.add(reply)
    answer = world.send("POST", path, {"model": model, "stream": True, **PROMPTS[path]})
    assert answer.status == 502, answer.body
    message: str = answer.json["error"]["message"]
    return message


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("model", MODELS)
def test_the_words_of_an_error_reach_the_client(model: str, form: bytes, world: World) -> None:
    reply = Reply.sse(form % WORDS.encode())

    assert WORDS in message_of(world, "/v1/responses", model, reply)


@pytest.mark.parametrize("path", PROMPTS)
def test_every_operation_reads_an_error_in_words(path: str, world: World) -> None:
    model = "anthropic/claude-x" if path == "/v1/messages" else "openai/x"

    assert WORDS in message_of(world, path, model, Reply.sse(FORMS["text"] % WORDS.encode()))


@pytest.mark.parametrize("payload", [WORDS, f'"{WORDS}"'], ids=["text", "string"])
def test_an_exception_of_bedrock_may_be_text(payload: str, world: World) -> None:
    headers = {":message-type": "exception", ":exception-type": "modelStreamErrorException"}
    body = encode_message(headers, payload.encode())

    reply = Reply(200, body, {"content-type": EVENT_STREAM})
    world.upstream.add(reply)
    answer = world.ask("responses", model="bedrock/x", stream=True)

    assert WORDS in answer.json["error"]["message"]


def test_the_words_are_bounded_and_without_keys(world: World) -> None:
    reply = Reply.sse(FORMS["text"] % f"{KEY} {'x' * 100_000}".encode())

    message = message_of(world, "/v1/responses", "cohere/x", reply)

    assert KEY not in message
    assert "xxx" in message
    assert len(message) < 1000


def test_words_after_content_end_the_stream(world: World) -> None:
    begun = b'data: {"id": "c", "choices": [{"index": 0, "delta": {"content": "good"}}]}\n\n'
    world.upstream.add(Reply.sse(begun + FORMS["text"] % WORDS.encode()))

    answer = world.ask("chat", model="openai/x", stream=True)

    assert answer.status == 200
    assert WORDS in answer.events[-1]["error"]["message"]


WHOLE: dict[str, tuple[str, dict[str, Any]]] = {
    "cohere embeddings": ("/v1/embeddings", {"model": "cohere/embed-v4.0", "input": "a"}),
    "gemini embeddings": ("/v1/embeddings", {"model": "gemini/gemini-embedding-001", "input": "a"}),
    "bedrock embeddings": ("/v1/embeddings", {"model": "bedrock/amazon.titan-embed-text-v2:0", "input": "a"}),
    "rerank": ("/v1/rerank", {"model": "cohere/x", "query": "a", "documents": ["b"]}),
    "moderations": ("/v1/moderations", {"model": "openai/x", "input": "a"}),
    "counts": ("/v1/responses/input_tokens", {"model": "openai/x", "input": "a"}),
    "images": ("/v1/images/generations", {"model": "openai/x", "prompt": "a"}),
    "speech": ("/v1/audio/speech", {"model": "openai/x", "input": "a", "voice": "alloy"}),
    "chat": ("/v1/chat/completions", {"model": "gemini/x", **PROMPTS["/v1/chat/completions"]}),
    "a stream": (
        "/v1/chat/completions",
        {"model": "gemini/x", **PROMPTS["/v1/chat/completions"], "stream": True},
    ),
    "an event stream": (
        "/v1/chat/completions",
        {"model": "bedrock/x", **PROMPTS["/v1/chat/completions"], "stream": True},
    ),
}


@pytest.mark.parametrize(
    "body", [{"error": {"message": WORDS}}, {"error": WORDS}, {"message": WORDS}], ids=repr
)
@pytest.mark.parametrize(("path", "request_body"), WHOLE.values(), ids=WHOLE)
def test_an_error_of_status_200_keeps_its_words(
    path: str, request_body: dict[str, Any], body: dict[str, Any], world: World
) -> None:
    world.upstream.add(Reply.json(body))

    answer = world.send("POST", path, request_body)

    assert answer.status == 502
    assert answer.json["error"]["message"] == WORDS
