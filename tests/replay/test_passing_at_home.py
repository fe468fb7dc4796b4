"""A provider's own clients at its own door: recorded bodies reach it whole, and its answers come back whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.behaviour.world import Answer, World, running_world
from tests.traffic.frames import sse
from tests.traffic.load import Exchange, exchanges, params
from tests.traffic.replay import Reply

HOMES = {
    # provider: the door's prefix, the paths that pass
    "anthropic": ("/anthropic", {"/v1/messages", "/v1/messages/count_tokens"}),
    "cohere": ("/cohere", {"/v2/chat"}),
}
SAMPLING = frozenset({"temperature", "top_p", "top_k"})
"""What providers.md lets a family of Claude's refuse: left out with a warning."""


def _passing() -> Iterator[Exchange]:
    for found in exchanges(providers=HOMES):
        if found.request["path"] in HOMES[found.provider][1] and isinstance(found.request["body"], dict):
            yield found


RECORDED = params(_passing())


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    env = {"COHERE_API_KEY": "cohere-key", "COHERE_BASE_URL": "{upstream}/cohere"}
    with running_world(env) as running:
        yield running


def asked(world: World, recording: Exchange, **headers: str) -> Answer:
    """Send a recording's own request to the door of its provider."""
    world.fresh().upstream.add(Reply.of(recording))
    prefix, _ = HOMES[recording.provider]
    return world.send("POST", prefix + recording.request["path"], recording.request["body"], headers)


@pytest.mark.parametrize("recording", RECORDED)
def test_a_recorded_body_goes_out_and_its_answer_comes_back_as_they_were(
    world: World, recording: Exchange
) -> None:
    answer = asked(world, recording)
    (sent,) = world.upstream.requests[:1]
    lost = {entry["param"] for entry in json.loads(answer.headers.get("x-sluice-warnings", "[]"))}
    assert lost <= SAMPLING
    body = recording.request["body"]
    assert sent.json() == {name: value for name, value in body.items() if name not in lost}
    if recording.status != 200:
        assert "error" in answer.json or set(answer.json) == {"message", "id"}
    elif recording.streamed:
        told, written = frames(recording.content()), frames(answer.body)
        broken = "ERROR" in str(told[-1])  # then the last frame is our own
        assert len(told) == len(written)
        assert told[: -1 if broken else None] == written[: -1 if broken else None]
    else:
        assert answer.json == json.loads(recording.content())


def frames(body: bytes) -> list[tuple[str | None, Any]]:
    """Return the events of a stream, but for ``[DONE]``, which some of Cohere's hosts leave out."""
    return [(frame.event, json.loads(frame.data)) for frame in sse(body) if frame.data != "[DONE]"]


VERSION, BETAS = "2026-10-21", "some-beta-2026-01-01,another-2026-02-02"


@pytest.mark.parametrize(
    "path, version",
    [
        ("/anthropic/v1/messages", VERSION),
        ("/v1/messages/count_tokens", VERSION),
        ("/v1/responses", "2023-06-01"),
    ],
)
def test_betas_reach_anthropic_and_the_version_is_that_of_who_wrote_the_body(
    world: World, path: str, version: str
) -> None:
    message = {"type": "message", "role": "assistant", "content": [], "usage": {"input_tokens": 1}}
    world.fresh().upstream.add(Reply.json({**message, "input_tokens": 1}))
    said = [{"role": "user", "content": "hi"}]
    body = {"model": "anthropic/claude-x", "input": "hi", "messages": said, "max_tokens": 99}
    body = {
        name: body[name]
        for name in (["model", "input"] if "responses" in path else ["model", "messages", "max_tokens"])
    }
    headers = {"anthropic-version": VERSION, "anthropic-beta": BETAS, "x-api-key": "mine"}
    assert world.send("POST", path, body, headers).status == 200
    (sent,) = world.upstream.requests
    assert (sent.headers["anthropic-version"], sent.headers["anthropic-beta"]) == (version, BETAS)
    assert sent.headers["x-api-key"] == "anthropic-key"
