"""Bytes that repeat except for a few JSON strings in them.

The places of the strings are found once; from then on, comparing the bytes around them and parsing each string
replaces reading all of it. Tests: tests/wire/test_json_template.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.wire.json import dumps, loads_string


class JsonTemplate:
    """``parts`` are the bytes before, between and after the strings, with the quotes around each of them.

    ``order`` holds, for each string as the caller counts them, its number in the bytes."""

    def __init__(self, parts: Sequence[bytes], order: Sequence[int]) -> None:
        self._head, *self._between, self._tail = parts
        self._least = len(self._head) + len(self._tail)
        self._seam = self._tail + self._head
        self._order = order

    def rows(self, data: bytes) -> list[list[str]] | None:
        """Return the strings in ``data``, a row for each time that it repeats the template; None where it is anything else.

        What parses as a string between two quotes cannot end it, so the bytes around keep their meaning.
        """
        head, tail = self._head, self._tail
        if len(data) < self._least or not data.startswith(head) or not data.endswith(tail):
            return None
        rows = []
        try:
            for piece in data[len(head) : len(data) - len(tail)].split(self._seam):
                rows.append(self._strings(piece) if self._between else [loads_string(piece)])
        except ValueError:
            return None
        return rows

    def _strings(self, rest: bytes) -> list[str]:
        """Return the strings of one row; raises ``ValueError`` where a part between them is missing."""
        strings = []
        for part in self._between:
            text, gap, rest = rest.partition(part)
            if not gap:
                raise ValueError("another template")
            strings.append(loads_string(text))
        strings.append(loads_string(rest))
        return [strings[number] for number in self._order]

    def filled(self, strings: Sequence[str]) -> bytes:
        """Return the bytes with ``strings`` in the gaps."""
        pieces = [self._head]
        for number, part in enumerate((*self._between, self._tail)):
            pieces += (dumps(strings[self._order.index(number)])[1:-1], part)
        return b"".join(pieces)


def template_of(data: bytes, strings: Sequence[str]) -> JsonTemplate | None:
    """Return ``data`` as a template with a gap for each of ``strings``; None if one of them does not occur exactly
    once.

    The caller checks whether a gap is at the right place: the same string may be written in another way elsewhere.
    """
    literals = [dumps(text) for text in strings]
    if any(data.count(text) != 1 for text in literals):
        return None
    starts = [data.find(text) + 1 for text in literals]
    order = sorted(range(len(strings)), key=starts.__getitem__)
    parts, at = [], 0
    for number in order:
        parts.append(data[at : starts[number]])
        at = starts[number] + len(literals[number]) - 2
    return JsonTemplate([*parts, data[at:]], [order.index(number) for number in range(len(strings))])
