"""Twice the deltas of one block, twice the work: no decoder, fold or encoder copies what it holds already.

Work is counted in lines of ``app/`` that run, characters that concatenation copies and joins, never
in seconds; ``python -m benchmarks.decoders`` tells the seconds.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from app.canonical.events import Accumulator
from app.canonical.request import Request
from app.dialects import dialect
from app.responses_form.fold import fold
from benchmarks.decoders import BLOCKS, LongBlock, decoded
from tests.dialects import generic

APP = str(Path(__file__).parents[2] / "app")
IDS = [f"{block.wire}-{block.kind}" for block in BLOCKS]
SERVERS = ("chat", "responses", "messages", "gemini", "converse", "cohere")
FEW = 100


class Text(str):
    """A piece of text that counts what is copied when anything is added to it, or it to anything."""

    __slots__ = ()
    copied = 0

    def __add__(self, other: str) -> Text:
        return self._sum(str(self), str(other))

    def __radd__(self, other: str) -> Text:
        return self._sum(str(other), str(self))

    @classmethod
    def _sum(cls, before: str, after: str) -> Text:
        cls.copied += len(before) + len(after)
        return cls("".join((before, after)))


def work_of(run: Callable[[], object]) -> int:
    """The work of ``run``: lines, characters copied by adding, and a hundred for each join."""
    lines = joins = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal lines
        if not frame.f_code.co_filename.startswith(APP):
            return None
        lines += event == "line"
        return trace

    def profile(frame: FrameType, event: str, argument: object) -> None:
        nonlocal joins
        if event == "c_call" and getattr(argument, "__name__", "") == "join":
            joins += frame.f_code.co_filename.startswith(APP)

    Text.copied = 0
    sys.settrace(trace)
    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.settrace(None)
        sys.setprofile(None)
    return lines + Text.copied + 100 * joins


def texts(count: int) -> itertools.repeat[str]:
    return itertools.repeat(Text("some words "), count)


def assert_linear(run: Callable[[int], Callable[[], object]]) -> None:
    run(2)()  # what is imported at first use
    once, twice = work_of(run(FEW)), work_of(run(2 * FEW))
    assert once > FEW
    assert twice < 2.1 * once


@pytest.mark.parametrize("block", BLOCKS, ids=IDS)
def test_a_decoder_does_twice_the_work_for_twice_the_deltas(block: LongBlock) -> None:
    assert_linear(lambda count: lambda: decoded(block, texts(count)))


@pytest.mark.parametrize("block", BLOCKS, ids=IDS)
def test_every_delta_of_a_long_block_comes_through(block: LongBlock) -> None:
    response = generic.fold(decoded(block, texts(FEW))).response()
    assert "".join(_words(response)) == "some words " * FEW


def _words(response: Any) -> list[str]:
    parts = [part for message in response.choices[0].messages for part in message.parts]
    return [
        getattr(part, "text", "")
        or getattr(part, "arguments", "")
        or part.signature.value.removeprefix("thinking:")
        for part in parts
    ]


def test_the_fold_does_twice_the_work_for_twice_the_deltas() -> None:
    def folding(count: int) -> Callable[[], object]:
        events = decoded(BLOCKS[0], texts(count))
        accumulator = Accumulator()
        return lambda: [*map(accumulator.feed, events), accumulator.response()]

    assert_linear(folding)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("kind", ["text", "thought", "arguments"])
def test_an_encoder_does_twice_the_work_for_twice_the_deltas(server: str, kind: str) -> None:
    block = next(block for block in BLOCKS if (block.wire, block.kind) == ("chat", kind))

    def encoding(count: int) -> Callable[[], object]:
        events = decoded(block, texts(count))
        encoder = dialect(server).stream_encoder(Request("m"), generic.server_context())
        return lambda: [encoder.feed(event) for event in events]

    assert_linear(encoding)


def test_a_log_of_events_folds_in_work_that_grows_with_it() -> None:
    item = {"id": "msg_1", "type": "message", "status": "in_progress", "content": []}
    opening = [
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", "output_index": 0, "content_index": 0, "part": {"text": ""}},
    ]
    place = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0}
    assert_linear(
        lambda count: lambda: fold([*opening, *({**place, "delta": text} for text in texts(count))])
    )


def test_what_is_held_is_counted_when_it_is_copied() -> None:
    def growing(count: int) -> Callable[[], object]:
        def run() -> str:
            whole = ""
            for text in texts(count):
                whole += text
            return whole

        return run

    with pytest.raises(AssertionError):
        assert_linear(growing)
