"""Native members of parts, messages and answers: those that only one dialect understands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.canonical.request import Native


def own_members(dialect: str, native: Native | None) -> dict[str, Any]:
    """Return a copy of the members if they belong to ``dialect``, otherwise ``{}``."""
    return dict(native[1]) if native is not None and native[0] == dialect else {}


def as_native(dialect: str, members: Mapping[str, Any]) -> Native | None:
    """Return ``members`` as native to ``dialect``, None if there are none."""
    return (dialect, members) if members else None
