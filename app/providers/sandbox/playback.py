"""Play an answer over time: canonical events, each with the moment at which it goes out.

Moments are seconds since the start. One word is one delta.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from app.canonical.events import (
    BlockDelta,
    BlockEnded,
    BlockStarted,
    Ended,
    Event,
    Failed,
    Finished,
    Started,
)
from app.canonical.record import record
from app.canonical.request import AudioPart, Part, ReasoningPart, RefusalPart, TextPart, ToolCallPart
from app.canonical.response import Finish, Response
from app.errors import GatewayError
from app.providers.sandbox.directives import Midway
from app.providers.sandbox.limits import split_tokens

_AUDIO_PIECE = 8192  # base64 characters of one delta


class ScheduledEvents(NamedTuple):
    """Events and the moment ``at`` which they go out; ``breaks`` says how the stream breaks off after them."""

    at: float
    events: tuple[Any, ...]
    breaks: Midway | None = None


@record
class Timing:
    """How fast an answer is played: over ``seconds`` where set, else at ``words_per_second``
    (0: all at once). ``midway`` breaks it off in the middle."""

    words_per_second: float
    seconds: float | None = None
    midway: Midway | None = None

    def duration(self, words: int) -> float:
        """Return the seconds that ``words`` words take."""
        if self.seconds is not None:
            return self.seconds
        return words / self.words_per_second if self.words_per_second else 0.0


def play(response: Response, timing: Timing, failure: GatewayError) -> Iterator[ScheduledEvents]:
    """Yield the events of ``response``: the first at once, the last when its time is over.

    A stream that fails midway ends with ``failure``.
    """
    groups = list(_groups(response))
    yield ScheduledEvents(0.0, (Started(model=response.model, created=response.created),))
    yield from schedule(groups, (Ended(response.usage),), timing, Failed(failure))


def schedule(
    groups: Sequence[tuple[Any, ...]], ending: tuple[Any, ...], timing: Timing, failed: Failed
) -> Iterator[ScheduledEvents]:
    """Yield ``groups`` of events, spread evenly over their time, then ``ending``.

    ``timing`` may break them off in the middle, with the event ``failed`` where it is to fail.
    """
    end = timing.duration(len(groups))
    step = end / max(len(groups), 1)
    middle = (len(groups) + 1) // 2 if timing.midway else len(groups)
    for index, events in enumerate(groups[:middle]):
        yield ScheduledEvents(index * step, events)
    if timing.midway is None:
        yield ScheduledEvents(end, ending)
    else:
        yield ScheduledEvents(middle * step, (failed,) if timing.midway == "fail" else (), timing.midway)


def _groups(response: Response) -> Iterator[tuple[Event, ...]]:
    """Yield events in groups of one delta each; the start of a block goes with its first delta, its end
    with its last."""
    block = 0
    for choice in response.choices:
        for item, message in enumerate(choice.messages):
            for part in message.parts:
                yield from _block(part, BlockStarted(block, item, _opening(part), choice.index))
                block += 1
        yield (Finished(choice.finish or Finish("stop"), choice.index),)


def _block(part: Part, started: BlockStarted) -> Iterator[tuple[Event, ...]]:
    deltas = list(_deltas(part, started.block)) or [BlockDelta(started.block)]
    signature = part.signature if isinstance(part, ReasoningPart | ToolCallPart) else None
    ended = BlockEnded(started.block, signature=signature)
    for index, delta in enumerate(deltas):
        first: tuple[Event, ...] = (started,) if index == 0 else ()
        last: tuple[Event, ...] = (ended,) if index == len(deltas) - 1 else ()
        yield (*first, delta, *last)


def _opening(part: Part) -> Part:
    """Return the part as it is before its first delta."""
    if isinstance(part, TextPart):
        return replace(part, text="", logprobs=None)
    if isinstance(part, ToolCallPart):
        return replace(part, arguments="", signature=None)
    if isinstance(part, AudioPart):
        return replace(part, data=None, transcript=None)
    if isinstance(part, ReasoningPart):
        return replace(part, text="", signature=None)
    return replace(part, text="") if isinstance(part, RefusalPart) else part


def _deltas(part: Part, block: int) -> Iterator[BlockDelta]:
    if isinstance(part, AudioPart):
        yield from _audio_deltas(part, block)
        return
    text = part.arguments if isinstance(part, ToolCallPart) else getattr(part, "text", "")
    logprobs = part.logprobs if isinstance(part, TextPart) else None
    for index, piece in enumerate(split_tokens(text)):
        yield BlockDelta(block, piece, None if logprobs is None else logprobs[index : index + 1])


def _audio_deltas(part: AudioPart, block: int) -> Iterator[BlockDelta]:
    data = part.data or ""
    if part.transcript:
        yield BlockDelta(block, transcript=part.transcript)
    for start in range(0, len(data), _AUDIO_PIECE):
        yield BlockDelta(block, data[start : start + _AUDIO_PIECE])
