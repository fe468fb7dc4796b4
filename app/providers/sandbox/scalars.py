"""Made-up texts, numbers and booleans for a JSON Schema, the likeliest to fit first.

``variant`` numbers the items of a list that must differ; ``name`` is the member that a text is made of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from app.providers.sandbox.patterns import Unsupported, example
from app.providers.sandbox.schemas import MAX_CHARACTERS, JsonSchema, RootSchema, is_number

_FORMATS: Final[Mapping[str, str]] = {
    "date-time": "2026-01-{day:02}T12:00:00Z",
    "date": "2026-01-{day:02}",
    "time": "12:00:{day:02}Z",
    "duration": "P{day}D",
    "email": "name{variant}@example.com",
    "idn-email": "name{variant}@example.com",
    "hostname": "host{variant}.example.com",
    "ipv4": "192.0.2.{day}",
    "ipv6": "2001:db8::{day}",
    "uri": "https://example.com/{variant}",
    "url": "https://example.com/{variant}",
    "uuid": "00000000-0000-4000-8000-{variant:012}",
    "byte": "AAAA",
    "regex": "a{{{day}}}",
    "json-pointer": "/{variant}",
}


def _strings(root: RootSchema, flat: JsonSchema, name: str, variant: int) -> Iterator[str]:
    return map(root.work.write, _texts(root, flat, name, variant))


def _texts(root: RootSchema, flat: JsonSchema, name: str, variant: int) -> Iterator[str]:
    form = flat.get("format")
    if isinstance(form, str) and form in _FORMATS:
        yield _FORMATS[form].format(variant=variant + 1, day=variant % 28 + 1)
    if "pattern" in flat:
        yield from _match_pattern(root, flat, variant)
        return
    text = f"some {name}" if variant == 0 else f"{name} {variant + 1}"
    least, most = flat.get("minLength", 0), flat.get("maxLength", MAX_CHARACTERS)
    if not is_number(least) or not is_number(most) or least > MAX_CHARACTERS:
        return
    yield text if len(text) <= most else str(variant + 1).ljust(int(max(least, 0)), "x")[: int(max(most, 0))]
    yield (text + " " + "x" * int(least))[: int(max(least, 0))]


def _match_pattern(root: RootSchema, flat: JsonSchema, variant: int) -> Iterator[str]:
    """Yield texts that match the pattern, each longer than the one before."""
    pattern = root.pattern(flat["pattern"])
    for extra in (variant, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512):
        try:
            yield example(pattern, extra)
        except Unsupported:
            return


def _numbers(root: RootSchema, flat: JsonSchema, name: str, variant: int) -> Iterator[int | float]:
    step: Any = flat.get("multipleOf")
    step = step if is_number(step) and step > 0 else 1
    low: Any = flat.get("minimum", flat.get("exclusiveMinimum"))
    high: Any = flat.get("maximum", flat.get("exclusiveMaximum"))
    yield _multiple(step, variant + 1)
    yield _multiple(step, variant)
    if is_number(low):
        first = math.ceil(low / step) if abs(low / step) < 1e15 else 0
        yield from (_multiple(step, first + variant + more) for more in (0, 1))
        yield low
    if is_number(high):
        last = math.floor(high / step) if abs(high / step) < 1e15 else 0
        yield from (_multiple(step, last - variant - less) for less in (0, 1))
        yield high
    if is_number(low) and is_number(high):
        yield low + (high - low) / (variant + 2)
    yield variant + 0.5


def _multiple(step: float, times: int) -> int | float:
    exact = Decimal(str(step)) * times
    return int(exact) if exact == exact.to_integral_value() else float(exact)


def _integers(root: RootSchema, flat: JsonSchema, name: str, variant: int) -> Iterator[int]:
    for value in _numbers(root, flat, name, variant):
        yield math.ceil(value)
        yield math.floor(value)


Maker = Callable[[RootSchema, JsonSchema, str, int], Iterator[object]]

SCALARS: Final[Mapping[str, Maker]] = {
    "string": _strings,
    "number": _numbers,
    "integer": _integers,
    "boolean": lambda root, flat, name, variant: iter([variant % 2 == 0, variant % 2 == 1]),
    "null": lambda root, flat, name, variant: iter([None]),
}
