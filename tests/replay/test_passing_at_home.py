"""A provider's own clients at its own surface: recorded bodies reach it whole, and its answers come back whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from app.wire.eventstream import EventStreamDecoder
from tests.behaviour.world import Answer, World
from tests.traffic.frames import sse
from tests.traffic.load import Exchange, exchanges, params
from tests.traffic.replay import Reply

HOMES = {
    # provider: the surface's prefix, the paths that pass
    "anthropic": ("/anthropic", r"/v1/messages(/count_tokens)?"),
    "cohere": ("/cohere", r"/v2/chat"),
    "gemini": ("", r"/v1(beta|alpha)/models/.+:(streamG|g)enerateContent"),
    "vertex": ("/genai", r"/v1(beta1)?/projects/.+/publishers/google/.+:(streamG|g)enerateContent"),
    "bedrock": ("/bedrock", r"/model/.+/converse(-stream)?"),
}
NAMES_MODEL = ("anthropic", "cohere")
"""Whose bodies name the model; the others' URLs do."""
SAMPLING = frozenset({"temperature", "top_p", "top_k"})
"""What providers.md lets a family of Claude's refuse: left out with a warning."""


def _passing() -> Iterator[Exchange]:
    for found in exchanges(providers=HOMES):
        path = re.compile(HOMES[found.provider][1])
        if path.fullmatch(found.request["path"]) and isinstance(found.request["body"], dict):
            yield found


RECORDED = params(_passing())


def send_recording(world: World, recording: Exchange, **headers: str) -> Answer:
    """Send a recording's own request to the surface of its provider."""
    world.fresh().upstream.add(told_as_events(recording))
    prefix, _ = HOMES[recording.provider]
    query = "&".join(f"{name}={value}" for name, value in (recording.request.get("query") or {}).items())
    path = f"{prefix}{recording.request['path']}" + (f"?{query}" if query else "")
    return world.send("POST", path, recording.request["body"], headers)


def told_as_events(recording: Exchange) -> Reply:
    """Return the recorded answer; an array that grew is told as the events that we ask for."""
    content = recording.content()
    if not content.startswith(b"[") or recording.status != 200:
        return Reply.of(recording)
    return Reply.sse(
        b"".join(b"data: " + json.dumps(one).encode() + b"\r\n\r\n" for one in json.loads(content))
    )


@pytest.mark.parametrize("recording", RECORDED)
def test_a_recorded_body_goes_out_and_its_answer_comes_back_as_they_were(
    world: World, recording: Exchange
) -> None:
    answer = send_recording(world, recording)
    (requests,) = world.upstream.requests[:1]
    lost = {entry["param"] for entry in json.loads(answer.headers.get("x-sluice-warnings", "[]"))}
    assert lost <= SAMPLING
    body = recording.request["body"]
    said_by_url = () if recording.provider in NAMES_MODEL else ("model",)
    assert requests.json() == {
        name: value for name, value in body.items() if name not in {*lost, *said_by_url}
    }
    if recording.status != 200:
        assert "error" in answer.json or "message" in answer.json
    elif recording.streamed or isinstance(json.loads(recording.content()), list):
        told, written = frames(recording.content()), frames(answer.body)
        broken = "ERROR" in str(told[-1])  # then the last frame is our own
        assert len(told) == len(written)
        assert told[: -1 if broken else None] == written[: -1 if broken else None]
    else:
        told = json.loads(recording.content())
        got, usage = answer.json, told.get("usageMetadata", {})
        if usage and "totalTokenCount" not in usage:  # nothing was counted: ours stands beside its words
            assert usage.items() <= got["usageMetadata"].items()
            got["usageMetadata"] = usage
        assert got == told


def frames(body: bytes) -> list[tuple[str | None, Any]]:
    """Return the events of a stream, but for ``[DONE]``, which some of Cohere's hosts leave out."""
    if body[:1] == b"\x00":
        messages = EventStreamDecoder().feed(body)
        return [(message.headers.get(":event-type"), json.loads(message.payload)) for message in messages]
    if body[:1] == b"[":
        return [(None, chunk) for chunk in json.loads(body)]
    return [(frame.event or None, json.loads(frame.data)) for frame in sse(body) if frame.data != "[DONE]"]


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
    messages = [{"role": "user", "content": "hi"}]
    body = {"model": "anthropic/claude-x", "input": "hi", "messages": messages, "max_tokens": 99}
    body = {
        name: body[name]
        for name in (["model", "input"] if "responses" in path else ["model", "messages", "max_tokens"])
    }
    headers = {"anthropic-version": VERSION, "anthropic-beta": BETAS, "x-api-key": "mine"}
    assert world.send("POST", path, body, headers).status == 200
    (request,) = world.upstream.requests
    assert (request.headers["anthropic-version"], request.headers["anthropic-beta"]) == (version, BETAS)
    assert request.headers["x-api-key"] == "secret-of-anthropic"
