"""Time in streams: nothing is buffered, statuses are held, silence is bridged (reliability.md, decisions).

Clocks are short and set in the environment; sleeps are the provider's, and limits are wide.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.behaviour.world import (
    ROLE,
    SURFACES,
    Answer,
    ResponsesStream,
    World,
    chat_end,
    chat_stream,
    chat_text,
    data_frame,
    good,
    received,
    responses_stream,
    running_world,
)
from tests.traffic.replay import NEVER, Reply

HOLD, STATUS_AFTER, COMMENT = 0.2, 0.5, 0.2
ENV = {
    "SLUICE_HOLD": str(HOLD),
    "SLUICE_STATUS_AFTER": str(STATUS_AFTER),
    "SLUICE_COMMENT_EVERY": str(COMMENT),
    "SLUICE_TIMEOUT_FIRST_BYTE": "1.2",
    "SLUICE_TIMEOUT_IDLE": "1.2",
}
FAILED = data_frame({"error": {"message": "it broke", "code": "rate_limit_exceeded"}})
HEAD = b"\r\n\r\n"


@pytest.fixture(scope="module")
def _world() -> Iterator[World]:
    with running_world(ENV) as world:
        yield world


@pytest.fixture
def world(_world: World) -> World:
    return _world.fresh()


def paced(*steps: bytes | float) -> Iterator[bytes]:
    """Yield the bytes, and sleep the numbers."""
    for step in steps:
        if isinstance(step, bytes):
            yield step
        else:
            time.sleep(step)


def dechunked(data: bytes) -> bytes:
    """Take the chunked framing off what follows an answer's head."""
    return b"".join(pieces(data))


def pieces(data: bytes) -> list[bytes]:
    """Return the chunks of a chunked body: one for each write of the gateway."""
    found, rest = [], data.partition(HEAD)[2]
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        found.append(rest[:length])
        rest = rest[length + 2 :]
    return [piece for piece in found if piece]


def to_the_end(connection: object) -> bytes:
    return received(connection, b"\r\n0\r\n\r\n")  # type: ignore[arg-type]


@pytest.mark.parametrize(("surface", "model"), [(s, m) for s in SURFACES for m in ("groq/x", "openai/x")])
def test_each_frame_arrives_when_it_was_sent(surface: str, model: str, world: World) -> None:
    words = [f"w{n} " for n in range(4)]
    if (surface, model) == ("responses", "openai/x"):
        made = ResponsesStream()
        opening = made.opening() + made.text()
        place = {"item_id": "msg_up", "output_index": 0, "content_index": 0}
        deltas = [made.frame("response.output_text.delta", **place, delta=w, logprobs=[]) for w in words]
        end = made.end("".join(words))
    else:
        opening, deltas, end = ROLE, [chat_text(word) for word in words], chat_end()
    seen = [threading.Event() for _ in words]

    def gated() -> Iterator[bytes]:
        yield opening
        for delta, arrived in zip(deltas, seen, strict=True):
            yield delta
            assert arrived.wait(5)
        yield end

    world.upstream.add(Reply.sse(gated()))

    connection = world.open(surface, model=model)
    for word, arrived in zip(words, seen, strict=True):
        assert word.encode() in received(connection, word.encode(), 4)
        arrived.set()
    assert (b"response.completed" if surface == "responses" else b"stop") in to_the_end(connection)


@pytest.mark.parametrize(("surface", "model"), [(s, m) for s in SURFACES for m in ("groq/x", "openai/x")])
def test_one_write_for_each_read_and_never_half_an_event(surface: str, model: str, world: World) -> None:
    native = (surface, model) == ("responses", "openai/x")
    body = responses_stream("one ", "two ", "three") if native else chat_stream("one ", "two ", "three")
    third = len(body) // 3
    world.upstream.add(Reply.sse(paced(body[:third], 0.1, body[third : 2 * third], 0.1, body[2 * third :])))

    connection = world.open(surface, model=model)
    writes = pieces(to_the_end(connection))

    assert 1 <= len(writes) <= 3
    assert all(write.endswith(b"\n\n") and not write.startswith(b"\n") for write in writes)


@pytest.mark.parametrize("surface", SURFACES)
def test_many_frames_of_one_read_are_one_write(surface: str, world: World) -> None:
    world.upstream.add(Reply.sse(chat_stream(*(f"w{n} " for n in range(50))), chunk=0))

    writes = pieces(to_the_end(world.open(surface)))

    assert len(writes) <= 3  # the provider's bytes come in a few reads, not in 50


@pytest.mark.parametrize("surface", SURFACES)
def test_opening_events_are_held_and_an_early_error_has_its_status(surface: str, world: World) -> None:
    world.upstream.add(Reply.sse(paced(ROLE, HOLD / 2, FAILED)))

    assert world.ask(surface, stream=True).status == 429


@pytest.mark.parametrize("surface", SURFACES)
def test_opening_events_go_out_after_the_hold(surface: str, world: World) -> None:
    world.upstream.add(Reply.sse(paced(ROLE, 0.6, chat_text("tardy"), chat_end())))

    began = time.monotonic()
    connection = world.open(surface)
    head = received(connection, b"data: ")
    spent = time.monotonic() - began
    everything = head + to_the_end(connection)

    assert spent >= HOLD
    assert b"tardy" not in head
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b": keep-alive" in everything
    answer = stream_of(everything)
    assert (answer.text, answer.broken(surface)) == ("tardy", [])


