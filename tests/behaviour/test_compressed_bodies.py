"""Compressed request bodies: read whole, held to the same limits, and refused in words when broken."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator

import pytest

from app.surfaces.body.decompression import _zstd
from tests.behaviour.test_forms import MODEL, form
from tests.behaviour.world import PATHS, PROMPTS, Answer, World, good, running_world
from tests.traffic.replay import Reply

MAX_BODY = 1_000_000
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": lambda data: _zstd().compress(data),
}


@pytest.fixture(scope="module")
def _world() -> Iterator[World]:
    with running_world(
        {"SLUICE_MAX_BODY_BYTES": str(MAX_BODY), "SLUICE_MAX_UPLOAD_BYTES": "2000000"}
    ) as world:
        yield world


@pytest.fixture
def world(_world: World) -> World:
    return _world.fresh()


def send(world: World, coding: str, body: bytes) -> Answer:
    world.upstream.script = lambda request: good("chat", "groq/x", stream=False)
    return world.send("POST", PATHS["chat"], body, {"content-encoding": coding})


def prompt(**members: object) -> bytes:
    return json.dumps({"model": "groq/x", **PROMPTS["chat"], **members}).encode()


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [10, 500_000])
def test_a_compressed_body_is_read(coding: str, size: int, world: World) -> None:
    answer = send(world, coding.upper(), CODINGS[coding](prompt(user="u" * size)))

    assert answer.status == 200, answer.body
    (request,) = world.upstream.requests
    assert request.json()["user"] == "u" * size
    assert "content-encoding" not in request.headers


@pytest.mark.parametrize("coding", CODINGS)
def test_members_one_after_another_are_one_body(coding: str, world: World) -> None:
    body = prompt()
    answer = send(world, coding, CODINGS[coding](body[:20]) + CODINGS[coding](body[20:]))

    assert answer.status == 200, answer.body


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("times", [1, 100])
def test_a_bomb_is_413(coding: str, times: int, world: World) -> None:
    bomb = CODINGS[coding](b" " * (20_000_000 // times)) * times
    assert len(bomb) < MAX_BODY
    answer = send(world, coding, bomb)

    assert (answer.status, answer.error["code"]) == (413, "request_too_large")
    assert world.upstream.requests == []


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda packed: packed[:-5],
    "plain": lambda packed: prompt(),
    "with a tail": lambda packed: packed + b"{}{}{}{}{}{}{}{}{}{}",
    "in very many members": lambda packed: packed[:0] + CODING_OF_NOTHING[packed[:2]] * 2000,
}
CODING_OF_NOTHING = {make(b"")[:2]: make(b"") for make in CODINGS.values()}


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_one_is_400_and_says_what_is_wrong(coding: str, fault: str, world: World) -> None:
    answer = send(world, coding, BROKEN[fault](CODINGS[coding](prompt())))

    assert answer.status == 400
    assert coding in answer.error["message"]
    assert world.upstream.requests == []


def test_a_window_larger_than_any_decoder_must_have_is_refused(world: World) -> None:
    zstd = _zstd()
    options = {
        zstd.CompressionParameter.window_log: 27,
        zstd.CompressionParameter.enable_long_distance_matching: 1,
    }
    packer = zstd.ZstdCompressor(options=options)
    packed = packer.compress(prompt()) + packer.flush()
    answer = send(world, "zstd", packed)

    assert (answer.status, "zstd" in answer.error["message"]) == (400, True)


def test_zlib_does_not_pass_for_gzip(world: World) -> None:
    assert send(world, "gzip", zlib.compress(prompt())).status == 400


@pytest.mark.parametrize("coding", CODINGS)
def test_a_compressed_form_is_read_and_bounded(coding: str, world: World) -> None:
    world.upstream.script = lambda request: Reply.json({"text": "hello"})
    headers = {"content-type": "multipart/form-data; boundary=b", "content-encoding": coding}
    path, pack = "/v1/audio/transcriptions", CODINGS[coding]

    good_form = world.send("POST", path, pack(form([MODEL], file=b"RIFF" * 1000)), headers)
    bomb = world.send("POST", path, pack(form([MODEL], file=b"x" * 20_000_000)), headers)

    assert (good_form.status, good_form.json["text"]) == (200, "hello")
    assert (bomb.status, bomb.error["code"]) == (413, "request_too_large")
    (request,) = world.upstream.requests
    assert b"RIFF" * 1000 in request.body
