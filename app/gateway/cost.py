"""What a call cost: the provider's own figure, else the operator's price, else the catalogue.

Costs are US dollars; an unknown price is None, never 0 (contract/surfaces.md 3). The price
catalogue is a large library, so it is imported at the first priced call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.response import Usage
from app.gateway.call import Outcome, Target

_MEMBERS: Final = (
    "input_tokens_cost",
    "output_tokens_cost",
    "reasoning_tokens_cost",
    "request_cost",
    "total_cost",
)
_MILLION: Final = 1_000_000


class PriceList:
    """Prices of models, by provider; remembers the catalogue's misses."""

    def __init__(self) -> None:
        self._unknown: set[tuple[str, str]] = set()

    def cost(self, target: Target, usage: Usage) -> dict[str, Any] | None:
        """Return the cost object of ``usage`` at ``target``, or None when unknown."""
        if usage.cost and usage.cost.get("total_cost") is not None:
            return _shown(usage.cost, "provider")
        row = target.provider.settings.prices.get(target.model)
        if row is not None:
            return _shown(_by_row(row, usage), "config")
        return self._by_catalogue(target, usage)

    @staticmethod
    def knows(provider: str | None, model: str) -> bool:
        """Tell whether the catalogue lists ``model`` for its provider id ``provider``."""
        if provider is None:
            return False
        from genai_prices.data_snapshot import get_snapshot

        try:
            get_snapshot().find_provider_model(model, None, provider, None)
        except LookupError:
            return False
        return True

    def _by_catalogue(self, target: Target, usage: Usage) -> dict[str, Any] | None:
        provider = target.provider.spec.price_as
        if provider is None or (provider, target.model) in self._unknown:
            return None
        from genai_prices import Usage as PricedUsage
        from genai_prices import calc_price

        counts = PricedUsage(
            input_tokens=usage.input_tokens,
            cache_read_tokens=usage.cached_tokens or None,
            cache_write_tokens=usage.cache_write_tokens or None,
            output_tokens=usage.output_tokens,
            input_audio_tokens=usage.details.get("input.audio_tokens") or None,
            output_audio_tokens=usage.details.get("output.audio_tokens") or None,
        )
        try:
            price = calc_price(counts, target.model, provider_id=provider)
        except (LookupError, ValueError):
            self._unknown.add((provider, target.model))
            return None
        parts = {
            "input_tokens_cost": float(price.input_price),
            "output_tokens_cost": float(price.output_price),
            "total_cost": float(price.total_price),
        }
        parts["request_cost"] = max(0.0, round(parts["total_cost"] - sum(list(parts.values())[:2]), 12))
        return _shown(parts, "catalogue")


def put_cost(body: Any, outcome: Outcome) -> None:
    """Set ``usage.cost`` wherever ``body`` (an answer, a chunk or an event) tells a usage."""
    if not isinstance(body, dict):
        return
    for holder in (body, body.get("response")):
        usage = holder.get("usage") if isinstance(holder, dict) else None
        if isinstance(usage, dict):
            usage["cost"] = dict(outcome.cost) if outcome.cost is not None else None
            if outcome.usage is not None and outcome.usage.estimated:
                usage["estimated"] = True


def _by_row(row: Mapping[str, float], usage: Usage) -> dict[str, float]:
    cached = min(usage.cached_tokens, usage.input_tokens)
    fresh = usage.input_tokens - cached
    into = (fresh * row.get("input", 0.0) + cached * row.get("cached", row.get("input", 0.0))) / _MILLION
    out = usage.output_tokens * row.get("output", 0.0) / _MILLION
    request = row.get("request", 0.0)
    return {
        "input_tokens_cost": into,
        "output_tokens_cost": out,
        "request_cost": request,
        "total_cost": into + out + request,
    }


def _shown(parts: Mapping[str, Any], source: str) -> dict[str, Any]:
    return {**{name: parts.get(name) for name in _MEMBERS}, "source": source}
