"""What every dialect's tests share: a context, frames at every cut, the order of events, and
the comparison of a folded answer with what the extractors read from the same recording.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from app.canonical.events import (
    Accumulator,
    BlockDelta,
    BlockEnded,
    BlockStarted,
    Ended,
    Event,
    Failed,
    Finished,
    Started,
)
from app.canonical.request import (
    AudioPart,
    ImagePart,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
)
from app.canonical.response import Choice, Response
from app.dialects.base import ClientContext, Frame, Patch, ServerContext, StreamDecoder
from app.wire.sse import SSEDecoder
from tests.traffic import answers

CHUNK_SIZES = (1, 2, 3, 7, 64, 1 << 30)


def counter() -> Callable[[str], str]:
    """A maker of ids that counts: ``call_1``, ``msg_2`` …"""
    numbers = itertools.count(1)
    return lambda prefix: f"{prefix}_{next(numbers)}"


def client_context(model: str = "some-model", **members: Any) -> ClientContext:
    """A client context with counted ids and a clock that stands still."""
    defaults: dict[str, Any] = {"new_id": counter(), "now": 1_700_000_000, "realm": "there"}
    return ClientContext(model=model, **{**defaults, **members})


def server_context(**members: Any) -> ServerContext:
    """A server context with counted ids and a clock that stands still."""
    return ServerContext(new_id=counter(), now=1_700_000_000, **members)


def sse_frames(body: bytes, size: int) -> Iterator[Frame]:
    """Frames of an SSE body fed ``size`` bytes at a time."""
    decoder = SSEDecoder()
    for start in range(0, len(body), size):
        for raw in decoder.feed(body[start : start + size]):
            data = None if raw.data.strip() == b"[DONE]" else json.loads(raw.data)
            yield Frame(raw.event, data)


def decoded(decoder: StreamDecoder, frames: Iterable[Frame]) -> list[Event]:
    """All events of a stream, the closing ones included."""
    events: list[Event] = []
    for frame in frames:
        events += decoder.done() if frame.data is None else decoder.feed(frame.event, frame.data)
    return events + decoder.eof()


def passed_frames(patch: Patch, frames: Iterable[Frame]) -> list[Frame]:
    """The client's frames for those of a provider, each read by the decoder of the patch first."""
    passed: list[Frame] = []
    for frame in frames:
        if patch.decoder is not None:
            patch.decoder.feed(frame.event, frame.data)
        passed += patch.frames(frame.event, frame.data)
    return passed


def fold(events: Iterable[Event]) -> Accumulator:
    """The events folded."""
    accumulator = Accumulator()
    for event in events:
        accumulator.feed(event)
    return accumulator


def assert_order(events: list[Event]) -> None:
    """Hold a decoder's events to the grammar that canonical/events.py states."""
    assert events, "a stream that says nothing is Failed"
    assert isinstance(events[-1], Ended | Failed)
    assert not any(isinstance(event, Ended | Failed) for event in events[:-1])
    assert sum(isinstance(event, Started) for event in events) <= 1
    if isinstance(events[-1], Ended):
        assert isinstance(events[0], Started)
    open_blocks: dict[int, BlockStarted] = {}
    seen: set[int] = set()
    finished: set[int] = set()
    for event in events:
        if isinstance(event, BlockStarted):
            assert event.block not in seen, "a block's number is used once"
            assert event.choice not in finished, "no block starts after its choice finished"
            assert_empty(event.part)
            seen.add(event.block)
            open_blocks[event.block] = event
        elif isinstance(event, BlockDelta):
            assert event.block in open_blocks, "a delta belongs to an open block"
        elif isinstance(event, BlockEnded):
            assert open_blocks.pop(event.block, None) is not None, "a block ends once"
        elif isinstance(event, Finished):
            assert event.choice not in finished, "a choice finishes once"
            assert all(block.choice != event.choice for block in open_blocks.values())
            finished.add(event.choice)
    if isinstance(events[-1], Ended):
        assert finished, "an ended stream has a finished choice"
        assert not open_blocks


def assert_empty(part: Part) -> None:
    """A block starts empty; only opaque parts and images come whole."""
    if isinstance(part, TextPart | RefusalPart | ReasoningPart):
        assert part.text == ""
    if isinstance(part, ToolCallPart):
        assert part.arguments == ""
        assert part.id
    if isinstance(part, AudioPart):
        assert not part.data


def parts_of(choice: Choice) -> list[Part]:
    """All parts of a choice, in order."""
    return [part for message in choice.messages for part in message.parts]


def summary(choice: Choice) -> dict[str, Any]:
    """A choice in the extractors' words, without what only some wires tell."""
    parts = parts_of(choice)
    return {
        "index": choice.index,
        "text": "".join(p.text for p in parts if isinstance(p, TextPart)),
        "reasoning": "".join(p.text for p in parts if isinstance(p, ReasoningPart)),
        "refusal": "".join(p.text for p in parts if isinstance(p, RefusalPart)),
        "tool_calls": [(p.name, answers.parsed(p.arguments)) for p in parts if isinstance(p, ToolCallPart)],
        "finish_raw": choice.finish.raw if choice.finish else None,
        "signatures": [
            p.signature.value for p in parts if isinstance(p, ReasoningPart | ToolCallPart) and p.signature
        ],
        "media": sum(isinstance(p, ImagePart | AudioPart) for p in parts),
        "opaque": [p.type for p in parts if isinstance(p, OpaquePart)],
    }


def expected(choice: answers.Choice) -> dict[str, Any]:
    """What an extractor read of a choice, in the form of ``summary``."""
    return {
        "index": choice.index,
        "text": choice.text,
        "reasoning": choice.reasoning + "".join(choice.summaries),
        "refusal": choice.refusal,
        "tool_calls": [(call.name, call.arguments) for call in choice.tool_calls],
        "finish_raw": None if choice.finish_raw is None else str(choice.finish_raw),
        "signatures": choice.signatures,
        "media": len(choice.media),
        "opaque": choice.opaque,
    }


def assert_usage(response: Response, answer: answers.Answer) -> None:
    """Every count that the wire reported is in the response's usage."""
    if answer.usage is None or answer.usage.total is None:
        assert response.usage is None
        return
    assert response.usage is not None
    told = {
        "input_tokens": answer.usage.input,
        "output_tokens": answer.usage.output,
        "cached_tokens": answer.usage.cached,
        "cache_write_tokens": answer.usage.cache_write,
        "reasoning_tokens": answer.usage.reasoning,
        "total": answer.usage.total,
    }
    got = {name: getattr(response.usage, name) for name, value in told.items() if value is not None}
    assert got == {name: value for name, value in told.items() if value is not None}


def without_ids(response: Response) -> list[list[Any]]:
    """The parts of every choice; ids that a decoder minted are told by their position."""
    return [
        [(p.name, p.arguments, p.signature) if isinstance(p, ToolCallPart) else p for p in parts_of(choice)]
        for choice in response.choices
    ]
