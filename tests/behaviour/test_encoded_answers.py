"""Answers in content encodings that nobody asked for: read whole and streamed, however they are framed and cut."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator

import pytest

from tests.behaviour.world import Answer, World, chat_body, chat_stream, running_world
from tests.traffic.replay import Reply

WORDS = ["word "] * 500
TEXT = "".join(WORDS)


def raw_deflate(data: bytes) -> bytes:
    """Return deflate without a wrapper, as some servers send it."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def members(data: bytes) -> bytes:
    """Return gzip of one member for each 40 bytes, with an empty one before it."""
    return b"".join(gzip.compress(b"") + gzip.compress(data[at : at + 40]) for at in range(0, len(data), 40))


READ: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "members": ("x-gzip", members),
    "padded": ("gzip, identity", lambda data: gzip.compress(data) + b"\0" * 100),
    "zlib": ("deflate", zlib.compress),
    "deflate": ("Deflate", raw_deflate),
    "no coding": ("none", bytes),
    "a charset": ("utf-8", bytes),
}
BROKEN: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "cut": ("gzip", lambda data: gzip.compress(data)[:-40], "cut off"),
    "a wrong sum": ("gzip", lambda data: gzip.compress(data)[:-8] + b"12345678", "content encoding"),
    "a wrong label": ("gzip", bytes, "content encoding"),
    "brotli": ("br", bytes, "'br'"),
    "twice": ("gzip, gzip", lambda data: gzip.compress(gzip.compress(data)), "'gzip, gzip'"),
    "a bomb": ("gzip", lambda data: gzip.compress(b" " * 70_000_000 + data), "longer than|larger than"),
}


@pytest.fixture(scope="module")
def _world() -> Iterator[World]:
    with running_world({"SLUICE_MAX_RETRIES": "0"}) as world:
        yield world


@pytest.fixture
def world(_world: World) -> World:
    return _world.fresh()


def ask(world: World, coding: str, pack: Callable[[bytes], bytes], stream: bool, chunk: int = 0) -> Answer:
    headers = {"content-encoding": coding}
    if stream:
        world.upstream.add(Reply.sse(pack(chat_stream(*WORDS)), headers=headers, chunk=chunk))
    else:
        body = pack(json.dumps(chat_body(TEXT)).encode())
        headers["content-type"] = "application/json"
        world.upstream.add(Reply(200, body, headers, chunk=chunk, framing="chunked"))
    return world.ask("chat", stream=stream)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("chunk", [0, 7])
@pytest.mark.parametrize(("coding", "pack"), READ.values(), ids=READ)
def test_an_encoded_answer_is_read_whole(
    coding: str, pack: Callable[[bytes], bytes], chunk: int, stream: bool, world: World
) -> None:
    answer = ask(world, coding, pack, stream, chunk)

    assert (answer.status, answer.text) == (200, TEXT)
    assert not stream or answer.broken("chat") == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("coding", "pack", "words"), BROKEN.values(), ids=BROKEN)
def test_a_broken_one_ends_in_words(
    coding: str, pack: Callable[[bytes], bytes], words: str, stream: bool, world: World
) -> None:
    answer = ask(world, coding, pack, stream)

    error = answer.stream_error if answer.status == 200 else answer.error
    assert error is not None
    assert any(word in error["message"] for word in words.split("|")), error
