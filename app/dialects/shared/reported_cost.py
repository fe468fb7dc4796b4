"""The cost of a call as its provider reports it within the usage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.dialects.shared.lenient_json import as_dict, number


def decode_cost(usage: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the cost in US dollars with at least ``total_cost``, None if the usage has none.

    Perplexity reports an object, OpenRouter a number. With the client's own key at a provider
    (``is_byok``), OpenRouter's number is only its fee; the provider's price is in ``cost_details``
    (https://openrouter.ai/docs/use-cases/byok, November 2026).
    """
    cost = usage.get("cost")
    if isinstance(cost, dict):
        return cost if number(cost.get("total_cost")) is not None else None
    fee, details = number(cost), as_dict(usage.get("cost_details"))
    price = number(details.get("upstream_inference_cost")) if usage.get("is_byok") is True else 0
    return None if fee is None or price is None else {**details, "total_cost": fee + price}
