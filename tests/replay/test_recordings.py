"""Each recording is asked for by a client, on every surface that can, and comes back whole."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest

from tests.behaviour.world import OPERATIONS, World
from tests.behaviour.world import Answer as Http
from tests.replay import asking, comparing, left_out, reading
from tests.replay.setting import SECRETS
from tests.traffic.load import Exchange, absent, exchanges, require
from tests.traffic.replay import NEVER, Reply


def cases() -> list[Any]:
    found = [(one, ask) for one in exchanges() if left_out.reason(one) is None for ask in asking.asks(one)]
    return [pytest.param(one, ask, id=f"{one.id}-{ask.label}") for one, ask in found] or [absent(2)]


@pytest.mark.parametrize(("recording", "ask"), cases())
def test_a_client_gets_the_recorded_answer(world: World, recording: Exchange, ask: asking.Ask) -> None:
    world.fresh().upstream.add(Reply.of(recording, chunk=0), times=1 if ask.reads == "models" else NEVER)
    world.upstream.script = lambda request: Reply.json(
        {"models": [], "data": []}
    )  # a list's pages after the recorded one
    http = world.send(ask.method, ask.path, ask.body, ask.headers)
    expected = asking.outcome(recording)
    if expected.error is None:
        assert_asked(world, recording, http)
    got = reading.read(ask.reads, http)
    fault_lines = comparing.faults(recording, expected, ask, got, http)
    assert fault_lines == [], "; ".join([*fault_lines, asking.excerpt(ask.body)])
    if reading.is_stream(http) and ask.reads in OPERATIONS and not _breaks_itself(recording, ask):
        assert http.broken(ask.reads) == []
    assert not any(secret.encode() in http.body for secret in SECRETS.values())


def _breaks_itself(recording: Exchange, ask: asking.Ask) -> bool:
    """Whether the stream passes and the recorded one broke the grammar already."""
    return recording.id in left_out.OFF_GRAMMAR and comparing.PASSES.get(recording.api) == ask.reads


def assert_asked(world: World, recording: Exchange, http: Http) -> None:
    """The provider was asked at the recorded place, under its own address."""
    requests = world.upstream.requests
    assert requests, f"the provider was not asked: {http.status} {http.body[:500]!r}"
    wanted, got = (_place(path) for path in (recording.request["path"], requests[0].path))
    assert got == wanted, f"asked at {got}, recorded at {wanted}"


def _place(path: str) -> str:
    """The end of a path: its operation, without names of models and voices."""
    *_, before, last = unquote(path).rstrip("/").split("/")
    if before == "text-to-speech" or last == "stream":
        return "text-to-speech"
    return last.rpartition(":")[2] if ":" in last else last


def native_cases() -> list[Any]:
    found = [(one, ask) for one in exchanges() if left_out.reason(one) is None for ask in asking.asks(one)]
    passing = [
        pair for pair in found if pair[1].native and comparing.PASSES.get(pair[0].api) == pair[1].reads
    ]
    return [pytest.param(one, ask, id=one.id) for one, ask in passing] or [absent(2)]


@pytest.mark.parametrize(("recording", "ask"), native_cases())
def test_a_body_that_passes_goes_out_as_the_client_wrote_it(
    world: World, recording: Exchange, ask: asking.Ask
) -> None:
    world.fresh().upstream.add(Reply.of(recording, chunk=0), times=NEVER)
    world.send(ask.method, ask.path, ask.body, ask.headers)
    body = world.upstream.requests[0].json()
    kept = {name: value for name, value in body.items() if name not in _OURS[ask.reads]}
    expected = {name: value for name, value in ask.body.items() if name not in _OURS[ask.reads]}
    if ask.reads == "responses" and "tools" in expected:
        expected["tools"] = [_flat(tool) for tool in expected["tools"]]
    assert kept == expected
    assert ask.body["model"].endswith(body["model"])


def _flat(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool in chat's nesting as Responses has it."""
    return {**{k: v for k, v in tool.items() if k != "function"}, **tool.get("function", {})}


_OURS = {"chat": {"model", "stream_options"}, "responses": {"model", "store", "include", "stream"}}
"""What the gateway decides itself: usage is always asked for, and state is its own."""


def test_every_recording_is_asked_for_or_left_out_with_its_reason() -> None:
    require()
    asked = {one.id for one in exchanges() if left_out.reason(one) is None and asking.asks(one)}
    named = {one.id for one in exchanges() if left_out.reason(one) is not None}
    assert asked | named == {one.id for one in exchanges()}
    assert asked.isdisjoint(named)
    assert len(asked) > 600


def test_no_reason_stands_for_a_recording_that_is_not_there() -> None:
    require()
    there = {one.id for one in exchanges()}
    assert set(left_out.SINGLE) | set(left_out.OFF_GRAMMAR) <= there
    assert set(left_out.FAMILIES) <= {one.api for one in exchanges()}
