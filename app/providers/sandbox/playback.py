"""An answer told over time: canonical events, each with the moment at which it happens.

Moments are seconds since the telling began. One word is one delta.
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
from app.providers.sandbox.limits import pieces

_AUDIO_PIECE = 8192  # base64 characters of one delta


class Beat(NamedTuple):
    """What happens ``at`` a moment: ``events``, and after them the stream may break off."""

    at: float
    events: tuple[Any, ...]
    breaks: Midway | None = None


@record
class Pace:
    """How fast an answer is told: over ``seconds`` where given, else at ``words_per_second``
    (0: all at once). ``midway`` breaks it off in the middle."""

    words_per_second: float
    seconds: float | None = None
    midway: Midway | None = None

    def duration(self, words: int) -> float:
        """Return the seconds that ``words`` words take."""
        if self.seconds is not None:
            return self.seconds
        return words / self.words_per_second if self.words_per_second else 0.0


def tell(response: Response, pace: Pace, failure: GatewayError) -> Iterator[Beat]:
    """Yield the beats of ``response``: the first at once, the last when its time is over.

    ``failure`` is what a stream that fails midway ends with.
    """
    groups = list(_groups(response))
    yield Beat(0.0, (Started(model=response.model, created=response.created),))
    yield from beats_of(groups, (Ended(response.usage),), pace, Failed(failure))


def beats_of(
    groups: Sequence[tuple[Any, ...]], ending: tuple[Any, ...], pace: Pace, failed: Failed
) -> Iterator[Beat]:
    """Yield ``groups`` of events spread evenly over the time that they take, ``ending`` when it
    is over; in their middle ``pace`` may break them off, with ``failed`` where it is to fail."""
    end = pace.duration(len(groups))
    step = end / max(len(groups), 1)
    middle = (len(groups) + 1) // 2 if pace.midway else len(groups)
    for index, events in enumerate(groups[:middle]):
        yield Beat(index * step, events)
    if pace.midway is None:
        yield Beat(end, ending)
    else:
        yield Beat(middle * step, (failed,) if pace.midway == "fail" else (), pace.midway)


def _groups(response: Response) -> Iterator[tuple[Event, ...]]:
    """Yield events in groups with one delta each; what opens a block comes with its first
    delta, what ends it with its last."""
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
    for index, piece in enumerate(pieces(text)):
        yield BlockDelta(block, piece, None if logprobs is None else logprobs[index : index + 1])


def _audio_deltas(part: AudioPart, block: int) -> Iterator[BlockDelta]:
    data = part.data or ""
    if part.transcript:
        yield BlockDelta(block, transcript=part.transcript)
    for start in range(0, len(data), _AUDIO_PIECE):
        yield BlockDelta(block, data[start : start + _AUDIO_PIECE])
