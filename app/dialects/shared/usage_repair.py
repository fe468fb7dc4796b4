"""The usage in bodies that pass: forwarded if it is valid, otherwise replaced by the canonical usage.

The canonical usage is what a translated call would show; it is estimated, and marked as such, if
the provider reported none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from app.canonical.response import Usage
from app.dialects.chat.usage import reasons_beside
from app.dialects.shared.lenient_json import as_dict, count
from app.dialects.shared.plain_counts import OF_CHAT, OF_RESPONSES

_COUNTS: Final = ("tokens", "tokencount")
_MAIN: Final = (("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens"))


def repair_usage(
    holder: dict[str, Any],
    usage: Usage,
    write: Callable[[Usage], dict[str, Any] | None],
    member: str = "usage",
) -> None:
    """Replace ``holder[member]`` by ``usage`` in the wire's form (``write``) if it is not valid.

    Its string members, such as a service tier, are kept.
    """
    reported = holder.get(member)
    if is_valid(reported):
        return
    members, strings = write(usage), as_dict(reported).items()
    words = {name: text for name, text in strings if isinstance(text, str) and "token" not in name.lower()}
    holder[member] = {**words, **members} if members is not None else None


def is_valid(usage: Any) -> bool:
    """Tell whether a usage has valid input and output counts, the reasoning included in the latter,
    and no invalid count."""
    if not isinstance(usage, dict):
        return False
    if OF_CHAT.fit(usage) or OF_RESPONSES.fit(usage):
        return True
    has_counts = any(all(count(usage.get(name)) is not None for name in pair) for pair in _MAIN)
    return has_counts and counts_only(usage) and not reasons_beside(usage)


def counts_only(members: Mapping[str, Any]) -> bool:
    """Tell whether all token counts in a wire's usage are valid counts or null."""
    return all(_is_valid_member(name, value) for name, value in members.items())


def _is_valid_member(name: str, value: Any) -> bool:
    if name != "tokens" and name.lower().endswith(_COUNTS):
        return value is None or count(value) is not None
    return not isinstance(value, dict) or counts_only(value)


def native_usage(dialect: str, raw: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Return a wire's usage as native to its dialect, None if it has an invalid count."""
    return (dialect, dict(raw)) if counts_only(raw) else None
