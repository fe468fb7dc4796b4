"""Each recording is asked for by a client, on every surface that can, and comes back whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest

from tests.behaviour.world import SURFACES, World
from tests.behaviour.world import Answer as Http
from tests.replay import asking, comparing, left_out, reading
from tests.replay.setting import SECRETS, replaying_world
from tests.traffic.load import Exchange, absent, exchanges
from tests.traffic.replay import NEVER, Reply


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with replaying_world() as running:
        yield running


def cases() -> list[Any]:
    found = [(one, ask) for one in exchanges() if left_out.reason(one) is None for ask in asking.asks(one)]
    return [pytest.param(one, ask, id=f"{one.id}-{ask.label}") for one, ask in found] or [absent()]


@pytest.mark.parametrize(("recording", "ask"), cases())
def test_a_client_gets_the_recorded_answer(world: World, recording: Exchange, ask: asking.Ask) -> None:
    world.fresh().upstream.add(Reply.of(recording, chunk=0), times=1 if ask.reads == "models" else NEVER)
    world.upstream.script = lambda request: Reply.json(
        {"models": [], "data": []}
    )  # a list's pages after the recorded one
    http = world.send(ask.method, ask.path, ask.body, ask.headers)
    wanted = asking.outcome(recording)
    if wanted.error is None:
        assert_asked(world, recording, http)
    got = reading.read(ask.reads, http)
    found = comparing.faults(recording, wanted, ask, got, http)
    assert found == [], "; ".join([*found, asking.shown(ask.body)])
    if reading.is_stream(http) and ask.reads in SURFACES and not _breaks_itself(recording, ask):
        assert http.broken(ask.reads) == []
    assert not any(secret.encode() in http.body for secret in SECRETS.values())


def _breaks_itself(recording: Exchange, ask: asking.Ask) -> bool:
    """Whether the stream passes and the recorded one broke the grammar already."""
    return recording.id in left_out.OFF_GRAMMAR and comparing.PASSES.get(recording.api) == ask.reads


def assert_asked(world: World, recording: Exchange, http: Http) -> None:
    """The provider was asked at the recorded place, under its own address."""
    asked = world.upstream.requests
    assert asked, f"the provider was not asked: {http.status} {http.body[:500]!r}"
    wanted, got = (_place(path) for path in (recording.request["path"], asked[0].path))
    assert got == wanted, f"asked at {got}, recorded at {wanted}"


def _place(path: str) -> str:
    """The end of a path: its operation, without names of models and voices."""
    *_, before, last = unquote(path).rstrip("/").split("/")
    if before == "text-to-speech" or last == "stream":
        return "text-to-speech"
    return last.rpartition(":")[2] if ":" in last else last
