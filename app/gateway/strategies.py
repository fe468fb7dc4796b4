"""Order the targets of an alias by what this process measured, or by price.

``latency``: the lowest median of the seconds to first content is first. One call in twenty goes to another
target, so that its latency stays known; a target that was not tried lately goes before all.
``cheapest``: the lowest estimate of this request's cost is first. ``least-busy``: the fewest open attempts.
Equal targets keep their order, which was drawn by weight. Targets of one model with several keys count as
one. Measurements are kept per process, for five minutes.

Tests: tests/gateway/test_strategies.py, tests/governance/test_strategies.py.
"""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from app.gateway.call import Call

MEASURED: Final = frozenset({"latency", "cheapest", "least-busy"})
"""The strategies that need more than the configuration."""

_MAX_ANSWERS: Final = 20  # measured for one target
_WINDOW: Final = 300.0  # seconds that a measurement counts
_EXPLORATION: Final = 1 / 20  # share of calls
_UNTRIED: Final = -1.0
_UNKNOWN: Final = float("inf")

Place = tuple[str, str]
"""A provider's name and a model."""

Price = Callable[[Call, Place], int | None]


@dataclass(slots=True)
class _Record:
    """When a target was last tried, and its answers: the time and the seconds to first content of each."""

    tried_at: float = -_UNKNOWN
    answers: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=_MAX_ANSWERS))


class Strategies:
    """What one process has measured of the targets that strategies order.

    ``price`` estimates what a call costs at a place in nano-dollars, None where no price is known.
    ``monotonic`` tells seconds, ``draw`` a number in [0, 1).
    """

    def __init__(
        self,
        price: Price,
        monotonic: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._price = price
        self._now = monotonic
        self._draw = draw
        self._open: Counter[Place] = Counter()
        self._records: dict[Place, _Record] = {}

    def order(self, strategy: str, call: Call, places: list[Place]) -> list[Place]:
        """Return ``places`` in the order of ``strategy``."""
        if strategy not in MEASURED:
            return places
        measures = self._measure(strategy, call, places)
        ordered = sorted(places, key=measures.__getitem__)
        if strategy != "latency" or call.progress.only_looks or _UNTRIED in measures.values():
            return ordered
        return self._explore(ordered)

    def ties(self, strategy: str, call: Call, places: list[Place]) -> bool:
        """Tell whether two places have the same measure, so that the weights decide which comes first."""
        measures = self._measure(strategy, call, places).values()
        return len(set(measures)) < len(measures)

    def _measure(self, strategy: str, call: Call, places: list[Place]) -> Mapping[Place, float]:
        """Return the measure of each place by ``strategy``; the lowest is best."""
        if strategy == "cheapest":
            return {place: _or_last(self._price(call, place)) for place in places}
        if strategy == "least-busy":
            return {place: self._open[place] for place in places}
        return {place: self._seconds(place) for place in places}

    def record_start(self, place: Place) -> None:
        """Note the start of an attempt at ``place``."""
        self._open[place] += 1
        if place in self._records:
            self._records[place].tried_at = self._now()

    def record_end(self, place: Place) -> None:
        """Note the end of an attempt at ``place``."""
        self._open[place] -= 1
        if not self._open[place]:
            del self._open[place]

    def record_latency(self, place: Place, seconds: float) -> None:
        """Note the seconds to first content of an answer from ``place``."""
        if place in self._records:
            self._records[place].answers.append((self._now(), seconds))

    def _explore(self, ordered: list[Place]) -> list[Place]:
        """Return the places, once in twenty times with another one first."""
        if len(ordered) > 1 and self._draw() < _EXPLORATION:
            other = ordered.pop(1 + int(self._draw() * (len(ordered) - 1)))
            return [other, *ordered]
        return ordered

    def _seconds(self, place: Place) -> float:
        """Return the median latency of a place. One that was not tried lately goes first, once; one that was
        tried and has not answered goes last."""
        record = self._records.setdefault(place, _Record())
        since = self._now() - _WINDOW
        while record.answers and record.answers[0][0] < since:
            record.answers.popleft()
        if record.answers:
            return median(seconds for _, seconds in record.answers)
        return _UNTRIED if record.tried_at < since else _UNKNOWN


def _or_last(price: int | None) -> float:
    return _UNKNOWN if price is None else price
