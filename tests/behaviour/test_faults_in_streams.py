"""The fault table, part two: what goes wrong inside a stream.

Before content a fault has a real status and may be tried again elsewhere; after it, the stream ends in
one error, with all that was good before it, and nothing is tried again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.behaviour.surfaces import CHAT, EVERY, Surface, events
from tests.behaviour.world import (
    CHAT_DONE,
    DONE,
    OPERATIONS,
    ROLE,
    ResponsesStream,
    World,
    chat_body,
    chat_chunk,
    chat_end,
    chat_stream,
    chat_text,
    data_frame,
    event_frame,
    good,
    responses_body,
    responses_stream,
    running_world,
    speaks_responses,
)
from tests.traffic.replay import Reply

EACH = pytest.mark.parametrize("surface", EVERY, ids=lambda surface: surface.name)
WAYS = [(operation, model) for operation in OPERATIONS for model in ("groq/x", "openai/x")]
INVALID = "upstream_invalid_response"


@pytest.fixture(scope="module")
def _world() -> Iterator[World]:
    env = {
        "SLUICE_TIMEOUT_FIRST_BYTE": "0.3",
        "SLUICE_TIMEOUT_IDLE": "0.3",
        "SLUICE_TIMEOUT_TOTAL": "1.2",
        "SLUICE_HOLD": "5",
    }
    with running_world(env) as world:
        yield world


@pytest.fixture
def world(_world: World) -> World:
    return _world.fresh()


def beginning(native: bool, *words: str) -> bytes:
    """Return the beginning of a stream: opening and some text, on either wire."""
    if not native:
        return ROLE + (chat_text(*words) if words else b"")
    stream = ResponsesStream()
    return stream.opening() + (stream.text(*words) if words else b"")


def told_error(native: bool, code: Any, message: str = "it broke") -> bytes:
    """Return the event by which a provider says that it failed."""
    error = {"message": message, "type": "server_error", "param": None, "code": code}
    return (
        event_frame({"type": "error", "sequence_number": 9, "error": error})
        if native
        else data_frame({"error": error})
    )


def failed_response(code: str) -> bytes:
    failed = responses_body(status="failed", error={"code": code, "message": "it broke"})
    return event_frame({"type": "response.failed", "sequence_number": 9, "response": failed})


@dataclass(frozen=True)
class Fault:
    """What follows some beginning of a stream, and the error that it is."""

    name: str
    tail: Callable[[bool], bytes]
    status: int
    code: str | None
    tries: int = 1
    knobs: tuple[tuple[str, Any], ...] = ()

    def reply(self, native: bool, *words: str) -> Reply:
        body = beginning(native, *words) + self.tail(native)
        knobs = dict(self.knobs)
        if knobs.get("hang") == "end":
            knobs["hang"] = len(body)
        if knobs.get("cut") == "end":
            knobs["cut"] = len(body)
        return Reply.sse(body, **knobs)


def nothing(native: bool) -> bytes:
    return b""


FAULTS = [
    Fault("an end without a terminal", nothing, 502, INVALID),
    Fault("an end without a terminal, by closing", nothing, 502, INVALID, knobs=(("framing", "close"),)),
    Fault("a cut", nothing, 502, INVALID, knobs=(("cut", "end"),)),
    Fault("a reset", nothing, 502, INVALID, knobs=(("cut", "end"), ("reset", True))),
    Fault("half a frame", lambda native: b'data: {"id": "up-1", "cho', 502, INVALID),
    Fault("silence", nothing, 504, "upstream_idle", knobs=(("hang", "end"),)),
    Fault("no JSON", lambda native: b"data: {oops}\n\n", 502, INVALID),
    Fault("invalid UTF-8", lambda native: b'data: {"id": "\xff\xfe"}\n\n', 502, INVALID),
    Fault("an array", lambda native: b"data: [1]\n\n", 502, INVALID),
    Fault(
        "a line without end",
        lambda native: b"data: " + b"x" * 40_000_000,
        502,
        INVALID,
        knobs=(("chunk", 65536),),
    ),
    Fault("a bad gateway", lambda native: told_error(native, "server_error"), 500, "server_error", 2),
    Fault("an overload", lambda native: told_error(native, 503), 503, "upstream_overloaded", 2),
    Fault("an error of no event type", lambda native: told_error(False, 503), 503, "upstream_overloaded", 2),
    Fault(
        "a rate limit", lambda native: told_error(native, "rate_limit_exceeded"), 429, "rate_limit_exceeded"
    ),
    Fault(
        "a refusal",
        lambda native: told_error(native, "context_length_exceeded"),
        400,
        "context_length_exceeded",
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize(("operation", "model"), WAYS)
def test_a_fault_after_the_opening_still_has_a_real_status(
    operation: str, model: str, fault: Fault, world: World
) -> None:
    world.upstream.add(fault.reply(speaks_responses(operation, model)), times=9)

    answer = world.ask(operation, model=model, stream=True)

    assert (answer.status, answer.error["code"]) == (fault.status, fault.code), answer.body
    assert len(world.upstream.requests) == fault.tries


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.status != 400], ids=lambda fault: fault.name)
@EACH
def test_a_fault_after_the_opening_falls_back_without_a_trace(
    surface: Surface, fault: Fault, world: World
) -> None:
    world.upstream.add(fault.reply(False), path="*/groq/chat/completions", times=9)
    world.upstream.add(good(surface.name, "openai/y", stream=True))

    answer = surface.ask(world, "groq/x", stream=True, fallbacks=["openai/y"])

    assert (answer.status, surface.text_of(answer)) == (200, "good")
    assert not any(surface.broken(event) for event in events(answer))
    assert surface.name not in OPERATIONS or answer.broken(surface.name) == []
    assert answer.headers["x-sluice-provider"] == "openai"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize(("operation", "model"), WAYS)
def test_a_fault_after_content_ends_the_stream_in_one_error(
    operation: str, model: str, fault: Fault, world: World
) -> None:
    world.upstream.add(fault.reply(speaks_responses(operation, model), "one ", "two"), times=9)

    answer = world.ask(operation, model=model, stream=True, fallbacks=["anthropic/z"])

    assert (answer.status, answer.text) == (200, "one two")
    assert answer.broken(operation) == []
    error = answer.stream_error
    assert error is not None
    assert error["code"] == fault.code
    assert len(world.upstream.requests) == 1
    if operation == "responses":
        failed = answer.events[-1]
        assert failed["type"] == "response.failed"
        assert set(failed["response"]["error"]) == {"code", "message"}
        assert failed["response"]["output"][0]["content"][0]["text"] == "one two"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 502, INVALID),
        (b": hello\n\n", 502, INVALID),
        (b"\n\n\n", 502, INVALID),
        (b"data:\n\n", 502, INVALID),
        (b"hello, this is no event stream\n", 502, INVALID),
        (b'{"object": "chat.completion"}', 502, INVALID),
        (CHAT_DONE, 502, INVALID),
        (data_frame({"error": "overloaded"}), 502, "server_error"),
        (data_frame({"error": {"message": "no key", "code": 401}}), 502, "upstream_auth"),
        (data_frame({"error": {"message": "gone", "code": 404}}), 404, "404"),
        (data_frame({"error": {"message": "gone", "status_code": 404}}), 404, None),
        (
            event_frame({"type": "error", "error": {"message": "x", "type": "overloaded_error"}}),
            503,
            "upstream_overloaded",
        ),
    ],
    ids=lambda value: repr(value)[:40],
)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_stream_that_begins_with_its_end_has_a_real_status(
    operation: str, body: bytes, status: int, code: str | None, world: World
) -> None:
    world.upstream.add(Reply.sse(body), times=9)

    answer = world.ask(operation, stream=True)

    assert answer.status == status, answer.body
    if code != "404":
        assert answer.error["code"] == code


@pytest.mark.parametrize("operation", OPERATIONS)
def test_created_then_failed_is_a_real_status(operation: str, world: World) -> None:
    world.upstream.add(Reply.sse(ResponsesStream().opening() + failed_response("rate_limit_exceeded")))

    answer = world.ask("responses", model="openai/x", stream=True)

    assert (answer.status, answer.error["code"]) == (429, "rate_limit_exceeded")


@EACH
def test_comments_are_no_progress(surface: Surface, world: World) -> None:
    def pinging() -> Iterator[bytes]:
        yield ROLE + chat_text("one")
        while True:
            time.sleep(0.05)
            yield b": ping\n\n"

    world.upstream.script = lambda request: Reply.sse(pinging())

    answer = surface.ask(world, "groq/x", stream=True)

    assert (surface.text_of(answer), bool(surface.broken(events(answer)[-1]))) == ("one", True)
    if surface.name in OPERATIONS:
        assert answer.stream_error is not None
        assert answer.stream_error["code"] == "upstream_idle"


@pytest.mark.parametrize("words", [(), ("one",)], ids=["before", "after"])
@EACH
def test_a_slow_drip_ends_at_the_total(surface: Surface, words: tuple[str, ...], world: World) -> None:
    def dripping() -> Iterator[bytes]:
        yield beginning(False, *words)
        while True:
            time.sleep(0.05)
            yield chat_chunk({"content": ""})

    world.upstream.script = lambda request: Reply.sse(dripping())

    began = time.monotonic()
    answer = surface.ask(world, "groq/x", stream=True)

    assert time.monotonic() - began > 1.0
    if not words:
        assert (answer.status, bool(surface.word(answer.json))) == (504, True)
        return
    assert (surface.text_of(answer), bool(surface.broken(events(answer)[-1]))) == ("one", True)
    if surface.name in OPERATIONS:
        assert answer.stream_error is not None
        assert answer.stream_error["code"] == "upstream_timeout"
        assert answer.broken(surface.name) == []


def test_a_json_body_that_drips_ends_at_the_total(world: World) -> None:
    def dripping() -> Iterator[bytes]:
        while True:
            yield b" "
            time.sleep(0.05)

    world.upstream.script = lambda request: Reply(
        200, dripping(), {"content-type": "application/json"}, framing="chunked"
    )

    answer = world.ask()

    assert (answer.status, answer.error["code"]) == (504, "upstream_timeout")


def test_the_total_is_not_restarted_by_a_fallback(world: World) -> None:
    def dripping() -> Iterator[bytes]:
        while True:
            yield ROLE
            time.sleep(0.05)

    world.upstream.script = lambda request: Reply.sse(dripping())

    answer = world.ask(stream=True, fallbacks=["openai/y", "anthropic/z"])

    assert (answer.status, answer.error["code"]) == (504, "upstream_timeout")
    assert len(world.upstream.requests) == 1


@pytest.mark.parametrize(
    "late",
    [
        chat_text("late"),
        chat_text("late") + CHAT_DONE,
        data_frame({"error": {"message": "late", "code": 500}}),
        b"data: {oops}\n\n",
        CHAT_DONE,
        b"data: \xff\xff\n\n",
    ],
    ids=lambda late: repr(late[:20]),
)
@pytest.mark.parametrize(
    ("surface", "model"),
    [*((surface, "groq/x") for surface in EVERY), (CHAT, "openai/x")],
    ids=lambda value: getattr(value, "name", value),
)
def test_what_comes_after_the_end_is_dropped(surface: Surface, model: str, late: bytes, world: World) -> None:
    world.upstream.add(Reply.sse(chat_stream("good") + late, chunk=0))

    answer = surface.ask(world, model, stream=True)

    assert (surface.text_of(answer), any(surface.broken(event) for event in events(answer))) == (
        "good",
        False,
    )
    assert surface.name not in OPERATIONS or answer.broken(surface.name) == []


@pytest.mark.parametrize("whole", [True, False], ids=["one-write", "frames"])
def test_what_comes_after_the_end_of_a_passed_response_is_dropped(whole: bool, world: World) -> None:
    stream = ResponsesStream()
    body = stream.opening() + stream.text("good") + stream.end("good")
    late = stream.frame(
        "response.output_text.delta",
        item_id="msg_up",
        output_index=0,
        content_index=0,
        delta="late",
        logprobs=[],
    )
    world.upstream.add(
        Reply.sse(
            body + late + told_error(True, 500) + failed_response("x"), **({"chunk": 0} if whole else {})
        )
    )

    answer = world.ask("responses", model="openai/x", stream=True)

    assert (answer.text, answer.broken("responses")) == ("good", [])
    assert answer.events[-1]["type"] == "response.completed"


def test_unknown_events_pass_with_their_type_and_numbers_stay_whole(world: World) -> None:
    stream = ResponsesStream()
    body = stream.opening() + event_frame({"type": "response.novelty", "sequence_number": 77, "x": 1})
    body += stream.text("good") + stream.end("good")
    world.upstream.add(Reply.sse(body))

    answer = world.ask("responses", model="openai/x", stream=True)

    events = answer.events
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["x"] for event in events if event["type"] == "response.novelty"] == [1]
    assert answer.text == "good"


def test_events_without_numbers_or_with_wrong_ones_are_numbered(world: World) -> None:
    body = responses_stream("good").replace(b'"sequence_number": ', b'"sequence_number": 5')
    world.upstream.add(Reply.sse(body))

    assert world.ask("responses", model="openai/x", stream=True).broken("responses") == []


@pytest.mark.parametrize("is_cut", [False, True])
def test_numbers_stay_whole_where_events_repeat(world: World, is_cut: bool) -> None:
    words = [f"word {number} " for number in range(30)]
    stream, place = ResponsesStream(), {"item_id": "msg_up", "output_index": 0, "content_index": 0}
    body = stream.opening() + stream.text(*words[:10])
    for number, word in enumerate(words[10:]):
        more = {} if number == 7 else {"obfuscation": "x" * (number % 5)}
        body += stream.frame("response.output_text.delta", **place, delta=word, logprobs=[], **more)
    body = body.replace(b'"sequence_number": ', b'"sequence_number": 5')
    text = "".join(words)
    world.upstream.add(Reply.sse(body + (b"" if is_cut else stream.end(text)), delay=0.002))

    answer = world.ask("responses", model="openai/x", stream=True)

    events = answer.events
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    deltas = [event for event in events if event["type"] == "response.output_text.delta"]
    assert [event["delta"] for event in deltas] == words
    assert events[-1]["type"] == ("response.failed" if is_cut else "response.completed")
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == text


@pytest.mark.parametrize("is_cut", [False, True])
def test_translated_text_that_repeats_is_numbered_and_whole(world: World, is_cut: bool) -> None:
    words = [f"word {number} " for number in range(30)]
    body = ROLE + chat_text(*words) + (b"" if is_cut else chat_end())
    world.upstream.add(Reply.sse(body, delay=0.002))

    answer = world.ask("responses", model="groq/x", stream=True)

    assert answer.broken("responses") == []
    events = answer.events
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    deltas = [event for event in events if event["type"] == "response.output_text.delta"]
    assert [event["delta"] for event in deltas] == words
    assert events[-1]["type"] == ("response.failed" if is_cut else "response.completed")
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "".join(words)


@pytest.mark.parametrize("noise", [b"5", b"null", b'"ping"', b"[1]", b"true"])
def test_data_that_is_no_object_takes_no_text_along(world: World, noise: bytes) -> None:
    stream, place = ResponsesStream(), {"item_id": "msg_up", "output_index": 0, "content_index": 0}
    words = [f"word {number} " for number in range(9)]
    body = stream.opening() + stream.text(*words[:4]) + b"data: " + noise + b"\n\n"
    for word in words[4:]:
        body += stream.frame("response.output_text.delta", **place, delta=word, logprobs=[])
    world.upstream.add(Reply.sse(body + stream.end("".join(words)), chunk=0))

    answer = world.ask("responses", model="openai/x", stream=True)

    assert answer.broken("responses") == []
    deltas = [event for event in answer.events if event["type"] == "response.output_text.delta"]
    assert [event["delta"] for event in deltas] == words


USAGES: list[tuple[str, Any]] = [
    ("missing", ...),
    ("null", None),
    ("negative", {"prompt_tokens": -3, "completion_tokens": -2, "total_tokens": -5}),
    ("absurd", {"prompt_tokens": 10**30, "completion_tokens": 10**30, "total_tokens": 10**31}),
    ("text", {"prompt_tokens": "3", "completion_tokens": "2", "total_tokens": "5"}),
    ("lists", {"prompt_tokens": [], "completion_tokens": {}, "total_tokens": None}),
    ("infinite", {"prompt_tokens": 1e999, "completion_tokens": 1e999, "total_tokens": 1e999}),
    ("a number", 5),
    ("empty", {}),
]


def usage_of(answer: Any, operation: str, stream: bool) -> Any:
    if not stream:
        return answer.json["usage"]
    if operation == "responses":
        return answer.events[-1]["response"]["usage"]
    return next(e["usage"] for e in reversed(answer.events) if e != DONE and e.get("usage"))


@pytest.mark.parametrize(("name", "usage"), USAGES, ids=[name for name, _ in USAGES])
@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize(
    ("operation", "model"), [("chat", "groq/x"), ("chat", "openai/x"), ("responses", "groq/x")]
)
def test_usage_that_is_none_is_estimated_and_marked(
    operation: str, model: str, stream: bool, name: str, usage: Any, world: World
) -> None:
    if stream:
        end = chat_end(None) if usage is ... else chat_end(usage) if usage is not None else chat_end(None)
        world.upstream.add(Reply.sse(ROLE + chat_text("good ", "text") + end))
    else:
        body = chat_body("good text", usage=usage)
        if usage is ...:
            del body["usage"]
        world.upstream.add(Reply.json(body))
    options = {"stream_options": {"include_usage": True}} if stream and operation == "chat" else {}

    answer = world.ask(operation, model=model, stream=stream, **options)

    assert (answer.status, answer.text) == (200, "good text")
    found = usage_of(answer, operation, stream)
    into, out = (
        ("prompt_tokens", "completion_tokens") if operation == "chat" else ("input_tokens", "output_tokens")
    )
    assert 0 < found[into] < 100
    assert 0 < found[out] < 100
    assert found["total_tokens"] == found[into] + found[out]
    assert (found["estimated"], found["cost"]) == (True, None)


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize(
    "usage",
    [
        None,
        ...,
        {"input_tokens": -1, "output_tokens": -1, "total_tokens": -2},
        {"input_tokens": 10**30, "output_tokens": "x"},
        5,
    ],
    ids=repr,
)
def test_usage_of_a_passed_response_is_estimated_and_marked(usage: Any, stream: bool, world: World) -> None:
    more = {} if usage is ... else {"usage": usage}
    if stream:
        body = responses_stream("good", **more)
        world.upstream.add(Reply.sse(body))
    else:
        whole = responses_body("good", **more)
        if usage is ...:
            del whole["usage"]
        world.upstream.add(Reply.json(whole))

    answer = world.ask("responses", model="openai/x", stream=stream)

    found = usage_of(answer, "responses", stream)
    if usage is ... and stream:
        assert found["total_tokens"] == 5
        return
    assert 0 < found["input_tokens"] < 100
    assert found["total_tokens"] == found["input_tokens"] + found["output_tokens"]
    assert found["estimated"] is True
