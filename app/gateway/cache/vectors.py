"""Vectors of cached answers, in groups within which they may be compared; a look-up compares all of a group.

Tests: tests/gateway/test_cache_semantics.py.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

from app.state.cache_records import Vector

_MOST: Final = 64 * 1024 * 1024  # bytes of a process
NEWEST: Final = 2_000
"""Vectors of a group."""

NEAREST: Final = 5
"""Answers that a look-up returns at most, the nearest first."""


class Vectors:
    """The vectors of a process; groups used least recently make room."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._size = 0
        self._groups: OrderedDict[str, _Group] = OrderedDict()

    def add(self, group: str, name: str, vector: Sequence[float]) -> None:
        """Add the vector of the answer ``name``, unless it has no direction."""
        unit = _unit(vector)
        if unit is None:
            return
        rows = self._groups.get(group)
        if rows is not None:
            self._size -= rows.size
        if rows is None or rows.length != len(unit):
            rows = self._groups[group] = _Group(len(unit))
        self._groups.move_to_end(group)
        rows.add(name, unit)
        self._size += rows.size
        while len(self._groups) > 1 and self._size > self._most:
            self._size -= self._groups.popitem(last=False)[1].size

    def learn(self, group: str, vectors: Sequence[Vector]) -> None:
        """Add the vectors of other processes, newest first, as ``pack`` made them."""
        import numpy

        for one in reversed(vectors):
            rows = self._groups.get(group)
            if rows is None or one.id not in rows:
                self.add(group, one.id, numpy.frombuffer(one.vector, dtype="<f2").tolist())
                rows = self._groups.get(group)
            if rows is not None:
                rows.newest = max(rows.newest, one.made_at)

    def newest(self, group: str) -> float:
        """Return the greatest number of the vectors of other processes, 0 if there are none."""
        rows = self._groups.get(group)
        return 0.0 if rows is None else rows.newest

    def near(self, group: str, vector: Sequence[float], least: float) -> list[tuple[str, float]]:
        """Return the names of the few nearest answers whose cosine is at least ``least``, the nearest first."""
        rows, unit = self._groups.get(group), _unit(vector)
        if rows is None or unit is None or rows.length != len(unit):
            return []
        self._groups.move_to_end(group)
        return rows.near(unit, least)

    def drop(self, group: str, name: str) -> None:
        """Remove an answer that is no longer cached."""
        if group in self._groups:
            self._groups[group].drop(name)

    def clear(self) -> None:
        """Remove all vectors."""
        self._groups.clear()
        self._size = 0


class _Group:
    """The newest vectors of one group, in the rows of one array that grows.

    The numbers have half precision, as they are stored, but the form that numpy multiplies at once: to convert 2,000
    vectors takes ten times as long as the look-up."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.newest = 0.0
        self._places: OrderedDict[str, int] = OrderedDict()
        self._names: list[str | None] = []
        self._rows = _rows(1, length)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    @property
    def size(self) -> int:
        """Return the bytes of the array, and some for the rest."""
        return int(self._rows.nbytes) + 1024

    def add(self, name: str, unit: Any) -> None:
        place = self._places.pop(name, None)
        if place is None:
            place = self._free_place()
        self._places[name] = place
        self._names[place] = name
        self._rows[place] = unit.astype("float16")

    def drop(self, name: str) -> None:
        place = self._places.pop(name, None)
        if place is not None:
            self._names[place] = None
            self._rows[place] = 0

    def near(self, unit: Any, least: float) -> list[tuple[str, float]]:
        import numpy

        rows = self._rows[: len(self._names)]
        cosines = numpy.einsum("ij,j->i", rows, unit)  # `@` wakes threads, which spin where cores are busy
        places = cosines.argsort()[::-1][:NEAREST]
        nearest = [(self._names[place], round_cosine(float(cosines[place]))) for place in places]
        return [(name, cosine) for name, cosine in nearest if name is not None and cosine >= least]

    def _free_place(self) -> int:
        if len(self._names) < NEWEST:
            self._names.append(None)
            if len(self._names) > len(self._rows):
                grown = _rows(min(NEWEST, 2 * len(self._rows)), self.length)
                grown[: len(self._rows)] = self._rows
                self._rows = grown
            return len(self._names) - 1
        if len(self._places) < NEWEST:
            return self._names.index(None)
        return self._places.popitem(last=False)[1]


def pack(vector: Sequence[float]) -> bytes | None:
    """Return the direction of a vector in half precision, None where it has none."""
    unit = _unit(vector)
    return None if unit is None else bytes(unit.astype("<f2").tobytes())


def round_cosine(cosine: float) -> float:
    """Return a cosine as it is reported and compared: rounded to four digits, at most 1."""
    return round(min(1.0, cosine), 4)


def _rows(count: int, length: int) -> Any:
    import numpy

    return numpy.zeros((count, length), dtype="float32")


def _unit(vector: Sequence[float]) -> Any:
    """Return the direction of a vector; None where it has none."""
    import numpy

    try:
        array = numpy.asarray(vector, dtype="float32")
    except (TypeError, ValueError):  # no list of numbers: an embedding in another form
        return None
    length = float(numpy.linalg.norm(array)) if array.ndim == 1 and array.size else 0.0
    return array / length if length > 0 and numpy.isfinite(length) else None
