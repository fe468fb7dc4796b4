"""Play an answer over time: canonical events, each with the moment at which it goes out.

Moments are seconds since the start. One word is one delta.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

from app.canonical.events import BlockDelta, BlockEnded, BlockStarted, Event, Failed, replay
from app.canonical.response import Response
from app.errors import GatewayError
from app.providers.sandbox.directives import Directives, Midway
from app.providers.sandbox.limits import split_tokens

FAILURE: Final = "The sandbox failed midway, as it was asked to."
_AUDIO_PIECE: Final = 8192  # base64 characters of one delta


class ScheduledEvents(NamedTuple):
    """Events and the moment ``at`` which they go out; ``breaks`` says how the stream breaks off after them."""

    at: float
    events: tuple[Any, ...]
    breaks: Midway | None = None


def play(response: Response, words_per_second: float, directives: Directives) -> Iterator[ScheduledEvents]:
    """Yield the events of ``response``: the first at once, the last when its time is over."""
    start, *events, end = replay(response)
    yield ScheduledEvents(0.0, (start,))
    yield from schedule(list(_groups(events)), end, words_per_second, directives)


def schedule(
    groups: Sequence[tuple[Any, ...]], ending: Any, words_per_second: float, directives: Directives
) -> Iterator[ScheduledEvents]:
    """Yield ``groups`` of events, spread evenly over their time, then ``ending``.

    They take the seconds of ``directives``, else those of as many words (0 words per second: none). The directives may
    break them off in the middle.
    """
    usual = len(groups) / words_per_second if words_per_second else 0.0
    end = usual if directives.seconds is None else directives.seconds
    step = end / max(len(groups), 1)
    middle = (len(groups) + 1) // 2 if directives.midway else len(groups)
    for index, events in enumerate(groups[:middle]):
        yield ScheduledEvents(index * step, events)
    if directives.midway is None:
        yield ScheduledEvents(end, (ending,))
        return
    failure = Failed(GatewayError("upstream_error", FAILURE, status=500))
    yield ScheduledEvents(middle * step, (failure,) if directives.midway == "fail" else (), directives.midway)


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
