"""The budget for resolving the references in the schemas of one request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

MAX_EXPANDED: Final = 50_000
"""Size to which the references of one request may grow: 1 for each member and for each 32 characters."""

VALUES: Final = frozenset({"enum", "const", "default", "required", "examples", "example", "type"})
"""Keywords whose values are not schemas and are copied."""


class Expansion:
    """What remains of the budget of one request. Without it a small body could expand without limit."""

    def __init__(self) -> None:
        self._left = MAX_EXPANDED

    def take(self, schema: Mapping[str, Any], *, whole: bool = False) -> bool:
        """Charge for one schema; return False if the budget is exhausted.

        ``whole``: charge for everything in it, rather than for the schema without those in it.
        """
        if self._left > 0:
            self._left -= _weight(schema) if whole else _members(schema, _count_copied)
        return self._left > 0


def _members(schema: Mapping[str, Any], weigh: Callable[[str, Any], int]) -> int:
    return 1 + sum(1 + len(name) // 32 + weigh(name, value) for name, value in schema.items())


def _count_copied(name: str, value: Any) -> int:
    """Return the size of a keyword's value; schemas in it are charged later, when they are resolved."""
    if name in VALUES or not isinstance(value, dict | list):
        return _weight(value)
    if isinstance(value, dict):
        return sum(1 + len(inner) // 32 for inner in value)
    return sum(1 + (0 if isinstance(item, dict) else _weight(item)) for item in value)


def _weight(value: Any) -> int:
    if isinstance(value, str):
        return len(value) // 32
    if isinstance(value, dict):
        return _members(value, lambda name, inner: _weight(inner))
    return sum(1 + _weight(item) for item in value) if isinstance(value, list) else 0
