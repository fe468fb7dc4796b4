"""Records: dataclasses that mypy, not the class itself, keeps read-only.

A frozen dataclass takes six times as long to create as a plain one, because it sets each member with
``object.__setattr__``; every part of every message is such a value. A dataclass also compiles ``__eq__``, ``__hash__``
and ``__repr__`` for each class, a tenth of the gateway's start; all records share theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform, overload

T = TypeVar("T")


@overload
def record(cls: type[T], /) -> type[T]: ...
@overload
def record(*, kw_only: bool) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T] | None = None, /, *, kw_only: bool = False) -> Any:
    """Make ``cls`` a dataclass with slots that is compared and hashed by its members and read-only to mypy."""
    return _build(cls, kw_only) if cls is not None else lambda cls: _build(cls, kw_only)


def _build(cls: type[T], kw_only: bool) -> Any:
    record: Any = dataclass(slots=True, eq=False, repr=False, kw_only=kw_only)(cls)
    names = [member.name for member in fields(record) if member.compare]
    record.__compared__ = attrgetter(*names) if names else type
    for name in _METHODS.keys() - vars(cls).keys():
        setattr(record, name, _METHODS[name])
    return record


def _equals(self: Any, other: Any) -> bool:
    if self.__class__ is not other.__class__:
        return NotImplemented
    members = self.__compared__
    return bool(members(self) == members(other))


def _hash(self: Any) -> int:
    return hash(self.__compared__(self))


def _text(self: Any) -> str:
    members = (f"{member.name}={getattr(self, member.name)!r}" for member in fields(self) if member.repr)
    return f"{type(self).__qualname__}({', '.join(members)})"


_METHODS = {"__eq__": _equals, "__hash__": _hash, "__repr__": _text}
