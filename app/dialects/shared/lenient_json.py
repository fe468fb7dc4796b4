"""Lenient reading of JSON: a value of the wrong type reads as absent and never raises.

All bodies of providers are read with these functions, also base64 text and ``data:`` URLs in them. A dialect checks for itself what must be
there, and raises ``upstream_invalid`` or ``bad_request``.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from app.canonical.json_structure import is_within
from app.canonical.request import ImagePart, Native

JSON = dict[str, Any]
"""A JSON object."""

MAX_COUNT: Final = 2**53
MAX_DEPTH: Final = 100
"""Deepest nesting of JSON that is parsed, here and in clients' bodies."""

MAX_ELEMENTS: Final = 500_000
"""Most members and elements of JSON that is parsed here, as in clients' bodies."""


def as_dict(value: Any) -> dict[str, Any]:
    """Return a JSON object as it is, anything else as ``{}``."""
    return value if isinstance(value, dict) else {}


def at_path(value: Any, path: Iterable[str]) -> Any:
    """Return the member of nested objects at ``path``, None if it is absent."""
    for name in path:
        value = as_dict(value).get(name)
    return value


def as_list(value: Any) -> list[Any]:
    """Return a JSON array as it is, anything else as ``[]``."""
    return value if isinstance(value, list) else []


def dicts(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a JSON array; other elements are skipped."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def objects_of(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a JSON array, or a single object as the only one (protobuf's JSON allows both)."""
    return [value] if isinstance(value, dict) else dicts(value)


def as_str(value: Any, default: str = "") -> str:
    """Return a string as it is, anything else as ``default``."""
    return value if isinstance(value, str) else default


def opt_str(value: Any) -> str | None:
    """Return a string that is not empty, anything else as None."""
    return value if isinstance(value, str) and value else None


def label(value: Any) -> str | None:
    """Return an error's code or type as a string: ``429`` and ``"429"`` are equal; other types are None."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value) or None


def count(value: Any) -> int | None:
    """Return a count, None for what is not a whole number from 0 to 2^53."""
    if type(value) is float:
        value = int(value) if math.isfinite(value) and value.is_integer() else None
    if type(value) is not int:  # excludes booleans
        return None
    return value if 0 <= value <= MAX_COUNT else None


def number(value: Any) -> float | None:
    """Return a number that a double can hold as it is, anything else as None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) <= sys.float_info.max else None


def small_integer(value: Any, *, digits: int) -> int | None:
    """Return the number of a text of at most so many decimal digits, None for anything else."""
    text = as_str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= digits else None


def unix_time(value: Any) -> int | None:
    """Return an RFC 3339 time as Unix seconds, None for anything else."""
    try:
        return int(datetime.fromisoformat(as_str(value)).timestamp())
    except (ValueError, OverflowError):
        return None


def rest(members: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """Return the members whose names are not in ``known``, in order."""
    return {name: value for name, value in members.items() if name not in known}


def without_nulls(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members that are not null, in order."""
    return {name: value for name, value in members.items() if value is not None}


def parse(text: str, default: Any = None) -> Any:
    """Return the value of a JSON text, ``default`` if it is invalid.

    ``NaN``, numbers beyond a double, nesting deeper than ``MAX_DEPTH`` and more than ``MAX_ELEMENTS`` are invalid: every
    result can be serialised again, and none holds other calls up.
    """
    try:
        return DECODER.decode(text) if is_moderate(text) else default
    except (ValueError, RecursionError):
        return default


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:20]} is no number of JSON")
    return number


DECODER: Final = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)
"""Decodes JSON, except for ``NaN`` and numbers beyond a double."""


def is_moderate(text: str | bytes) -> bool:
    """Tell whether JSON text is nested no deeper than ``MAX_DEPTH`` and has at most ``MAX_ELEMENTS`` members and elements."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return is_within(data, depth=MAX_DEPTH, elements=MAX_ELEMENTS)


def json_text(value: Any) -> str:
    """Return compact JSON text; keys stay in order."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def split_data_url(url: str) -> tuple[str | None, str] | None:
    """Return ``(media type or None, base64 text)`` of a base64 ``data:`` URL, None for any other URL."""
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


def encode_base64(data: bytes | str) -> str:
    """Return bytes, or the UTF-8 bytes of a text, as standard base64 text."""
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode("ascii")


def decode_base64(value: str, encoding: str = "utf-8") -> str | None:
    """Return the text that standard base64 holds, None for anything else."""
    try:
        return base64.b64decode(value, validate=True).decode(encoding)
    except (binascii.Error, ValueError):
        return None


def image_of(url: str, *, detail: str | None = None, native: Native | None = None) -> ImagePart:
    """Return the image of a URL; a ``data:`` URL becomes base64 data with its media type."""
    if (inline := split_data_url(url)) is not None:
        return ImagePart(inline[1], inline[0], detail=detail, native=native)
    return ImagePart(url=url, detail=detail, native=native)
