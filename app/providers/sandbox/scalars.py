"""The simplest values of JSON's scalar types that a schema may accept.

Each maker yields candidates, best first; the caller checks them against the schema.
``turn`` tells apart the values of one list that must differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from app.providers.sandbox.patterns import Unsupported
from app.providers.sandbox.schemas import MAX_CHARACTERS, JsonSchema, Schemas, is_number

_FORMATS: Final[Mapping[str, str]] = {
    "date-time": "2026-01-{day:02}T12:00:00Z",
    "date": "2026-01-{day:02}",
    "time": "12:00:{day:02}Z",
    "duration": "P{day}D",
    "email": "name{turn}@example.com",
    "idn-email": "name{turn}@example.com",
    "hostname": "host{turn}.example.com",
    "ipv4": "192.0.2.{day}",
    "ipv6": "2001:db8::{day}",
    "uri": "https://example.com/{turn}",
    "url": "https://example.com/{turn}",
    "uuid": "00000000-0000-4000-8000-{turn:012}",
    "byte": "AAAA",
    "regex": "a{{{day}}}",
    "json-pointer": "/{turn}",
}


def _strings(schemas: Schemas, flat: JsonSchema, name: str, turn: int) -> Iterator[str]:
    return map(schemas.work.write, _texts(schemas, flat, name, turn))


def _texts(schemas: Schemas, flat: JsonSchema, name: str, turn: int) -> Iterator[str]:
    wanted = flat.get("format")
    if isinstance(wanted, str) and wanted in _FORMATS:
        yield _FORMATS[wanted].format(turn=turn + 1, day=turn % 28 + 1)
    if "pattern" in flat:
        yield from _match_pattern(schemas, flat, turn)
        return
    text = f"some {name}" if turn == 0 else f"{name} {turn + 1}"
    least, most = flat.get("minLength", 0), flat.get("maxLength", MAX_CHARACTERS)
    if not is_number(least) or not is_number(most) or least > MAX_CHARACTERS:
        return
    yield text if len(text) <= most else str(turn + 1).ljust(int(max(least, 0)), "x")[: int(max(most, 0))]
    yield (text + " " + "x" * int(least))[: int(max(least, 0))]


def _match_pattern(schemas: Schemas, flat: JsonSchema, turn: int) -> Iterator[str]:
    """Yield texts that match the pattern, ever longer ones."""
    pattern = schemas.pattern(flat["pattern"])
    for extra in (turn, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512):
        try:
            yield pattern.example(extra)
        except Unsupported:
            return


def _numbers(schemas: Schemas, flat: JsonSchema, name: str, turn: int) -> Iterator[int | float]:
    step: Any = flat.get("multipleOf")
    step = step if is_number(step) and step > 0 else 1
    low: Any = flat.get("minimum", flat.get("exclusiveMinimum"))
    high: Any = flat.get("maximum", flat.get("exclusiveMaximum"))
    yield _multiple(step, turn + 1)
    yield _multiple(step, turn)
    if is_number(low):
        first = math.ceil(low / step) if abs(low / step) < 1e15 else 0
        yield from (_multiple(step, first + turn + more) for more in (0, 1))
        yield low
    if is_number(high):
        last = math.floor(high / step) if abs(high / step) < 1e15 else 0
        yield from (_multiple(step, last - turn - less) for less in (0, 1))
        yield high
    if is_number(low) and is_number(high):
        yield low + (high - low) / (turn + 2)
    yield turn + 0.5


def _multiple(step: float, times: int) -> int | float:
    exact = Decimal(str(step)) * times
    return int(exact) if exact == exact.to_integral_value() else float(exact)


def _integers(schemas: Schemas, flat: JsonSchema, name: str, turn: int) -> Iterator[int]:
    for value in _numbers(schemas, flat, name, turn):
        yield math.ceil(value)
        yield math.floor(value)


Maker = Callable[[Schemas, JsonSchema, str, int], Iterator[object]]

SCALARS: Final[Mapping[str, Maker]] = {
    "string": _strings,
    "number": _numbers,
    "integer": _integers,
    "boolean": lambda schemas, flat, name, turn: iter([turn % 2 == 0, turn % 2 == 1]),
    "null": lambda schemas, flat, name, turn: iter([None]),
}
