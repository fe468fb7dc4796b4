"""Export the price catalogue for the workers: ``python -m tests.catalogue --write``.

``app/gateway/catalogue.py`` says how a line is made up. Rates are the library's (genai-prices), as it is locked.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ConditionalPrice, StartDateConstraint, TieredPrices

from app.gateway.catalogue import FILE

PER_CALL = "requests_kcount"  # the one unit that a call of text alone is charged in, too


def export() -> bytes:
    """Return the file's content."""
    return b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in _lines())


def _lines() -> Iterator[Any]:
    for provider in get_snapshot().providers:
        rows = [[_clause(model.match), model.context_window, _periods(model)] for model in provider.models]
        yield [provider.id, provider.fallback_model_providers or [], rows]


def _clause(match: Any) -> Any:
    """Return match logic as ``[kind, argument]``; all but regular expressions compare lower case."""
    field = dataclasses.fields(match)[0].name
    value = getattr(match, field)
    if isinstance(value, list):
        return [field.rstrip("_"), [_clause(one) for one in value]]
    return [field, value if field == "regex" else value.lower()]


def _periods(model: Any) -> Any:
    listed = model.prices if isinstance(model.prices, list) else [ConditionalPrice(prices=model.prices)]
    periods = []
    for price in listed:
        if price.constraint is not None and not isinstance(price.constraint, StartDateConstraint):
            return None
        begins = price.constraint and price.constraint.start_date.isoformat()
        steps = _steps({name: rate for name, rate in vars(price.prices).items() if rate is not None})
        if steps is None:
            return None
        periods.append([begins, steps])
    return periods


def _steps(rates: dict[str, Any]) -> Any:
    """Return the rates of text for each threshold of the input; a rate that is missing is the input's. None for what is
    charged by the call, or by anything but tokens: hours, characters, pages."""
    if PER_CALL in rates or rates and not any(name.endswith("_mtok") for name in rates):
        return None
    into = rates.get("input_mtok", Decimal(0))
    text: Sequence[Any] = (
        into,
        rates.get("output_mtok", Decimal(0)),
        rates.get("cache_read_mtok", into),
        rates.get("cache_write_mtok", into),
    )
    starts = sorted({tier.start for rate in text if isinstance(rate, TieredPrices) for tier in rate.tiers})
    return [[above, *(str(_rate(rate, above)) for rate in text)] for above in (0, *starts)]


def _rate(rate: Any, above: int) -> Decimal:
    if not isinstance(rate, TieredPrices):
        return rate
    reached = [tier.price for tier in rate.tiers if tier.start <= above and above]
    return reached[-1] if reached else rate.base


if __name__ == "__main__":
    content = export()
    if "--write" in sys.argv:
        FILE.write_bytes(content)
    sys.stdout.write(f"{FILE.name}: {len(content):,} bytes\n")
