"""Play an answer over time: canonical events, each with the moment at which it goes out.

Moments are seconds since the start. One word is one delta.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

from app.canonical.events import BlockDelta, BlockEnded, BlockStarted, Event, Failed, replay
from app.canonical.record import record
from app.canonical.response import Response
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
    started, *events, ended = replay(response)
    yield ScheduledEvents(0.0, (started,))
    yield from schedule(list(_groups(events)), (ended,), timing, Failed(failure))


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


def _groups(events: Iterable[Event]) -> Iterator[tuple[Event, ...]]:
    """Yield events in groups of one delta each; the start of a block goes with its first delta, its end
    with its last."""
    group: list[Event] = []
    for event in chain.from_iterable(map(_pieces, events)):
        if group and not isinstance(event, BlockEnded) and not isinstance(group[-1], BlockStarted):
            yield tuple(group)
            group = []
        group.append(event)
    yield tuple(group)


def _pieces(event: Event) -> list[Event]:
    """Return a delta as deltas of one word or one piece of sound; other events as they are."""
    if not isinstance(event, BlockDelta):
        return [event]
    block, text = event.block, event.text
    if event.transcript:
        pieces = [text[start : start + _AUDIO_PIECE] for start in range(0, len(text), _AUDIO_PIECE)]
        return [
            BlockDelta(block, transcript=event.transcript),
            *(BlockDelta(block, piece) for piece in pieces),
        ]
    rows = event.logprobs
    tokens = enumerate(split_tokens(text))
    return [BlockDelta(block, token, rows and rows[at : at + 1]) for at, token in tokens] or [event]
