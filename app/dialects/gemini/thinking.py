"""How Gemini is told to think: levels for Gemini 3, token budgets before.

Rules: contract/providers.md 3.6; an explicit budget wins over an effort, and the two are
never sent together (Google refuses that).
"""

from __future__ import annotations

from typing import Any

from app.canonical.request import Reasoning, Request
from app.dialects.gemini.options import Family
from app.dialects.shared.effort import EFFORTS, budget_of
from app.dialects.shared.losses import Losses


def thinking_config(request: Request, family: Family, losses: Losses) -> dict[str, Any]:
    """Return ``thinkingConfig``, empty where nothing was asked for or nothing can be said."""
    reasoning = request.reasoning
    if reasoning is None or (reasoning.effort is None and reasoning.budget is None):
        return {"includeThoughts": True} if reasoning and reasoning.summary and _can_think(family) else {}
    config = _amount(reasoning, family, losses, request.sampling.max_tokens)
    if config and config.get("thinkingBudget") != 0 and _shows_thoughts(request, reasoning):
        config["includeThoughts"] = True
    return config


def _can_think(family: Family) -> bool:
    return family.budget is not None


def _shows_thoughts(request: Request, reasoning: Reasoning) -> bool:
    """Responses clients get summaries only when they ask; the others see reasoning as it is."""
    asks = request.origin is not None and request.origin.dialect == "responses"
    return reasoning.summary is not None or not asks


def _amount(reasoning: Reasoning, family: Family, losses: Losses, limit: int | None) -> dict[str, Any]:
    if family.budget is None:
        if reasoning.effort != "none" and reasoning.budget != 0:
            losses.report("reasoning_effort" if reasoning.budget is None else "reasoning_budget")
        return {}
    if reasoning.budget is not None:
        return _budget(reasoning.budget, family, losses, "reasoning_budget")
    effort = reasoning.effort or "medium"
    if family.levels:
        return {"thinkingLevel": _level(effort, family.levels, losses)}
    top = min(family.budget[1], limit or family.budget[1])
    wanted = budget_of(effort, top)
    if effort == "none":
        return _budget(0, family, losses, "reasoning_effort")
    return {"thinkingBudget": max(family.budget[0], min(family.budget[1], wanted))}


def _budget(wanted: int, family: Family, losses: Losses, feature: str) -> dict[str, Any]:
    """A budget inside the family's range; 0 is off and -1 the model's own choice."""
    if wanted == -1 or (wanted == 0 and family.off) or family.budget is None:
        return {"thinkingBudget": wanted}
    if wanted == 0:
        losses.report(feature, "This model always thinks; it was told to think as little as it can")
        return {"thinkingLevel": family.levels[0]} if family.levels else {"thinkingBudget": family.budget[0]}
    budget = max(family.budget[0], min(family.budget[1], wanted))
    if budget != wanted:
        losses.report(feature, f"The thinking budget was set to {budget}, the nearest this model takes")
    return {"thinkingBudget": budget}


def _level(effort: str, levels: tuple[str, ...], losses: Losses) -> str:
    """The level of that name, else the next stronger one, else the strongest."""
    if effort in levels:
        return effort
    rank = EFFORTS.index(effort) if effort in EFFORTS else EFFORTS.index("medium")
    stronger = [level for level in levels if EFFORTS.index(level) >= rank]
    level = stronger[0] if stronger else levels[-1]
    losses.report(
        "reasoning_effort", f"The effort '{effort}' was sent as '{level}', the nearest this model takes"
    )
    return level
