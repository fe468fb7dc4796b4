"""Anthropic's own clients at the Anthropic door: recorded bodies reach Anthropic whole, and its answers come back whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.behaviour.world import Answer, World, running_world
from tests.traffic.frames import sse
from tests.traffic.load import Exchange, exchanges, params
from tests.traffic.replay import Reply

SAMPLING = frozenset({"temperature", "top_p", "top_k"})
"""What providers.md lets a family refuse: left out with a warning."""


def _passing() -> Iterator[Exchange]:
    for found in exchanges(providers=["anthropic"]):
        path = found.request["path"]
        if path in {"/v1/messages", "/v1/messages/count_tokens"} and isinstance(found.request["body"], dict):
            yield found


RECORDED = params(_passing())


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world() as running:
        yield running


def asked(world: World, recording: Exchange, **headers: str) -> Answer:
    """Send a recording's own request to the door."""
    world.fresh().upstream.add(Reply.of(recording))
    return world.send("POST", f"/anthropic{recording.request['path']}", recording.request["body"], headers)


@pytest.mark.parametrize("recording", RECORDED)
def test_a_recorded_body_goes_out_and_its_answer_comes_back_as_they_were(
    world: World, recording: Exchange
) -> None:
    betas = recording.request["headers"].get("anthropic-beta", "some-beta-2026-01-01,another-2026-02-02")
    answer = asked(world, recording, **{"anthropic-beta": betas, "anthropic-version": "2026-10-21"})
    (sent,) = world.upstream.requests[:1]
    body = recording.request["body"]
    lost = {entry["param"] for entry in json.loads(answer.headers.get("x-sluice-warnings", "[]"))}
    assert lost <= SAMPLING
    assert sent.json() == {name: value for name, value in body.items() if name not in lost}
    assert (sent.headers["anthropic-beta"], sent.headers["anthropic-version"]) == (betas, "2026-10-21")
    assert sent.headers["x-api-key"] == "anthropic-key"
    if recording.status != 200:
        assert (answer.json["type"], answer.json["error"]["message"] != "") == ("error", True)
    elif recording.streamed:
        assert frames(answer.body) == frames(recording.content())
    else:
        assert answer.json == json.loads(recording.content())


def frames(body: bytes) -> list[tuple[str | None, Any]]:
    """Return the events of a stream."""
    return [(frame.event, json.loads(frame.data)) for frame in sse(body)]
