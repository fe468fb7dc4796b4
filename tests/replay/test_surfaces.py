"""One answer of each provider, whole and streamed, through every surface: the same words in each envelope."""

from __future__ import annotations

from typing import Any

import pytest

from tests.behaviour.world import World
from tests.replay import asking, comparing, left_out, reading
from tests.traffic.answers import Answer, extract
from tests.traffic.load import Exchange, absent, exchanges
from tests.traffic.replay import NEVER, Reply

CHAT_SURFACES = (
    "/v1/chat/completions",
    "/openai/v1/chat/completions",
    "/openai/chat/completions?api-version=2024-10-21",
    "/openai/deployments/{model}/chat/completions?api-version=2024-10-21",
    "/openai/openai/deployments/{model}/chat/completions",
    "/openai/v1/deployments/{model}/chat/completions",
    "/api/llm/chat/completions",
    "/api/llm/api/inference/openai/v1/chat/completions",
)
RESPONSES_SURFACES = (
    "/v1/responses",
    "/openai/v1/responses",
    "/openai/responses?api-version=preview",
    "/openai/deployments/{model}/responses",
    "/api/llm/responses",
    "/api/llm/api/inference/openai/responses",
)
SHAPED = ("/api/llm/responses", "/api/llm/api/inference/openai/v1/responses")


def sampled() -> list[Exchange]:
    """For each wire the first real answer, and the first real stream, that call a tool or just talk."""
    chosen: dict[tuple[str, str], Exchange] = {}
    for one in exchanges(operations=("chat_completion", "chat_completion_stream")):
        if left_out.reason(one) or one.api.startswith("bedrock.invoke.") or one.status != 200:
            continue
        expected = extract(one)
        if isinstance(expected, Answer) and not expected.error and (expected.text or expected.choices):
            chosen.setdefault((one.api, one.operation), one)
    return list(chosen.values())


def cases() -> list[Any]:
    found = []
    for one in sampled():
        for ask in asking.asks(one):
            if ask.native:
                continue
            surfaces = (
                CHAT_SURFACES
                if ask.reads == "chat"
                else RESPONSES_SURFACES
                if "input" in ask.body
                else SHAPED
            )
            found += [pytest.param(one, ask, surface, id=f"{one.id}-{surface}") for surface in surfaces]
    return found or [absent(3)]


@pytest.mark.parametrize(("recording", "ask", "surface"), cases())
def test_every_surface_gives_the_recorded_answer(
    world: World, recording: Exchange, ask: asking.Ask, surface: str
) -> None:
    world.fresh().upstream.add(Reply.of(recording, chunk=0), times=NEVER)
    body = dict(ask.body)
    if "{model}" in surface:
        model = body.pop("model").replace(":", "%3A").replace("@", "%40")
        surface = surface.replace("{model}", model)
    http = world.send("POST", surface, body)
    assert comparing.faults(recording, extract(recording), ask, reading.read(ask.reads, http), http) == []
    sealed = reading.envelopes(http)
    if surface.startswith("/api/llm"):
        assert sealed == []
        assert recording.provider == asking.provider_of(recording) or "compat" in ask.body["model"]
        assert "provider" in reading.members(http)
    else:
        assert {fields["provider"] for fields in sealed} == {asking.provider_of(recording)}
        numbers = [fields["chunk_index"] for fields in sealed]
        assert numbers == list(range(len(sealed)))
    assert ("apim-request-id" in http.headers) == surface.startswith("/openai")
