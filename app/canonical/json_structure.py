"""The structure of JSON as bytes: what bounds a text before anything is built from it.

All passes run at C speed and touch no Python object per value. Tests: tests/wire/test_json.py, tests/dialects/test_growth.py.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Final

_NOT_STRUCTURE: Final = bytes(set(range(256)) - set(b'[]{},"'))
_NOT_BRACKET: Final = b',"'
_STEPS: Final = bytes({ord("["): 1, ord("{"): 1, ord("]"): 255, ord("}"): 255}.get(i, 0) for i in range(256))


def openers_in(data: bytes) -> int:
    """Return how many opening brackets there are, within strings as well."""
    return data.count(b"[") + data.count(b"{")


def has_many_openers(data: bytes, most: int) -> bool:
    """Tell whether ``data`` has more than ``most`` opening brackets. It looks at those alone, which are few in most bodies."""
    count = 0
    for opener in (b"[", b"{"):
        place = -1
        while (place := data.find(opener, place + 1)) >= 0:
            count += 1
            if count > most:
                return True
    return False


def structure_of(data: bytes, others: bytes = _NOT_STRUCTURE) -> bytes:
    """Return the brackets and commas of ``data`` outside strings, in order: all but ``others``."""
    return b"".join(unescaped(data).translate(None, others).split(b'"')[::2])


def unescaped(data: bytes) -> bytes:
    """Return ``data`` without quotes that are escaped: each that is left begins or ends a string."""
    if b"\\\\" in data:
        data = data.replace(b"\\\\", b"")
    return data.replace(b'\\"', b"") if b'\\"' in data else data


def elements_in(data: bytes) -> int:
    """Return how many members and elements JSON has, as a bound from above: a comma and a bracket are one each."""
    structure = structure_of(data)
    return openers_in(structure) + structure.count(b",")


def depth_of(structure: bytes) -> int:
    """Return how deep objects and arrays are nested, by what ``structure_of`` returned."""
    steps = structure.translate(_STEPS, _NOT_BRACKET)
    return max(accumulate(memoryview(steps).cast("b")), default=0)


def is_within(data: bytes, *, depth: int, elements: int) -> bool:
    """Tell whether JSON is nested no deeper than ``depth``, and has no more members and elements than ``elements``."""
    is_flat = not has_many_openers(data, depth)
    if is_flat and openers_in(data) + data.count(b",") <= elements:
        return True
    if data.count(b'"') > 5 * elements and unescaped(data).count(b'"') > 5 * elements:
        return False  # a member has two strings at most
    structure = structure_of(data)
    if openers_in(structure) + structure.count(b",") > elements:
        return False
    return is_flat or depth_of(structure) <= depth
