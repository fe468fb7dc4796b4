"""Reasoning efforts by name, and the thinking budgets in tokens that they correspond to.

Some wires have names, others budgets or levels. All dialects convert with this table, so that a
request reasons equally everywhere. The shares are the gateway's own choice, not a vendor's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Effort names from least to most."""

_FRACTIONS: Final[Mapping[str, float]] = {
    "none": 0.0,
    "minimal": 0.025,
    "low": 0.15,
    "medium": 0.425,
    "high": 0.80,
    "xhigh": 0.92,
    "max": 1.0,
}
"""Share of the output limit that may be spent on thinking, by effort."""

ASSUMED_LIMIT: Final = 16_384
"""Output limit in tokens for requests that set none, as the base of a thinking budget."""

_RATIOS: Final = ((0.25, "low"), (0.60, "medium"))
"""Share of the output limit up to which a budget counts as an effort."""


def budget_of(effort: str, max_tokens: int) -> int:
    """Return the budget in tokens for an effort and an output limit; an unknown name counts as ``medium``."""
    return int(_FRACTIONS.get(effort, _FRACTIONS["medium"]) * max_tokens)


def effort_of(budget: int, max_tokens: int) -> str:
    """Return the effort for a budget and an output limit, both in tokens; -1 (the model's choice) is ``medium``."""
    if budget == 0:
        return "none"
    if budget < 0 or max_tokens <= 0:
        return "medium"
    return next((effort for most, effort in _RATIOS if budget / max_tokens <= most), "high")


def nearest_effort(effort: str, levels: Sequence[str]) -> str:
    """Return ``effort`` if it is in ``levels``, otherwise the next lower one in it, otherwise its lowest.

    ``levels`` is ordered from lowest to highest; an unknown name counts as ``medium``.
    """
    if effort in levels:
        return effort
    rank = rank_of(effort)
    lower = [name for name in levels if rank_of(name) <= rank]
    return lower[-1] if lower else levels[0]


def rank_of(effort: str) -> int:
    """Return the place of an effort in ``EFFORTS``; an unknown name counts as ``medium``."""
    return EFFORTS.index(effort) if effort in EFFORTS else EFFORTS.index("medium")
