"""JSON texts of models and tools, for wires that have JSON values in their place.

No text makes a call fail: what JSON does not have (``NaN``, ``1e999``, too much nesting) gets the nearest
form, and a result that would change stays text. Rules: docs/contract/tools.md.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from app.dialects.shared.lenient_json import is_moderate, json_text


class _Reading:
    """Parses one text; ``exact`` tells whether its value can be serialised without a change."""

    def __init__(self) -> None:
        self.exact = True

    def value(self, text: str) -> Any:
        """Return the value; raises ValueError if the text is not JSON."""
        if not is_moderate(text):
            raise ValueError("nested too deeply, or too much")
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
        self.exact = self.exact and _is_equal(digits, number)
        return number

    def _constant(self, word: str) -> str:
        self.exact = False
        return word


def _is_equal(digits: str, number: float) -> bool:
    try:
        return Decimal(digits) == Decimal(repr(number))
    except InvalidOperation:  # an exponent that no Decimal has
        return False


def argument_object(text: str) -> tuple[dict[str, Any], bool]:
    """Return a call's arguments as an object, and whether it is equivalent to the text.

    Empty text is ``{}``, and so is a text that is not a JSON object (a call that was cut off, a
    list). A number that JSON does not have becomes a string.
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
    """Tell whether a call's arguments are valid JSON; those of a call that was cut off are not."""
    if not is_moderate(text):
        return True  # servers have their own limits
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def faithful_value(text: str) -> Any:
    """Return the value of a JSON text if serialising it gives the same text up to white space.

    Returns None for any other text, and for ``null``.
    """
    try:
        if not is_moderate(text):
            return None
        value = json.loads(
            text,
            parse_float=_same_real,
            parse_int=_same_integer,
            parse_constant=_refuse,
            object_pairs_hook=_single_members,
        )
        if "\\u" in text:
            json_text(value).encode()  # a lone surrogate raises UnicodeEncodeError, a ValueError
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
