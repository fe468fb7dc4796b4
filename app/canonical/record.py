"""Records: dataclasses that nobody writes to, which mypy holds rather than the class itself.

A frozen dataclass sets each member past its own lock: six times the time of a plain one, for what is made
with every part of every message.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """Make ``cls`` a dataclass with slots, equal and hashed by its members, that is read-only to mypy."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
