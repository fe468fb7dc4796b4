"""Recorded streams of every wire, cut after each of their first and last frames (reliability.md 4.5).

A cut must look cut: what ends as a success has lost nothing, whatever else is a real status before
content and one error event after it.
"""

from __future__ import annotations

import pytest

from tests.behaviour.world import OPERATIONS, Answer, World
from tests.traffic.load import Exchange, exchanges, require
from tests.traffic.replay import Reply

WIRES = {
    "groq.openai.chat": "groq/x",
    "openai.chat": "openai/x",
    "mistral.chat": "mistral/x",
    "openrouter.openai.chat": "openrouter/x",
    "openai.responses": "openai/x",
    "anthropic.messages": "anthropic/x",
    "gemini.streamGenerateContent": "gemini/x",
    "cohere.v2.chat": "cohere/x",
    "bedrock.converse": "bedrock/amazon.nova-lite-v1:0",
}
PAIRS = [
    (api, operation)
    for api in WIRES
    for operation in OPERATIONS  # each of OpenAI's surfaces is served by its own wire
    if (api, operation) not in {("openai.responses", "chat"), ("openai.chat", "responses")}
]
EACH = 3  # recordings of each wire
ENDS = 5  # frames at each end of a recording
ENV = {
    "SLUICE_MAX_RETRIES": "0",
    "MISTRAL_API_KEY": "mistral-key",
    "MISTRAL_BASE_URL": "{upstream}",
    "OPENROUTER_API_KEY": "openrouter-key",
    "OPENROUTER_BASE_URL": "{upstream}/v1",
    "GEMINI_API_KEY": "gemini-key",
    "GEMINI_BASE_URL": "{upstream}/v1beta",
    "COHERE_API_KEY": "cohere-key",
    "COHERE_BASE_URL": "{upstream}",
    "AWS_BEARER_TOKEN_BEDROCK": "bedrock-key",
    "AWS_REGION": "us-east-1",
    "BEDROCK_BASE_URL": "{upstream}",
}
SETTING = {"env": ENV}


def recordings(api: str) -> list[Exchange]:
    streamed = [e for e in exchanges([api]) if e.status == 200 and e.streamed]
    return sorted(streamed, key=lambda e: len(e.content()))[:: max(1, len(streamed) // EACH)][:EACH]


def ended_well(answer: Answer) -> bool:
    return answer.status == 200 and answer.stream_error is None


@pytest.mark.parametrize("how", ["closed", "cut"])
@pytest.mark.parametrize(("api", "operation"), PAIRS)
def test_a_cut_looks_cut(api: str, operation: str, how: str, world: World) -> None:
    require()
    found = recordings(api)
    assert found
    for recording in found:
        pieces = list(Reply.of(recording).pieces())
        world.fresh().upstream.add(Reply.of(recording))
        whole = world.ask(operation, model=WIRES[api], stream=True)
        if not ended_well(whole):
            continue  # a recorded failure
        for count in sorted(
            {*range(min(ENDS, len(pieces))), *range(max(0, len(pieces) - ENDS), len(pieces))}
        ):
            body = b"".join(pieces[:count])
            knobs = {"cut": len(body)} if how == "cut" else {"framing": "close"}
            world.fresh().upstream.add(Reply.of(recording, body=body, chunk=0, **knobs))

            answer = world.ask(operation, model=WIRES[api], stream=True)

            where = (recording.id, count, len(pieces), answer.status, answer.body[-300:])
            if answer.status != 200:
                assert (answer.status, answer.error["code"]) == (502, "upstream_invalid_response"), where
                continue
            assert answer.broken(operation) == [], where
            if ended_well(answer):
                assert answer.text == whole.text, where
            else:
                assert whole.text.startswith(answer.text), where
                assert (answer.stream_error or {})["code"] == "upstream_invalid_response", where
