"""How much to think: one table between effort names and token budgets.

Wires differ in what they take (a name, a budget, a level); every dialect converts with
these, so that the same request thinks alike everywhere (contract/providers.md 3.3, 4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Effort names from least to most."""

FRACTIONS: Final[Mapping[str, float]] = {
    "minimal": 0.025,
    "low": 0.15,
    "medium": 0.425,
    "high": 0.80,
    "xhigh": 0.92,
    "max": 1.0,
}
"""Share of the output limit that an effort may spend on thinking."""

ASSUMED_LIMIT: Final = 16_384
"""Output limit, in tokens, that a thinking budget is compared with when none was asked for."""

_LOW_RATIO: Final = 0.25
_MEDIUM_RATIO: Final = 0.60


def budget_of(effort: str, max_tokens: int) -> int:
    """Return the thinking tokens that ``effort`` stands for under an output limit.

    ``none`` is 0; an unknown name counts as ``medium``.
    """
    if effort == "none":
        return 0
    return int(FRACTIONS.get(effort, FRACTIONS["medium"]) * max_tokens)


def effort_of(budget: int, max_tokens: int) -> str:
    """Return the effort that a budget of thinking tokens stands for under an output limit.

    0 is ``none``; -1 (the model's choice) is ``medium``.
    """
    if budget == 0:
        return "none"
    if budget < 0 or max_tokens <= 0:
        return "medium"
    ratio = budget / max_tokens
    if ratio <= _LOW_RATIO:
        return "low"
    return "medium" if ratio <= _MEDIUM_RATIO else "high"


def nearest_effort(effort: str, known: Sequence[str]) -> str:
    """Return ``effort`` if it is ``known``, else the next lower known one, else the lowest.

    ``known`` is ordered from least to most; an unknown name counts as ``medium``.
    """
    if effort in known:
        return effort
    rank = _rank(effort)
    lower = [name for name in known if _rank(name) <= rank]
    return lower[-1] if lower else known[0]


def _rank(effort: str) -> int:
    return EFFORTS.index(effort) if effort in EFFORTS else EFFORTS.index("medium")
