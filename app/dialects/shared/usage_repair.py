"""Usage in bodies that pass: untrusted input, replaced by ours where it cannot be counts.

What a provider says of tokens is forwarded as it is while every count is one; else the
client sees the canonical usage (estimated and marked where nothing was told), as on a
translated call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from app.canonical.response import Usage
from app.dialects.chat.usage import reasons_beside
from app.dialects.shared.lenient_json import count

_COUNTS: Final = ("tokens", "tokencount")
_MAIN: Final = (("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens"))


def repair_usage(
    holder: dict[str, Any],
    usage: Usage,
    write: Callable[[Usage], dict[str, Any] | None],
    member: str = "usage",
) -> None:
    """Put ``usage``, as ``write`` writes it, in the place of what ``holder`` tells, where
    that is unsound. Words beside the counts stay."""
    reported = holder.get(member)
    if is_sound(reported):
        return
    written = write(usage)
    words = _string_members(reported) if isinstance(reported, dict) else {}
    holder[member] = {**words, **written} if written is not None else None


def _string_members(usage: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: value for name, value in usage.items() if isinstance(value, str) and "token" not in name.lower()
    }


def is_sound(usage: Any) -> bool:
    """Tell whether a wire's usage holds both its counts, the reasoning among them, and nothing
    that cannot be one."""
    if not isinstance(usage, dict):
        return False
    counted = any(all(count(usage.get(name)) is not None for name in pair) for pair in _MAIN)
    return counted and counts_only(usage) and not reasons_beside(usage)


def counts_only(members: Mapping[str, Any]) -> bool:
    """Tell whether all that a wire's usage says of tokens are counts."""
    for name, value in members.items():
        if name != "tokens" and name.lower().endswith(_COUNTS):
            if value is not None and count(value) is None:
                return False
        elif isinstance(value, dict) and not counts_only(value):
            return False
    return True


def native_usage(dialect: str, raw: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Return a wire's usage for its own dialect to show again, None where it holds what is no count."""
    return (dialect, dict(raw)) if counts_only(raw) else None
