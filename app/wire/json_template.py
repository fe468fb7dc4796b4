"""Bytes that repeat except for a few JSON strings and numbers in them.

The places of these values are found once; from then on, comparing the bytes around them and parsing each value
replaces reading all of it. Tests: tests/wire/test_json_template.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from app.wire.json import dumps, loads_string

Value = str | int

_DIGITS: Final = 15
"""Most digits of a number."""


class JsonTemplate:
    """``parts`` are the bytes before, between and after the values, with the quotes around each string.

    ``readers`` read the values as they come in the bytes. ``order`` holds, for each value as the caller counts them, its
    number in the bytes."""

    def __init__(
        self, parts: Sequence[bytes], readers: Sequence[Callable[[bytes], Value]], order: Sequence[int]
    ) -> None:
        self._head, *self._between, self._tail = parts
        self._least = len(self._head) + len(self._tail)
        self._seam = self._tail + self._head
        *self._readers, self._last = readers
        self._order = order

    def rows(self, data: bytes) -> list[list[Value]] | None:
        """Return the values in ``data``, a row for each time that it repeats the template; None where it is anything else.

        What parses as a string between two quotes cannot end it, nor what parses as a number without quotes, so the bytes
        around keep their meaning.
        """
        head, tail = self._head, self._tail
        if len(data) < self._least or not data.startswith(head) or not data.endswith(tail):
            return None
        rows = []
        try:
            for piece in data[len(head) : len(data) - len(tail)].split(self._seam):
                rows.append(self._values(piece) if self._between else [self._last(piece)])
        except ValueError:
            return None
        return rows

    def _values(self, rest: bytes) -> list[Value]:
        """Return the values of one row; raises ``ValueError`` where a part between them is missing."""
        values = []
        for part, read in zip(self._between, self._readers, strict=True):
            value, gap, rest = rest.partition(part)
            if not gap:
                raise ValueError("another template")
            values.append(read(value))
        values.append(self._last(rest))
        return [values[number] for number in self._order]

    def filled(self, values: Sequence[Value]) -> bytes:
        """Return the bytes with ``values`` in the gaps."""
        pieces = [self._head]
        for number, part in enumerate((*self._between, self._tail)):
            value = values[self._order.index(number)]
            literal = dumps(value)
            pieces += (literal if isinstance(value, int) else literal[1:-1], part)
        return b"".join(pieces)


def template_of(data: bytes, values: Sequence[Value], names: Sequence[str | int]) -> JsonTemplate | None:
    """Return ``data`` as a template with a gap for each of ``values``, members of these names; None if one of them does not
    occur exactly once.

    The caller checks whether a gap is at the right place: the same value may be written in another way elsewhere.
    """
    gaps = [list(_pattern_of(value, name).finditer(data)) for value, name in zip(values, names, strict=True)]
    if any(len(found) != 1 for found in gaps):
        return None
    spans = [found[0].span(1) for found in gaps]
    order = sorted(range(len(values)), key=spans.__getitem__)
    parts, at = [], 0
    for number in order:
        start, end = spans[number]
        parts.append(data[at:start])
        at = end
    readers = [_READERS[type(values[number])] for number in order]
    return JsonTemplate([*parts, data[at:]], readers, [order.index(number) for number in range(len(values))])


def _pattern_of(value: Value, name: str | int) -> re.Pattern[bytes]:
    """Return what finds a value as it is written: a string anywhere, a number as the member ``name``."""
    literal = re.escape(dumps(value))
    if isinstance(value, str):
        return re.compile(b'"(%b)"' % literal[1:-1])
    return re.compile(rb"%b: ?(%b)(?=[,}\s])" % (re.escape(dumps(name)), literal))


def _number_of(text: bytes) -> int:
    """Return the number that ``text`` is, plain digits; raises ``ValueError`` for anything else."""
    if not text.isdigit() or len(text) > _DIGITS or text.startswith(b"0") and text != b"0":
        raise ValueError("no plain number")
    return int(text)


_READERS: Final[Mapping[type, Callable[[bytes], Value]]] = {str: loads_string, int: _number_of}
