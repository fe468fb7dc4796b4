"""The native members of the chat wire: what only it understands of a part or an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.request import Native

NAME: Final = "chat"


def own_members(native: Native | None) -> dict[str, Any]:
    """Return a copy of the members that this wire made; ``{}`` for another's or none."""
    return dict(native[1]) if native is not None and native[0] == NAME else {}


def as_native(members: Mapping[str, Any]) -> Native | None:
    """Return ``members`` as this wire's own, None when there are none."""
    return (NAME, members) if members else None
