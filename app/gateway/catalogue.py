"""Read the price catalogue: ``catalogue.jsonl``, one line of JSON for each provider.

The library (genai-prices) keeps every model as objects and takes a quarter of a second of CPU to load. Nearly all
prices are products of counts and rates, so ``python -m tests.catalogue --write`` exports these, and a test holds
the file to the library. A line is ``[provider, [providers to fall back to], [[match, window, periods], …]]``:

- ``match`` is ``[kind, argument]``, of the library's kinds ``equals``, ``starts_with``, ``ends_with``,
  ``contains``, ``regex``, ``or`` and ``and``;
- ``window`` is the context window in tokens, or null;
- ``periods`` is ``[[first day or null, steps], …]``, the last that has begun holds; ``steps`` is ``[[above, input,
  output, cached, cache write], …]``: US dollars for a million tokens of a call with more input tokens than
  ``above``. Null where the price is no such product.

Tests: tests/gateway/test_catalogue.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

from app.canonical.response import Usage

FILE: Final = Path(__file__).with_name("catalogue.jsonl")
_MILLION: Final = 1_000_000
_COMPACT_DATE: Final = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


class Price(NamedTuple):
    """US dollars for input, output and both."""

    input: Decimal
    output: Decimal
    total: Decimal


class Rates(NamedTuple):
    """US dollars for a million tokens of a call with more than ``above`` input tokens."""

    above: int
    input: Decimal
    output: Decimal
    cached: Decimal
    cache_write: Decimal

    def price(self, usage: Usage) -> Price:
        """Return the price of ``usage``; raises ValueError for more cached tokens than input tokens."""
        fresh = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
        if fresh < 0:
            raise ValueError("more cached tokens than input tokens")
        cost_in = fresh * self.input + usage.cached_tokens * self.cached
        if usage.cache_write_tokens:
            cost_in += usage.cache_write_tokens * self.cache_write
        cost_in /= _MILLION
        cost_out = usage.output_tokens * self.output / _MILLION
        return Price(cost_in, cost_out, cost_in + cost_out)


class Period(NamedTuple):
    """The rates from a day on (UTC; None: ever since), in order of ``above``."""

    begins: date | None
    steps: tuple[Rates, ...]


class Model(NamedTuple):
    """A model of the catalogue: its context window in tokens, None where unknown, and its prices, None where they
    are no products."""

    window: int | None
    periods: tuple[Period, ...] | None

    def rates(self, input_tokens: int) -> Rates | None:
        """Return what a call with ``input_tokens`` is charged today."""
        if self.periods is None:
            return None
        current = self.periods[0]
        if len(self.periods) > 1:
            today = datetime.now(tz=UTC).date()
            begun = (period for period in self.periods if period.begins is None or period.begins <= today)
            *_, current = current, *begun
        rates = current.steps[0]
        for step in current.steps[1:]:
            rates = step if step.above < input_tokens else rates
        return rates


class Catalogue:
    """The models of ``file``; a provider's line is read at its first look-up."""

    def __init__(self, file: Path = FILE) -> None:
        self._file = file
        self._lines: dict[str, bytes] | None = None
        self._providers: dict[str, tuple[Sequence[str], Sequence[Any]]] = {}

    def model(self, provider: str, name: str) -> Model | None:
        """Return the model that the catalogue's ``provider`` calls ``name``, as the library finds it, or None."""
        name = name.lower()
        dashed = _COMPACT_DATE.sub(_dash_date, name)
        for spelling in dict.fromkeys((name, dashed)):
            for match, window, periods in self._rows(provider):
                if _matches(match, spelling):
                    return Model(window, periods and tuple(map(_period, periods)))
        return None

    def _rows(self, provider: str) -> Iterator[Any]:
        fallbacks, rows = self._line(provider)
        yield from rows
        for other in fallbacks:
            yield from self._line(other)[1]

    def _line(self, provider: str) -> tuple[Sequence[str], Sequence[Any]]:
        if provider not in self._providers:
            line = self._read().get(provider)
            self._providers[provider] = tuple(json.loads(line)[1:]) if line is not None else ((), ())
        return self._providers[provider]

    def _read(self) -> dict[str, bytes]:
        if self._lines is None:
            lines = self._file.read_bytes().splitlines()
            self._lines = {line.split(b'"', 2)[1].decode(): line for line in lines}
        return self._lines


def _period(row: Any) -> Period:
    begins, steps = row
    day = None if begins is None else date.fromisoformat(begins)
    return Period(day, tuple(Rates(above, *map(Decimal, rates)) for above, *rates in steps))


_KINDS: Final[Mapping[str, Callable[[Any, str], bool]]] = {
    "or": lambda clauses, name: any(_matches(clause, name) for clause in clauses),
    "and": lambda clauses, name: all(_matches(clause, name) for clause in clauses),
    "regex": lambda pattern, name: re.search(pattern, name) is not None,
    "equals": lambda text, name: bool(name == text),
    "starts_with": lambda prefix, name: name.startswith(prefix),
    "ends_with": lambda suffix, name: name.endswith(suffix),
    "contains": lambda part, name: part in name,
}


def _matches(clause: Any, name: str) -> bool:
    kind, argument = clause
    return _KINDS[kind](argument, name)


def _dash_date(match: re.Match[str]) -> str:
    """Return ``-2025-12-11`` for ``-20251211``, which routers write, as the library does."""
    try:
        day = date(*map(int, match.groups()))
    except ValueError:
        return match[0]
    return f"-{day.isoformat()}"
