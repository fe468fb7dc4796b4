"""Tolerant reading of JSON that others wrote: a wrong shape reads as nothing, never as a crash.

Upstream bodies are read with these everywhere; what must be there is asked for by the
dialect itself, which raises ``upstream_invalid`` or ``bad_request``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

_MAX_COUNT: Final = 2**53
MAX_DEPTH: Final = 100
"""The deepest JSON that goes out as a value: what our own door takes, too."""

_STRINGS: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BRACKETS: Final = re.compile(r"[\[\]{}]")


def as_dict(value: Any) -> dict[str, Any]:
    """Return a JSON object as it is, anything else as ``{}``."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return a JSON array as it is, anything else as ``[]``."""
    return value if isinstance(value, list) else []


def dicts(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a JSON array; other members are passed over."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def as_str(value: Any, default: str = "") -> str:
    """Return a string as it is, anything else as ``default``."""
    return value if isinstance(value, str) else default


def opt_str(value: Any) -> str | None:
    """Return a string that is not empty, anything else as None."""
    return value if isinstance(value, str) and value else None


def label(value: Any) -> str | None:
    """Return a code or type as text: ``429`` and ``"429"`` are one; objects are None."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value) or None


def count(value: Any) -> int | None:
    """Return a token count, or None for what cannot be one (negative, absurd, not whole)."""
    if type(value) is float:
        value = int(value) if math.isfinite(value) and value.is_integer() else None
    if type(value) is not int:  # a truth value is none, either
        return None
    return value if 0 <= value <= _MAX_COUNT else None


def number(value: Any) -> float | None:
    """Return a finite number as it is, anything else as None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


def rest(members: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """Return the members that are not ``known``, in their order."""
    return {name: value for name, value in members.items() if name not in known}


def without_nulls(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members that are not null, in their order: most wires write null for nothing."""
    return {name: value for name, value in members.items() if value is not None}


def parse(text: str, default: Any = None) -> Any:
    """Return the JSON value of a text, ``default`` for a text that is none.

    ``NaN``, numbers past a double and more nesting than other servers read are no JSON here, so
    that what comes out can always be written again.
    """
    try:
        if not is_shallow(text):
            return default
        return _JSON.decode(text)
    except (ValueError, RecursionError):
        return default


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:20]} is no number of JSON")
    return number


_JSON: Final = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)


def is_shallow(text: str) -> bool:
    """Tell whether JSON text is nested no deeper than servers read (``MAX_DEPTH``)."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return True
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            return False
    return True


def json_text(value: Any) -> str:
    """Return compact JSON text, key order kept."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def split_data_url(url: str) -> tuple[str | None, str] | None:
    """Return ``(media type, base64 text)`` of a base64 ``data:`` URL, None for any other URL."""
    if url[:5].lower() != "data:":
        return None
    head, comma, data = url[5:].partition(",")
    if not comma or not head.lower().endswith(";base64"):
        return None
    media_type = head.split(";", 1)[0].strip().lower()
    return media_type or None, unquote_to_bytes(data).decode("ascii", "replace") if "%" in data else data


def data_url(media_type: str | None, data: str) -> str:
    """Return a base64 ``data:`` URL."""
    return f"data:{media_type or 'application/octet-stream'};base64,{data}"
