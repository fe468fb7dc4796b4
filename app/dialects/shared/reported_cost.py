"""A provider's own figure of what a call cost, as usages tell it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.dialects.shared.lenient_json import as_dict, number


def decode_cost(usage: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the price in US dollars that a usage tells, with at least ``total_cost``; None for none.

    An object is Perplexity's, a number OpenRouter's. With the caller's own key at a maker
    (``is_byok``), OpenRouter's number is its fee alone and the maker's price stands beside it
    (https://openrouter.ai/docs/use-cases/byok, November 2026).
    """
    cost = usage.get("cost")
    if isinstance(cost, dict):
        return cost if number(cost.get("total_cost")) is not None else None
    total, details = number(cost), as_dict(usage.get("cost_details"))
    if total is None:
        return None
    if usage.get("is_byok") is True:
        upstream = number(details.get("upstream_inference_cost"))
        if upstream is None:
            return None
        total += upstream
    return {**details, "total_cost": total}
