"""The two sides of a usage, where a wire counts only one of them.

Tests: tests/behaviour/test_usage_of_one_side.py.
"""

from __future__ import annotations

from typing import NamedTuple

from app.canonical.response import Usage


class Sides(NamedTuple):
    """Input and output tokens, and the names of the sides without a count, which are 0 here."""

    input: int
    output: int
    missing: tuple[str, ...] = ()


def sides(before: int | None, after: int | None, total: int | None = None) -> Sides:
    """Return both sides; the total tells the one that has no count.

    A total that adds nothing to the other side tells nothing: some servers sum what they have.
    """
    if before is not None and after is not None:
        return Sides(before, after)
    beyond = max(0, (total or 0) - (before or 0) - (after or 0))
    if beyond and before is not None:
        return Sides(before, beyond)
    if beyond and after is not None:
        return Sides(beyond, after)
    missing = [name for name, tokens in (("input", before), ("output", after)) if tokens is None]
    return Sides(before or 0, after or 0, tuple(missing))


def lacks_side(usage: Usage | None) -> bool:
    """Tell whether a wire's usage leaves a side uncounted."""
    return usage is None or bool(usage.missing)