@pytest.mark.parametrize("second", ["groq/y", "openai/y"])
@pytest.mark.parametrize("first", ["groq/x", "openai/x"])
@pytest.mark.parametrize("surface", SURFACES)
def test_a_spent_status_does_not_spend_the_target(
    surface: str, first: str, second: str, world: World
) -> None:
    native = (surface, first) == ("responses", "openai/x")
    opening = ResponsesStream().opening() if native else ROLE
    failed = (
        b'event: error\ndata: {"type":"error","error":{"code":"rate_limit_exceeded","message":"slow"}}\n\n'
        if native
        else FAILED
    )
    world.upstream.add(Reply.sse(paced(opening, 2 * HOLD, failed)), model="x")
    reply = good(surface, second, stream=True, text="from the second")
    assert isinstance(reply.body, bytes)
    body = reply.body.replace(b'"up-1"', b'"up-2"').replace(b'"created": 1', b'"created": 2')
    world.upstream.add(replace(reply, body=body), model="y")

    # with usage, chat's last chunk comes with the end of the stream, however the upstream's bytes are cut
    usage = {"stream_options": {"include_usage": True}} if surface == "chat" else {}
    connection = world.open(surface, model=first, fallbacks=[second], **usage)
    answer = stream_of(to_the_end(connection))

    assert (answer.text, answer.broken(surface), answer.stream_error) == ("from the second", [], None)
    last = [event for event in answer.events if isinstance(event, dict)][-1]
    assert last["extra_fields"]["provider"] == second.partition("/")[0]
    assert [a["error"] for a in last["extra_fields"]["attempts"]] == ["rate_limit_exceeded", None]


@pytest.mark.parametrize(
    "second",
    [Reply.json({"error": {"message": "no"}}, 401), Reply.sse(ROLE + FAILED), Reply.sse(b"")],
    ids=["at once", "after its opening", "by an early end"],
)
@pytest.mark.parametrize("surface", SURFACES)
def test_a_spent_status_ends_in_an_error_event_when_every_target_fails(
    surface: str, second: Reply, world: World
) -> None:
    world.upstream.add(Reply.sse(paced(ROLE, 2 * HOLD, FAILED)), model="x")
    world.upstream.add(second, model="y", times=9)

    answer = stream_of(to_the_end(world.open(surface, fallbacks=["openai/y"])))

    assert answer.broken(surface) == []
    assert answer.stream_error is not None
    assert answer.stream_error["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize("surface", SURFACES)
def test_silence_spends_the_status_then_comments_then_the_error_is_an_event(
    surface: str, world: World
) -> None:
    world.upstream.add(Reply(wait=NEVER))

    began = time.monotonic()
    connection = world.open(surface)
    head = received(connection, HEAD)
    spent = time.monotonic() - began
    everything = head + to_the_end(connection)

    assert head.startswith(b"HTTP/1.1 200 ")
    assert spent >= STATUS_AFTER
    assert 2 <= everything.count(b": keep-alive\n\n") <= 4
    answer = stream_of(everything)
    assert answer.broken(surface) == []
    assert answer.stream_error is not None
    assert answer.stream_error["code"] == "upstream_timeout"


@pytest.mark.parametrize("surface", SURFACES)
def test_silence_then_an_answer_is_a_good_stream(surface: str, world: World) -> None:
    reply = Reply.sse(chat_stream("good"), wait=0.8)
    world.upstream.add(reply)

    answer = stream_of(to_the_end(world.open(surface)))

    assert (answer.text, answer.broken(surface), answer.stream_error) == ("good", [], None)


@pytest.mark.parametrize("surface", SURFACES)
def test_a_fallback_after_the_status_was_spent_in_silence(surface: str, world: World) -> None:
    world.upstream.add(Reply.json({"error": {"message": "slow"}}, 503, wait=0.7), model="x", times=1)
    world.upstream.add(Reply.json({"error": {"message": "slow"}}, 503), model="x", times=9)
    world.upstream.add(good(surface, "openai/y", stream=True), model="y")

    answer = stream_of(to_the_end(world.open(surface, fallbacks=["openai/y"])))

    assert (answer.text, answer.broken(surface), answer.stream_error) == ("good", [], None)


def test_no_comment_comes_before_the_status(world: World) -> None:
    world.upstream.add(Reply.json({"error": {"message": "no"}}, 400, wait=STATUS_AFTER * 0.8))

    data = received(world.open(), b"}}")

    assert data.startswith(b"HTTP/1.1 400 ")
    assert b"keep-alive\n" not in data


@pytest.mark.parametrize("surface", SURFACES)
def test_comments_bridge_silence_in_the_middle(surface: str, world: World) -> None:
    world.upstream.add(Reply.sse(paced(ROLE, chat_text("one "), 0.75, chat_text("two"), chat_end())))

    everything = to_the_end(world.open(surface))

    middle = dechunked(everything).partition(b"one ")[2].partition(b"two")[0]
    assert 2 <= middle.count(b": keep-alive\n\n") <= 4
    assert stream_of(everything).text == "one two"


def stream_of(data: bytes) -> Answer:
    """Return a raw chunked answer as an Answer."""
    head = data.partition(HEAD)[0].decode("latin-1")
    status = int(head.split()[1])
    headers = {n.lower(): v for n, v in re.findall(r"^([^:\r\n]+): ([^\r\n]*)", head, re.MULTILINE)}
    return Answer(status, headers, dechunked(data))
