"""OpenAI's own SDK reads our streams: its ``responses.stream()`` raises on any broken order."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest

from app.canonical.events import Failed, Started
from app.canonical.request import Request
from app.dialects.responses.dialect import DIALECT
from app.errors import GatewayError
from tests.dialects import generic
from tests.dialects.generic import server_context
from tests.dialects.test_responses_every_wire import encode_stream, sample_answers, spoken
from tests.traffic.load import Exchange


def client_of(events: list[dict[str, Any]]) -> openai.OpenAI:
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body.encode())

    return openai.OpenAI(
        api_key="none",
        base_url="http://gateway.test/v1",
        max_retries=0,
        http_client=httpx.Client(transport=httpx.MockTransport(answer)),
    )


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # hosted items newer than the SDK
@pytest.mark.parametrize("name, exchange", sample_answers())
def test_the_stream_helper_takes_every_stream(name: str, exchange: Exchange) -> None:
    told, final, events = encode_stream(name, exchange)
    if final["status"] != "completed":
        return
    with client_of(told).responses.stream(model="some-model", input="hello") as stream:
        types = [event.type for event in stream]
        response = stream.get_final_response()
    assert [kind for kind in types if kind != "keepalive"] == [event["type"] for event in told]
    assert response.output_text == spoken(generic.fold(events).response())["text"]
    assert [item.type for item in response.output] == [item["type"] for item in final["output"]]


@pytest.mark.parametrize(
    "kind, code", [("upstream_overloaded", "upstream_overloaded"), ("upstream_rejected", "server_error")]
)
def test_a_failure_raises_with_its_code(kind: str, code: str) -> None:
    encoder = DIALECT.stream_encoder(Request(model="some-model"), server_context())
    error = GatewayError(kind, "No more.")
    frames = [f.data for e in (Started(), Failed(error)) for f in encoder.feed(e)]
    with pytest.raises(openai.APIError) as raised:
        list(client_of(frames).responses.create(model="some-model", input="hello", stream=True))
    assert (raised.value.code, raised.value.message) == (code, "No more.")
