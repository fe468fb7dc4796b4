"""JSON in and out: strict for client bodies, lenient for upstream answers, strict out.

orjson does the work and refuses most of what must be refused. What it lets through (a duplicate
member, depth up to 1024, 2^63 as a whole number, 2^64 as a float) is found in the bytes, by passes
that run at C speed and touch no Python object per member. The standard library reads what upstreams
send although orjson refuses it, and writes what orjson cannot: wide integers, lone surrogates, keys
that are no text.
"""

from __future__ import annotations

import json as stdlib
import math
import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from app.canonical.json_structure import depth_of, has_many_openers, openers_in, structure_of, unescaped
from app.errors import GatewayError

MAX_DEPTH: Final = 100
MAX_DEPTH_LENIENT: Final = 400  # walkers of ours recurse, and Python stops at 1000
MAX_ELEMENTS: Final = 500_000
MAX_HOLDERS_LENIENT: Final = 1_000_000
MAX_MEMBERS_LENIENT: Final = 1_000_000  # a new name costs more than anything else
MAX_STRINGS_LENIENT: Final = 2_000_000  # names included; log probabilities have two to an object or array
MAX_ELEMENTS_LENIENT: Final = 6_000_000  # of all kinds: a thousand embeddings are millions of numbers
MAX_WALKED: Final = 256 * 1024  # bytes; the depth of larger bodies is found before they are parsed
MAX_COPY: Final = 4 * 1024 * 1024  # bytes; larger bodies are not written again to be checked
INT_BOUND: Final = 2**63
GOVERNING: Final = ("model", "stream", "input", "messages")  # policy and upstream must read the same one

_NOT_MEMBER: Final = bytes(set(range(256)) - set(b':"'))
_DIGITS_AS_ZERO: Final = bytes(ord("0") if chr(i).isdecimal() and i < 128 else i for i in range(256))
_SOUND: Final = frozenset({str, int, bool, type(None)})
_TOO_DEEP: Final = f"The JSON is nested deeper than {MAX_DEPTH} levels."
_LONE: Final = re.compile("[\ud800-\udfff]")


class InvalidJSON(ValueError):
    """Upstream bytes that are no JSON value."""


def loads(data: bytes, *, strict: bool = True) -> Any:
    """Return the value of a client's JSON body.

    Raises ``bad_request`` (400) for anything but UTF-8 without BOM, for NaN,
    Infinity, numbers past a double, whole numbers outside ±2^63, lone surrogates,
    depth past 100, more than 500,000 members and elements, and a second ``model``,
    ``stream``, ``input`` or ``messages`` at the top level. With ``strict`` off it
    is ``loads_lenient``.
    """
    if not strict:
        return loads_lenient(data)
    is_small = len(data) <= MAX_WALKED
    if not is_small:
        _check_size(data)
    try:
        value = orjson.loads(data)
    except (ValueError, RecursionError) as error:
        _check_size(data)  # its refusals come first
        raise _refusal_of(error) from error
    if is_small and has_many_openers(data, MAX_DEPTH) and _is_deeper(value, MAX_DEPTH):
        raise _refusal(_TOO_DEEP)
    _check_numbers(data)
    if isinstance(value, dict):
        _check_duplicates(data, value)
    return value


