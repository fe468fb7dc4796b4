"""A Claude's answer goes out to a client of another API and comes back as history: its thinking,
calls and words reach the next turn as they were, whichever surface stood between."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from app.canonical.events import replay
from app.canonical.request import Request, Signature, TextPart
from app.canonical.response import Response
from app.dialects.base import ServerContext
from app.dialects.chat import dialect as chat
from app.dialects.cohere import dialect as cohere
from app.dialects.converse import dialect as converse
from app.dialects.messages import dialect as messages
from app.dialects.responses import dialect as responses
from tests.dialects import generic, recorded
from tests.traffic import load
from tests.traffic.load import Exchange

MESSAGES = [
    e
    for e in load.exchanges(("anthropic.messages", "azure.anthropic.messages", "vertex.anthropic.messages"))
    if e.status == 200 and "reasoning_signature" in e.features
]
CONVERSE = [
    e
    for e in load.exchanges(("bedrock.converse",))
    if e.status == 200 and "reasoning_signature" in e.features
]


class Vault:
    """Seals signatures as a surface does: the client sees a token, never the signature."""

    def __init__(self) -> None:
        self.held: dict[str, Signature] = {}

    def wrap(self, signature: Signature) -> str:
        token = f"sealed-{len(self.held)}"
        self.held[token] = signature
        return token


def server(vault: Vault) -> ServerContext:
    return ServerContext(new_id=generic.counter(), now=0, model="m", wrap=vault.wrap, unwrap=vault.held.get)


def over_responses(response: Response, vault: Vault) -> Request:
    request = responses.DIALECT.decode_request({"model": "m", "input": "hi"}, server(vault))
    body = responses.DIALECT.encode_response(response, request, server(vault))
    history = [{"role": "user", "content": "hi"}, *json.loads(json.dumps(body["output"]))]
    return responses.DIALECT.decode_request({"model": "m", "input": history}, server(vault))


def over_chat(response: Response, vault: Vault) -> Request:
    request = chat.DIALECT.decode_request({"model": "m", "messages": []}, server(vault))
    body = chat.DIALECT.encode_response(response, request, server(vault))
    history = [{"role": "user", "content": "hi"}, json.loads(json.dumps(body["choices"][0]["message"]))]
    return chat.DIALECT.decode_request({"model": "m", "messages": history}, server(vault))


ROADS = [pytest.param(over_responses, id="responses"), pytest.param(over_chat, id="chat")]
Road = Callable[[Response, Vault], Request]


def thinking_of(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        b for b in blocks if b.get("type") in ("thinking", "redacted_thinking") or "reasoningContent" in b
    ]


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("exchange", load.params(MESSAGES))
def test_messages_thinking_comes_back_unchanged(exchange: Exchange, road: Road) -> None:
    response = recorded.MESSAGES.response(exchange)
    own = messages.DIALECT.encode_response(response, Request("m"), server(Vault()))
    original = messages.DIALECT.encode_response(
        response, Request("m"), ServerContext(new_id=generic.counter(), now=0)
    )["content"]
    assert own["content"] != original or not thinking_of(original)
    request = road(response, Vault())
    context = generic.client_context("claude-sonnet-4-5")
    body = messages.DIALECT.encode_request(request, context).body
    sent = [block for turn in body["messages"] if turn["role"] == "assistant" for block in turn["content"]]
    assert thinking_of(sent) == thinking_of(original)
    assert not [loss for loss in context.losses.items if "reasoning" in loss.message]
    calls = [b for b in original if b["type"] == "tool_use"]
    assert [(b["id"], b["input"]) for b in sent if b["type"] == "tool_use"] == [
        (b["id"], b["input"]) for b in calls
    ]
    words = "".join(b["text"] for b in original if b["type"] == "text")
    assert "".join(b["text"] for b in sent if b["type"] == "text") == words


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("exchange", load.params(CONVERSE))
def test_converse_thinking_comes_back_unchanged(exchange: Exchange, road: Road) -> None:
    response = recorded.CONVERSE.response(exchange)
    request = road(response, Vault())
    context = generic.client_context("us.anthropic.claude-sonnet-4-5-20250929-v1:0")
    body = converse.DIALECT.encode_request(request, context).body
    sent = [block for turn in body["messages"] if turn["role"] == "assistant" for block in turn["content"]]
    parts = [part for part in generic.parts_of(response.choices[0]) if getattr(part, "signature", None)]
    assert parts
    assert [b["reasoningContent"]["reasoningText"]["signature"] for b in thinking_of(sent)] == [
        part.signature.value  # type: ignore[union-attr]
        for part in parts
    ]
    assert not context.losses.items


@pytest.mark.parametrize("road", ROADS)
def test_another_accounts_thinking_stays_behind(road: Road) -> None:
    load.require()
    response = recorded.MESSAGES.response(MESSAGES[0])
    context = generic.client_context("claude-sonnet-4-5", realm="elsewhere")
    body = messages.DIALECT.encode_request(road(response, Vault()), context).body
    assert not [
        b for turn in body["messages"] if turn["role"] == "assistant" for b in thinking_of(turn["content"])
    ]
    assert [loss for loss in context.losses.items if "reasoning" in loss.message]


CITED = [
    e
    for e in load.exchanges(("anthropic.messages", "cohere.v2.chat"))
    if e.status == 200
    and any(feature.startswith("cite:") or feature == "citations" for feature in e.features)
]


def decode_any(exchange: Exchange) -> tuple[Response, list[Any]]:
    """The answer of either wire, and its events."""
    client = cohere.DIALECT if exchange.api.startswith("cohere") else messages.DIALECT
    if not exchange.streamed:
        response = client.decode_response(exchange.json(), generic.client_context())
        return response, list(replay(response))
    decoder = client.stream_decoder(generic.client_context())
    events = generic.decoded(decoder, generic.sse_frames(exchange.content(), 1 << 30))
    return generic.fold(events).response(), events


@pytest.mark.parametrize("exchange", load.params(CITED))
def test_in_chat_a_citation_still_covers_its_words(exchange: Exchange) -> None:
    response, events = decode_any(exchange)
    texts = [part for part in generic.parts_of(response.choices[0]) if isinstance(part, TextPart)]
    words = [
        part.text[note["start_index"] : note["end_index"]]
        for part in texts
        for note in part.annotations
        if note["type"] == "url_citation"
    ]
    request = chat.DIALECT.decode_request({"model": "m", "messages": []}, server(Vault()))
    message = chat.DIALECT.encode_response(response, request, server(Vault()))["choices"][0]["message"]
    encoder = chat.DIALECT.stream_encoder(request, server(Vault()))
    deltas = [
        choice["delta"]
        for event in events
        for frame in encoder.feed(event)
        for choice in (frame.data or {}).get("choices", [])
    ]
    content = "".join(delta.get("content") or "" for delta in deltas)
    notes = [note for delta in deltas for note in delta.get("annotations") or []]
    for text, found in ((message["content"], message.get("annotations", [])), (content, notes)):
        spans = [note["url_citation"] for note in found if note["type"] == "url_citation"]
        assert [text[span["start_index"] : span["end_index"]] for span in spans] == words
