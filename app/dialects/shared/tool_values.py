"""JSON that a model or a tool wrote, for wires that want it as a value and not as text.

Whatever stands in such a text, it never fails a call: what JSON cannot say (``NaN``, ``1e999``,
more nesting than servers read) is said in the nearest form, and what would not come out as it
went in stays text.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any, NoReturn

from app.dialects.shared.lenient_json import is_shallow, json_text


class _Reading:
    """Reads one text, noting whether all of it can be said in JSON again."""

    def __init__(self) -> None:
        self.exact = True

    def value(self, text: str) -> Any:
        """Return the value; raises ValueError for what is no JSON."""
        if not is_shallow(text):
            raise ValueError("nested too deeply")
        return json.loads(
            text, parse_float=self._real, parse_constant=self._constant, object_pairs_hook=self._members
        )

    def _members(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        self.exact = self.exact and len(members) == len(pairs)
        return members

    def _real(self, digits: str) -> Any:
        number = float(digits)
        if not math.isfinite(number):
            return self._constant(digits)
        self.exact = self.exact and Decimal(digits) == Decimal(repr(number))
        return number

    def _constant(self, word: str) -> str:
        self.exact = False
        return word


def argument_object(text: str) -> tuple[dict[str, Any], bool]:
    """Return a call's arguments as an object, and whether that says all that the text said.

    No text is no arguments. What is no JSON object (a call that was cut off, a list) is ``{}``;
    a number that JSON lacks is its own text.
    """
    if not text.strip():
        return {}, True
    reading = _Reading()
    try:
        value = reading.value(text)
    except (ValueError, RecursionError):
        return {}, False
    return (value, reading.exact) if isinstance(value, dict) else ({}, False)


def is_json(text: str) -> bool:
    """Tell whether a call's arguments are JSON to servers that read them; a call that was cut
    off has none."""
    try:
        json.loads(text)
    except RecursionError:
        return True  # it is theirs to say how deep they read
    except ValueError:
        return False
    return True


def faithful_value(text: str) -> Any:
    """Return the JSON value of a text that comes out as it went in but for white space, None
    for any other text (and for ``null``)."""
    try:
        if not is_shallow(text):
            return None
        value = json.loads(
            text,
            parse_float=_same_real,
            parse_int=_same_integer,
            parse_constant=_refuse,
            object_pairs_hook=_single_members,
        )
        if "\\u" in text:
            json_text(value).encode()  # half a character cannot be said
        return value
    except (ValueError, RecursionError):
        return None


def _same_real(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) and repr(number) == digits else _refuse(digits)


def _same_integer(digits: str) -> int:
    number = int(digits)
    return number if str(number) == digits else _refuse(digits)


def _single_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    return members if len(members) == len(pairs) else _refuse("a member given twice")


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word[:20]} would be changed")
