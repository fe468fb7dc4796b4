"""Time in streams: nothing is buffered, statuses are held, silence is bridged (reliability.md, decisions).

Clocks are short and set in the environment; sleeps are the provider's, and limits are wide. Each test
waits at all surfaces at the same time.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.behaviour.surfaces import CHAT, Surface, at_each
from tests.behaviour.world import (
    HEAD,
    OPERATIONS,
    ROLE,
    ResponsesStream,
    World,
    answer_of,
    chat_end,
    chat_stream,
    chat_text,
    data_frame,
    good,
    received,
    responses_stream,
    running_world,
    speaks_responses,
    to_the_end,
    writes,
)
from tests.traffic.frames import eventstream
from tests.traffic.replay import NEVER, Reply

HOLD, STATUS_AFTER, COMMENT = 0.2, 0.5, 0.2
ENV = {
    "SLUICE_HOLD": str(HOLD),
    "SLUICE_STATUS_AFTER": str(STATUS_AFTER),
    "SLUICE_COMMENT_EVERY": str(COMMENT),
    "SLUICE_TIMEOUT_FIRST_BYTE": "1.2",
    "SLUICE_TIMEOUT_IDLE": "1.2",
}
SETTING = {"env": ENV}
FAILED = data_frame({"error": {"message": "it broke", "code": "rate_limit_exceeded"}})
PROVIDERS = pytest.mark.parametrize("provider", ["groq", "openai"])


def paced(*steps: bytes | float) -> Iterator[bytes]:
    """Yield the bytes, and sleep the numbers."""
    for step in steps:
        if isinstance(step, bytes):
            yield step
        else:
            time.sleep(step)


def is_whole(surface: Surface, write: bytes) -> bool:
    """Tell whether one write holds whole events and nothing besides."""
    if surface.name == "bedrock":
        return bool(eventstream(write))
    if surface.name == "gemini array":
        elements = write.removeprefix(b"[").removeprefix(b",\r\n").removesuffix(b"\n]")
        return isinstance(json.loads(b"[" + elements + b"]"), list)
    return write.endswith(b"\n\n") and not write.startswith(b"\n")


@PROVIDERS
def test_each_frame_arrives_when_it_was_sent(provider: str, world: World) -> None:
    words = [f"w{n} " for n in range(4)]

    def frames(native: bool) -> tuple[bytes, list[bytes], bytes]:
        if not native:
            return ROLE, [chat_text(word) for word in words], chat_end()
        stream = ResponsesStream()
        opening = stream.opening() + stream.text()
        place = {"item_id": "msg_up", "output_index": 0, "content_index": 0}
        deltas = [stream.frame("response.output_text.delta", **place, delta=w, logprobs=[]) for w in words]
        return opening, deltas, stream.end("".join(words))

    def check(surface: Surface) -> None:
        model = f"{provider}/{surface.own}"
        opening, deltas, end = frames(speaks_responses(surface.name, model))
        seen = [threading.Event() for _ in words]

        def gated() -> Iterator[bytes]:
            yield opening
            for delta, arrived in zip(deltas, seen, strict=True):
                yield delta
                assert arrived.wait(5)
            yield end

        world.upstream.add(Reply.sse(gated()), model=surface.own)

        connection = surface.open(world, model)
        everything = b""
        for word, arrived in zip(words, seen, strict=True):
            everything += received(connection, word.encode(), 4)
            assert word.encode() in everything
            arrived.set()
        answer = answer_of(everything + to_the_end(connection))
        assert (surface.text_of(answer), surface.ended_well(answer)) == ("".join(words), True)

    at_each(check)


@PROVIDERS
def test_one_write_for_each_read_and_never_half_an_event(provider: str, world: World) -> None:
    def check(surface: Surface) -> None:
        model = f"{provider}/{surface.own}"
        made = responses_stream if speaks_responses(surface.name, model) else chat_stream
        body = made("one ", "two ", "three")
        third = len(body) // 3
        paces = paced(body[:third], 0.1, body[third : 2 * third], 0.1, body[2 * third :])
        world.upstream.add(Reply.sse(paces), model=surface.own)

        written = writes(to_the_end(surface.open(world, model)))

        assert 1 <= len(written) <= 3
        assert all(is_whole(surface, write) for write in written)

    at_each(check)


def test_many_frames_of_one_read_are_one_write(world: World) -> None:
    def check(surface: Surface) -> None:
        written = writes(to_the_end(surface.open(world, "groq/x")))
        assert len(written) <= 3  # the provider's bytes come in a few reads, not in 50

    world.upstream.add(Reply.sse(chat_stream(*(f"w{n} " for n in range(50))), chunk=0), times=NEVER)
    at_each(check)


def test_opening_events_are_held_and_an_early_error_has_its_status(world: World) -> None:
    world.upstream.script = lambda request: Reply.sse(paced(ROLE, HOLD / 2, FAILED))

    def check(surface: Surface) -> None:
        answer = surface.ask(world, "groq/x", stream=True)
        assert (answer.status, bool(surface.word(answer.json))) == (429, True)

    at_each(check)


def test_opening_events_go_out_after_the_hold(world: World) -> None:
    world.upstream.script = lambda request: Reply.sse(paced(ROLE, 0.6, chat_text("tardy"), chat_end()))

    def check(surface: Surface) -> None:
        began = time.monotonic()
        connection = surface.open(world, "groq/x")
        head = received(connection, surface.opening or HEAD)
        seconds = time.monotonic() - began
        everything = head + to_the_end(connection)

        assert seconds >= HOLD
        assert b"tardy" not in head
        assert head.startswith(b"HTTP/1.1 200 ")
        assert surface.opening is None or surface.silence in writes(everything)
        answer = answer_of(everything)
        assert (surface.text_of(answer), surface.ended_well(answer)) == ("tardy", True)

    at_each(check)


@pytest.mark.parametrize("second", ["groq", "openai"])
@pytest.mark.parametrize("first", ["groq", "openai"])
def test_a_spent_status_does_not_spend_the_target(first: str, second: str, world: World) -> None:
    def check(surface: Surface) -> None:
        model, fallback = f"{first}/{surface.own}", f"{second}/y{surface.own}"
        native = speaks_responses(surface.name, model)
        opening = ResponsesStream().opening() if native else ROLE
        failed = (
            b'event: error\ndata: {"type":"error","error":{"code":"rate_limit_exceeded","message":"slow"}}\n\n'
            if native
            else FAILED
        )
        world.upstream.add(Reply.sse(paced(opening, 2 * HOLD, failed)), model=surface.own)
        reply = good(surface.name, fallback, stream=True, text="from the second")
        assert isinstance(reply.body, bytes)
        body = reply.body.replace(b'"up-1"', b'"up-2"').replace(b'"created": 1', b'"created": 2')
        world.upstream.add(replace(reply, body=body), model=f"y{surface.own}")

        # with usage, chat's last chunk comes with the end of the stream, however the upstream's bytes are cut
        usage = {"stream_options": {"include_usage": True}} if surface is CHAT else {}
        connection = surface.open(world, model, fallbacks=[fallback], **usage)
        answer = answer_of(to_the_end(connection))

        assert (surface.text_of(answer), surface.ended_well(answer)) == ("from the second", True)
        if surface.name in OPERATIONS:
            last = [event for event in answer.events if isinstance(event, dict)][-1]
            assert last["extra_fields"]["provider"] == second
            assert [a["error"] for a in last["extra_fields"]["attempts"]] == ["rate_limit_exceeded", None]

    at_each(check)


@pytest.mark.parametrize(
    "second",
    [Reply.json({"error": {"message": "no"}}, 401), Reply.sse(ROLE + FAILED), Reply.sse(b"")],
    ids=["at once", "after its opening", "by an early end"],
)
def test_a_spent_status_ends_in_an_error_event_when_every_target_fails(second: Reply, world: World) -> None:
    world.upstream.add(second, model="y", times=NEVER)

    def check(surface: Surface) -> None:
        world.upstream.add(Reply.sse(paced(ROLE, 3 * HOLD, FAILED)), model=surface.own)

        answer = answer_of(to_the_end(surface.open(world, f"groq/{surface.own}", fallbacks=["openai/y"])))

        assert surface.ended_in_words(answer)
        if surface.name in OPERATIONS:
            assert (answer.stream_error or {})["code"] == "rate_limit_exceeded"

    at_each(check)


def test_silence_spends_the_status_then_comments_then_the_error_is_an_event(world: World) -> None:
    world.upstream.add(Reply(wait=NEVER), times=NEVER)

    def check(surface: Surface) -> None:
        began = time.monotonic()
        connection = surface.open(world, "groq/x")
        head = received(connection, HEAD)
        seconds = time.monotonic() - began
        everything = head + to_the_end(connection)
        silent = time.monotonic() - began - STATUS_AFTER  # longer on a busy machine, where clocks are late

        assert head.startswith(b"HTTP/1.1 200 ")
        assert seconds >= STATUS_AFTER
        assert 1 <= writes(everything).count(surface.silence) <= silent / COMMENT + 1
        answer = answer_of(everything)
        assert surface.ended_in_words(answer)
        if surface.name in OPERATIONS:
            assert (answer.stream_error or {})["code"] == "upstream_timeout"

    at_each(check)


def test_silence_then_an_answer_is_a_good_stream(world: World) -> None:
    world.upstream.add(Reply.sse(chat_stream("good"), wait=0.8), times=NEVER)

    def check(surface: Surface) -> None:
        everything = to_the_end(surface.open(world, "groq/x"))
        answer = answer_of(everything)
        assert surface.silence in writes(everything)
        assert (b": keep-alive\n\n" in answer.body) is (surface.silence == b": keep-alive\n\n")
        assert (surface.text_of(answer), surface.ended_well(answer)) == ("good", True)

    at_each(check)


def test_a_fallback_after_the_status_was_spent_in_silence(world: World) -> None:
    def check(surface: Surface) -> None:
        world.upstream.add(
            Reply.json({"error": {"message": "slow"}}, 503, wait=0.7), model=surface.own, times=1
        )
        world.upstream.add(Reply.json({"error": {"message": "slow"}}, 503), model=surface.own, times=9)
        world.upstream.add(good(surface.name, "openai/y", stream=True), model=f"y{surface.own}")

        connection = surface.open(world, f"groq/{surface.own}", fallbacks=[f"openai/y{surface.own}"])
        answer = answer_of(to_the_end(connection))

        assert (surface.text_of(answer), surface.ended_well(answer)) == ("good", True)

    at_each(check)


def test_no_comment_comes_before_the_status() -> None:
    late = {"SLUICE_STATUS_AFTER": "30", "SLUICE_TIMEOUT_FIRST_BYTE": "30", "SLUICE_TIMEOUT_IDLE": "30"}
    with running_world({**ENV, **late}) as world:
        refusal = Reply.json({"error": {"message": "no"}}, 400, wait=3 * COMMENT)
        world.upstream.add(refusal, times=NEVER)

        def check(surface: Surface) -> None:
            data = received(surface.open(world, "groq/x"), b"}", 30)
            assert data.startswith(b"HTTP/1.1 400 ")
            assert surface.silence not in data.partition(HEAD)[2]

        at_each(check)


REPEATED = [step for number in range(8) for step in (chat_text(f"w{number} "), 0.02)]


@pytest.mark.parametrize("lead", [[], REPEATED], ids=["at first", "after events that repeat"])
def test_comments_bridge_silence_in_the_middle(lead: list[bytes | float], world: World) -> None:
    text = "".join(f"w{number} " for number in range(len(lead) // 2))

    def check(surface: Surface) -> None:
        began = time.monotonic()
        written = writes(everything := to_the_end(surface.open(world, "groq/x")))
        one, two = (
            next(number for number, write in enumerate(written) if word in write)
            for word in (b"one ", b"two")
        )
        assert 1 <= written[one:two].count(surface.silence) <= (time.monotonic() - began) / COMMENT + 1
        answer = answer_of(everything)
        assert (surface.text_of(answer), surface.ended_well(answer)) == (f"{text}one two", True)

    world.upstream.script = lambda request: Reply.sse(
        paced(ROLE, *lead, chat_text("one "), 0.75, chat_text("two"), chat_end())
    )
    at_each(check)


def test_silence_after_events_that_repeat_ends_the_stream(world: World) -> None:
    def check(surface: Surface) -> None:
        answer = answer_of(to_the_end(surface.open(world, "groq/x")))
        assert surface.text_of(answer).startswith("w0 w1 w2 w3 w4 w5 w6 w7 ")
        assert not surface.ended_well(answer)

    world.upstream.script = lambda request: Reply.sse(
        paced(ROLE, *REPEATED, 2.4, chat_text("late"), chat_end())
    )
    at_each(check)
