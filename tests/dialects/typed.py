"""Holds JSON to a vendor SDK's TypedDicts: required members, types, and no unknown member.

pydantic reads the same types lazily (its iterables check nothing until walked) and passes
unknown members over, so this walks them itself.
"""

from __future__ import annotations

import collections.abc
import types
import typing
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin

from typing_extensions import get_type_hints, is_typeddict

SEQUENCES = (list, collections.abc.Iterable, collections.abc.Sequence, tuple)
MAPPINGS = (dict, collections.abc.Mapping)
SCALARS = {float: (int, float), int: (int,), str: (str,), bool: (bool,), type(None): (type(None),)}


def faults(value: Any, wanted: Any, path: str = "$") -> list[str]:
    """What of ``value`` does not fit the annotation ``wanted``; empty when all fits."""
    while get_origin(wanted) in (typing.Annotated, Required, NotRequired):
        wanted = get_args(wanted)[0]
    wanted = getattr(wanted, "__value__", wanted)  # a named alias
    origin, inner = get_origin(wanted), get_args(wanted)
    if wanted in (Any, object):
        return []
    if origin in (Union, types.UnionType):
        found = [faults(value, option, path) for option in inner]
        return [] if any(not some for some in found) else min(found, key=len)
    if origin is Literal:
        return [] if value in inner else [f"{path}: {value!r} is not one of {inner}"]
    if is_typeddict(wanted):
        return _members(value, wanted, path)
    if origin in SEQUENCES or wanted in SEQUENCES:
        if not isinstance(value, list):
            return [f"{path}: not a list"]
        return [
            f
            for i, item in enumerate(value)
            for f in faults(item, inner[0] if inner else Any, f"{path}[{i}]")
        ]
    if origin in MAPPINGS or wanted in MAPPINGS:
        return [] if isinstance(value, dict) else [f"{path}: not an object"]
    if hasattr(wanted, "model_fields") or getattr(wanted, "__name__", "") == "SequenceNotStr":
        return [f"{path}: only JSON is sent"] if hasattr(wanted, "model_fields") else []
    if getattr(origin, "__name__", "") == "SequenceNotStr":
        return faults(value, list[inner[0]], path)
    if origin is typing.IO or hasattr(wanted, "__fspath__"):
        return [f"{path}: only JSON is sent"]
    known = SCALARS.get(wanted)
    if known is None:
        raise TypeError(f"no rule for {wanted!r} at {path}")
    fits = isinstance(value, known) and (wanted is bool or not isinstance(value, bool))
    return [] if fits else [f"{path}: {value!r} is no {wanted.__name__}"]


def _members(value: Any, wanted: Any, path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: not an object"]
    hints = get_type_hints(wanted, include_extras=True)
    open_ended = (getattr(wanted, "__pydantic_config__", None) or {}).get("extra") == "allow"
    found = [
        f"{path}.{name}: missing"
        for name, hint in hints.items()
        if name not in value
        and (get_origin(hint) is Required or (wanted.__total__ and get_origin(hint) is not NotRequired))
    ]
    for name, item in value.items():
        if name in hints:
            found += faults(item, hints[name], f"{path}.{name}")
        elif not open_ended:
            found.append(f"{path}.{name}: unknown member")
    return found
