"""The cost of a call: the provider's own figure, else the operator's price, else the catalogue.

Costs are US dollars; an unknown price is None, never 0.

Tests: tests/golden/accounting.py, tests/gateway/test_pricebook.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.response import CHARACTERS, SECONDS, Usage
from app.dialects import dialect_of
from app.dialects.base import Row
from app.dialects.shared.lenient_json import as_dict
from app.gateway.call import Target
from app.gateway.outcome import Outcome
from app.gateway.pricebook import PriceBook
from app.providers.base import Provider

_MEMBERS: Final = (
    "input_tokens_cost",
    "output_tokens_cost",
    "reasoning_tokens_cost",
    "request_cost",
    "total_cost",
)
_MILLION: Final = 1_000_000
UNITS: Final[Mapping[str, str]] = {"image": "generated_images", "search_unit": "search_units"}
"""Units with a price of the operator's, and their names in a usage."""


class PriceList:
    """Prices of models, by provider."""

    def __init__(self) -> None:
        self._book = PriceBook()

    def cost(self, target: Target, usage: Usage, tier: str | None = None) -> dict[str, Any] | None:
        """Return the cost object of ``usage`` at ``target``, or None when unknown.

        ``tier`` is the service tier that served the call, by the provider's name.
        """
        if usage.cost and usage.cost.get("total_cost") is not None:
            return _members(usage.cost, "provider")
        row = target.provider.settings.prices.get(target.model)
        if row is not None:
            parts = _cost_by_prices(row, usage)
            return None if parts is None else _members(parts, "config")
        return self._by_catalogue(target, usage, tier)

    def preload(self, target: Target) -> None:
        """Begin to load what ``cost`` will need, while the provider works."""
        provider = target.provider.spec.price_as
        if provider is not None and target.model not in target.provider.settings.prices:
            self._book.preload(provider, target.model)

    def knows(self, provider: str | None, model: str) -> bool:
        """Tell whether the catalogue lists ``model`` for its provider id ``provider``."""
        return provider is not None and self._book.knows(provider, model)

    def per_million(self, provider: Provider, model: str) -> dict[str, float] | None:
        """Return US dollars per million tokens of text, ``input`` and ``output``, of a small call today. None if the price is
        unknown or not a plain rate."""
        own = provider.settings.prices.get(model)
        if own is not None:
            return {name: own.get(name, 0.0) for name in ("input", "output")}
        listed = provider.spec.price_as
        rates = None if listed is None else self._book.rates(listed, model)
        return None if rates is None else {"input": float(rates.input), "output": float(rates.output)}

    def window(self, target: Target) -> int | None:
        """Return the context window of a target in tokens, None if the catalogue has none."""
        provider = target.provider.spec.price_as
        return None if provider is None else self._book.window(provider, target.model)

    def _by_catalogue(self, target: Target, usage: Usage, tier: str | None) -> dict[str, Any] | None:
        provider = target.provider.spec.price_as
        if provider is None:
            return None
        try:
            price = self._book.price(provider, target.model, usage, tier)
        except ValueError:  # counts that contradict each other have no price
            return None
        if price is None:
            return None
        into, out, total = float(price.input), float(price.output), float(price.total)
        return {
            "input_tokens_cost": into,
            "output_tokens_cost": out,
            "reasoning_tokens_cost": None,
            "request_cost": max(0.0, round(total - (into + out), 12)),
            "total_cost": total,
            "source": "catalogue",
        }


def add_costs(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the cost object of two calls together, None if either cost is unknown."""
    if one is None or other is None:
        return None
    parts = {name: [cost[name] for cost in (one, other) if cost.get(name) is not None] for name in _MEMBERS}
    return {**other, **{name: sum(known) if known else None for name, known in parts.items()}}


def put_cost(body: Any, outcome: Outcome) -> None:
    """Set ``usage.cost``, a number in US dollars, and ``usage.cost_details`` in each usage of ``body`` (an answer, a chunk or an
    event), if the dialect has them. Details of the provider stay."""
    if not isinstance(body, dict) or not dialect_of(Row, outcome.call.dialect).reports_cost:
        return
    for holder in (body, body.get("response")):
        usage = holder.get("usage") if isinstance(holder, dict) else None
        if isinstance(usage, dict):
            usage["cost"] = None if outcome.cost is None else outcome.cost["total_cost"]
            if outcome.cost is not None:
                usage["cost_details"] = {**as_dict(usage.get("cost_details")), **outcome.cost}
            if outcome.usage is not None and outcome.usage.estimated:
                usage["estimated"] = True


def move_details_to_cost(usage: dict[str, Any]) -> None:
    """Replace ``usage.cost`` by its details, in place, as TrueFoundry's API documents it."""
    details = usage.pop("cost_details", None)
    if usage.get("cost") is not None and isinstance(details, dict):
        usage["cost"] = details


def _cost_by_prices(row: Mapping[str, float], usage: Usage) -> dict[str, float] | None:
    """Return the cost by the operator's prices of the model; None if the usage counts only units without a price."""
    units = {name: usage.billing.units.get(unit, 0) for name, unit in UNITS.items()}
    unpriced = any(n and name not in row for name, n in units.items())
    unpriced = unpriced or CHARACTERS in usage.billing.units or not usage.total and SECONDS in usage.details
    if unpriced and "request" not in row and not usage.output_tokens:
        return None
    own = [further for model, further in usage.billing.further if model is None]
    runs = [_token_cost(row, run) for run in (usage, *own)]
    request = row.get("request", 0.0) + sum(row.get(name, 0.0) * n for name, n in units.items())
    into, out = (sum(side) for side in zip(*runs, strict=True))
    return {
        "input_tokens_cost": into,
        "output_tokens_cost": out,
        "request_cost": request,
        "total_cost": into + out + request,
    }


def _token_cost(row: Mapping[str, float], usage: Usage) -> tuple[float, float]:
    cached = min(usage.cached_tokens, usage.input_tokens)
    fresh = usage.input_tokens - cached
    into = (fresh * row.get("input", 0.0) + cached * row.get("cached", row.get("input", 0.0))) / _MILLION
    return into, usage.output_tokens * row.get("output", 0.0) / _MILLION


def _members(parts: Mapping[str, Any], source: str) -> dict[str, Any]:
    return {**{name: parts.get(name) for name in _MEMBERS}, "source": source}
