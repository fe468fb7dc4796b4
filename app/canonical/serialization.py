"""Canonical answers as JSON values and back, for caches that processes share.

A record is ``[name, {member: value}]`` without members that have their default, a tuple ``["()", ...]``, a list
``["[]", ...]``; so the first value of a JSON array says what it is. Numbers, texts and mappings are unchanged.

Tests: tests/gateway/test_cache_records.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, Final

from app.canonical import request, response

_TUPLE: Final = "()"
_LIST: Final = "[]"
_PLAIN: Final = (str, int, float, bool, type(None))
_RECORDS: Final[Mapping[str, type[Any]]] = {
    one.__name__: one
    for one in (
        *(response.Finish, response.Billing, response.Usage, response.Choice, response.Response),
        *(request.Signature, request.Item, request.Message),
        *(request.TextPart, request.ImagePart, request.AudioPart, request.FilePart, request.ReasoningPart),
        *(request.ToolCallPart, request.ToolResultPart, request.RefusalPart, request.OpaquePart),
    )
}


def pack(value: Any) -> Any:
    """Return ``value`` as JSON; raise ``TypeError`` for a type that answers do not have."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Mapping):
        return {name: pack(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_LIST if isinstance(value, list) else _TUPLE, *map(pack, value)]
    name = type(value).__name__
    if _RECORDS.get(name) is not type(value):
        raise TypeError(f"no part of an answer: {name}")
    members = {one.name: getattr(value, one.name) for one in fields(value)}
    defaults = {one.name: one.default for one in fields(value) if one.default is not MISSING}
    return [
        name,
        {n: pack(v) for n, v in members.items() if n not in defaults or v != defaults[n]},
    ]


def unpack(value: Any) -> Any:
    """Return the value that ``pack`` packed; raise ``ValueError`` or ``TypeError`` for other JSON."""
    if isinstance(value, dict):
        return {name: unpack(inner) for name, inner in value.items()}
    if not isinstance(value, list):
        return value
    if not value:
        raise ValueError("an array without its kind")
    kind, *rest = value
    if kind == _LIST:
        return [unpack(inner) for inner in rest]
    if kind == _TUPLE:
        return tuple(unpack(inner) for inner in rest)
    record = _RECORDS.get(kind) if isinstance(kind, str) else None
    if record is None or len(rest) != 1 or not isinstance(rest[0], dict):
        raise ValueError(f"no part of an answer: {str(kind)[:80]}")
    return record(**{name: unpack(inner) for name, inner in rest[0].items()})
