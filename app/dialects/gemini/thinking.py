"""Encode requested reasoning as Gemini's ``thinkingConfig``: levels for Gemini 3, token budgets before.

A budget takes precedence over an effort: Google refuses both together. Source:
contract/providers.md 3.6.
"""

from __future__ import annotations

from typing import Any

from app.canonical.request import Reasoning, Request
from app.dialects.gemini.options import Family
from app.dialects.shared.effort import budget_of, rank_of
from app.dialects.shared.losses import Losses


def thinking_config(request: Request, family: Family, losses: Losses) -> dict[str, Any]:
    """Return ``thinkingConfig``, empty if nothing was requested or the family cannot think.

    Responses clients get summaries only if they request them, other clients always.
    """
    reasoning = request.reasoning
    if reasoning is None or (reasoning.effort is None and reasoning.budget is None):
        shows = reasoning is not None and reasoning.summary and family.budget is not None
        return {"includeThoughts": True} if shows else {}
    config = _amount(reasoning, family, losses, request.sampling.max_tokens)
    must_request = request.origin is not None and request.origin.dialect == "responses"
    shows = reasoning.summary is not None or not must_request
    if not config or config.get("thinkingBudget") == 0 or not shows:
        return config
    return {**config, "includeThoughts": True}


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
    if effort == "none":
        return _budget(0, family, losses, "reasoning_effort")
    lowest, highest = family.budget
    return {"thinkingBudget": max(lowest, min(highest, budget_of(effort, min(highest, limit or highest))))}


def _budget(tokens: int, family: Family, losses: Losses, feature: str) -> dict[str, Any]:
    """Return a budget in the family's range; 0 turns thinking off, -1 leaves it to the model."""
    if tokens == -1 or (tokens == 0 and family.off) or family.budget is None:
        return {"thinkingBudget": tokens}
    lowest, highest = family.budget
    if tokens == 0:
        losses.report(feature, "This model always thinks; the least thinking was requested")
        return {"thinkingLevel": family.levels[0]} if family.levels else {"thinkingBudget": lowest}
    budget = max(lowest, min(highest, tokens))
    if budget != tokens:
        losses.report(feature, f"The thinking budget was set to {budget}, the nearest this model takes")
    return {"thinkingBudget": budget}


def _level(effort: str, levels: tuple[str, ...], losses: Losses) -> str:
    """Return the level of an effort, else the next higher one, else the highest."""
    level = next((level for level in levels if rank_of(level) >= rank_of(effort)), levels[-1])
    if level != effort:
        message = f"The effort '{effort}' was sent as '{level}', the nearest this model takes"
        losses.report("reasoning_effort", message)
    return level
