"""How far the references of one request's schemas may be written out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

MAX_EXPANDED: Final = 50_000
"""What the references of one request's schemas may be written out to: members, and 32 characters
of a text as one."""


class Expansion:
    """What is left for the references of one request: written out, few bytes can be without end."""

    def __init__(self) -> None:
        self._left = MAX_EXPANDED

    def take(self, schema: Mapping[str, Any]) -> bool:
        """Take room for one schema without what is nested in it; False when there is none."""
        if self._left > 0:
            self._left -= 1 + len(schema) + sum(map(_weight, schema.values()))
        return self._left > 0


def _weight(value: Any) -> int:
    if isinstance(value, str):
        return len(value) // 32
    return sum(1 + _weight(item) for item in value) if isinstance(value, list) else 0
