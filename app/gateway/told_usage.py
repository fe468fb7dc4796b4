"""Usage in bodies that pass: untrusted input, replaced by ours where it cannot be counts.

What a provider says of tokens is forwarded as it is while every count is one; else the
caller sees the canonical usage (estimated and marked where nothing was told), as on a
translated call (contract/reliability.md 3 and rule 11).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from app.canonical.response import Usage
from app.dialects.chat import usage as chat_usage
from app.dialects.responses import response as responses_response
from app.dialects.shared.reading import count

_WRITERS: Final[Mapping[str, Callable[[Usage], dict[str, Any] | None]]] = {
    "chat": chat_usage.encode_usage,
    "responses": responses_response.encode_usage,
}
_MAIN: Final = (("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens"))


def written_usage(dialect: str, usage: Usage) -> dict[str, Any] | None:
    """Return ``usage`` as ``dialect`` writes it."""
    return _WRITERS[dialect](usage)


def mend_usage(holder: dict[str, Any], dialect: str, usage: Usage) -> None:
    """Put ``usage`` in the place of what ``holder`` tells, where that is unsound."""
    if not is_sound(holder.get("usage")):
        holder["usage"] = written_usage(dialect, usage)


def is_sound(usage: Any) -> bool:
    """Tell whether a wire's usage holds both its counts, the reasoning among them, and nothing
    that cannot be one."""
    if not isinstance(usage, dict):
        return False
    told = any(all(count(usage.get(name)) is not None for name in pair) for pair in _MAIN)
    return told and _counts_only(usage) and not chat_usage.reasons_beside(usage)


def _counts_only(members: Mapping[str, Any]) -> bool:
    for name, value in members.items():
        if isinstance(value, dict):
            if not _counts_only(value):
                return False
        elif name.endswith("_tokens") and value is not None and count(value) is None:
            return False
    return True