def loads_lenient(data: bytes, *, halves: bool = False) -> Any:
    """Return the value of an upstream's JSON, forgiving what its vendor may get wrong.

    A BOM is skipped, NaN and infinities become None, lone surrogates U+FFFD (with ``halves`` they stay), and
    whole numbers may have any size. Raises ``InvalidJSON`` (a ``ValueError``) for text that is not JSON, not
    UTF-8, nested past 400 levels, or of more than 1,000,000 objects and arrays, 1,000,000 members, 2,000,000
    strings or 6,000,000 elements: the parser does not yield. Of large answers more pass: an object or array for
    each 24 bytes, a member for 16, a string for 12, an element for 6, as the log probabilities of twenty
    alternatives to each token have.
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    if len(data) > MAX_DEPTH_LENIENT:
        _check_size_lenient(data)
    try:
        return orjson.loads(data)
    except (ValueError, RecursionError):
        value = _parse_anyhow(data)
    return value if halves else _without_lone(value)


def loads_own(data: bytes) -> Any:
    """Return the value of JSON that ``dumps`` wrote, without the checks for JSON of others."""
    return orjson.loads(data)


def loads_string(text: bytes) -> str:
    """Return the string that ``text`` is between two quotes; raises ``ValueError`` if it is no string, or has half a surrogate pair."""
    return str(orjson.loads(b'"%b"' % text))


def dumps(value: Any, *, parsed: bool = False) -> bytes:
    """Return ``value`` as compact UTF-8 JSON. A value ``parsed`` from JSON is not checked for NaN.

    Raises ``ValueError`` for a NaN or an infinity (never ``null`` in their place),
    ``TypeError`` for a value that has no JSON form.
    """
    try:
        out = orjson.dumps(value)
    except TypeError:
        out = _write_anyhow(value)
    if not parsed and b"null" in out:  # how orjson writes NaN, too
        _refuse_non_finite(value)
    return out


def dumps_ascii(value: Any) -> bytes:
    """Return ``value`` as compact JSON fit for one line of a stream.

    JSON escapes line feeds by itself; the other characters that some clients break lines at
    (U+0085, U+2028, U+2029) are escaped here. Streams consist of parsed JSON, which has no NaN, so
    there is no check for it.
    """
    try:
        out = orjson.dumps(value)
    except TypeError:
        out = _write_anyhow(value)
    if out.isascii():
        return out
    if b"\xe2\x80" in out:
        out = out.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    if b"\xc2\x85" in out:
        out = out.replace(b"\xc2\x85", b"\\u0085")
    return out


def dumps_sorted(value: Any) -> bytes:
    """Return ``value``, which has no NaN, as compact JSON with sorted names: equal values, and only they, have equal bytes."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # wide integers, and lone surrogates, of which each stays what it is
        return stdlib.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def with_whole_numbers(value: Any) -> Any:
    """Return a JSON value in which 1.0 is 1, as in the rest of the gateway."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {name: with_whole_numbers(inner) for name, inner in value.items()}
    return [with_whole_numbers(inner) for inner in value] if isinstance(value, list) else value


# --- what orjson lets through -------------------------------------------------------------


def _refusal(message: str) -> GatewayError:
    return GatewayError("bad_request", message)


def _refusal_of(error: ValueError | RecursionError) -> GatewayError:
    if isinstance(error, UnicodeDecodeError):
        return _refusal(f"The body is not UTF-8 (byte {error.start}).")
    return _refusal(
        _TOO_DEEP if isinstance(error, RecursionError) else f"The body is not valid JSON: {error}."
    )


def _check_size(data: bytes) -> None:
    """Refuse a body too deep or of too many elements, before anything is built from it."""
    may_be_many = len(data) > MAX_ELEMENTS and openers_in(data) + data.count(b",") > MAX_ELEMENTS
    if not may_be_many and not has_many_openers(data, MAX_DEPTH):
        return
    too_many = f"The JSON has more than {MAX_ELEMENTS} members and elements."
    if data.count(b'"') > 5 * MAX_ELEMENTS and unescaped(data).count(b'"') > 5 * MAX_ELEMENTS:
        raise _refusal(too_many)  # a member has two strings at most
    structure = structure_of(data)
    if may_be_many and openers_in(structure) + structure.count(b",") > MAX_ELEMENTS:
        raise _refusal(too_many)
    if depth_of(structure) > MAX_DEPTH:
        raise _refusal(_TOO_DEEP)


def _is_deeper(value: Any, most: int) -> bool:
    """Tell whether objects and arrays are nested deeper than ``most`` levels."""
    level: list[Any] = [(value,)]
    for _ in range(most + 1):
        level = [
            item
            for holder in level
            for item in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(item, (dict, list))
        ]
        if not level:
            return False
    return True


def _check_size_lenient(data: bytes) -> None:
    """Refuse an answer too deep or of too many values, before anything is built from it."""
    size = len(data)
    if size <= MAX_MEMBERS_LENIENT and not has_many_openers(data, MAX_DEPTH_LENIENT):
        return
    strings, members = max(MAX_STRINGS_LENIENT, size // 12), max(MAX_MEMBERS_LENIENT, size // 16)
    holders, elements = max(MAX_HOLDERS_LENIENT, size // 24), max(MAX_ELEMENTS_LENIENT, size // 6)
    if size > strings and unescaped(data).count(b'"') > 2 * strings:
        raise InvalidJSON(f"more than {strings} strings")
    if data.count(b":") > members and len(structure_of(data, _NOT_MEMBER)) > members:
        raise InvalidJSON(f"more than {members} members")
    openers = openers_in(data)
    may_be_many = size > elements and openers + data.count(b",") > elements
    if openers <= MAX_DEPTH_LENIENT and not may_be_many:
        return
    structure = structure_of(data)
    openers = openers_in(structure)
    if openers > holders:
        raise InvalidJSON(f"more than {holders} objects and arrays")
    if may_be_many and openers + structure.count(b",") > elements:
        raise InvalidJSON(f"more than {elements} elements")
    if depth_of(structure) > MAX_DEPTH_LENIENT:
        raise InvalidJSON(f"nested deeper than {MAX_DEPTH_LENIENT} levels")


def _check_numbers(data: bytes) -> None:
    """Refuse whole numbers outside ±2^63; only a run of 19 digits can be one."""
    if b"0" * 19 in data.translate(_DIGITS_AS_ZERO):
        stdlib.loads(data, parse_int=_parse_int)


def _parse_int(digits: str) -> int:
    if len(digits) > 20 or not -INT_BOUND < int(digits) < INT_BOUND:
        raise _refusal("The JSON contains an integer outside the range of 64 bits.")
    return int(digits)


def _check_duplicates(data: bytes, value: dict[str, Any]) -> None:
    """Refuse a second governing member of the top-level object, however it is spelled."""
    if not _may_have_lost_members(data, value):
        return
    names = stdlib.loads(data, object_pairs_hook=lambda pairs: [name for name, _ in pairs])
    for name in GOVERNING:
        if names.count(name) > 1:
            raise _refusal(f"The member '{name}' appears more than once in the body.")


def _may_have_lost_members(data: bytes, value: dict[str, Any]) -> bool:
    """Tell whether parsing ``data`` to ``value`` may have dropped a repeated governing member.

    A dropped member takes its colon with it, so a copy with as many colons as the
    original has lost nothing; only an escaped colon could make up for one.
    """
    if len(data) > MAX_COPY:
        return b"\\u00" in data or any(data.count(b'"%b"' % name.encode()) > 1 for name in GOVERNING)
    again = dumps(value, parsed=True)
    if again == data:
        return False
    if b"\\u003" in data and (b"\\u003a" in data or b"\\u003A" in data):
        return True
    return again.count(b":") != data.count(b":")


def _refuse_non_finite(value: Any) -> None:
    pending: list[Any] = [(value,)]
    for holder in pending:
        for item in holder.values() if isinstance(holder, dict) else holder:
            if type(item) in _SOUND:  # nearly all of them, so this look comes first
                continue
            if isinstance(item, float):
                if not math.isfinite(item):
                    raise ValueError("a NaN or an infinity has no JSON form")
            elif isinstance(item, (dict, list, tuple)):
                pending.append(item)


# --- the standard library's part ------------------------------------------------------------


def _parse_anyhow(data: bytes) -> Any:
    """Parse text that orjson refused, if it is JSON apart from NaN, infinities and lone surrogates."""
    try:
        text = data.decode("utf-8")
        return stdlib.loads(text, parse_constant=lambda name: None, parse_float=_finite_or_none)
    except (ValueError, RecursionError) as error:
        raise InvalidJSON(str(error)) from error


def _finite_or_none(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _without_lone(value: Any) -> Any:
    if isinstance(value, str):
        return _LONE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_lone(item) for item in value]
    if isinstance(value, dict):
        return {_without_lone(name): _without_lone(item) for name, item in value.items()}
    return value


def _write_anyhow(value: Any) -> bytes:
    """Write what orjson refuses: wide integers, lone surrogates, keys that are no text."""
    text = stdlib.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _LONE.sub("\ufffd", text).encode("utf-8")
