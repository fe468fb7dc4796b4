"""The price catalogue (genai-prices): loaded at first use, in a native thread.

Loading takes a quarter of a second of CPU, so a greenlet that needs it waits while streams
go on; ``begin`` starts it early, behind a call's upstream. Most models have plain prices for
a million tokens of text: those are multiplied here, the rest is the library's business.

Tests: tests/gateway/test_pricebook.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from gevent.event import AsyncResult
from gevent.threadpool import ThreadPool

from app.canonical.response import Usage
from app.gateway.heap import settle

_MILLION: Final = 1_000_000
_PER_CALL: Final = "requests_kcount"  # the one unit that a call of text alone is charged in, too
_PER_MODALITY: Final[Mapping[str, str]] = {
    "input.audio_tokens": "input_audio_tokens",
    "output.audio_tokens": "output_audio_tokens",
    "input.image_tokens": "input_image_tokens",
    "output.image_tokens": "output_image_tokens",
    "input.cache_write_1h_tokens": "cache_write_1h_tokens",
}
"""Counts with a rate of their own, and the library's names for them."""

_NEEDED_RATES: Final[Mapping[str, str]] = {
    "input_audio_tokens": "input_audio_mtok",
    "output_audio_tokens": "output_audio_mtok",
    "output_image_tokens": "output_image_mtok",
    "cache_write_1h_tokens": "cache_write_1h_mtok",
}
"""Rates without which such counts would be charged as text, which costs less."""

_USUAL_TIERS: Final = frozenset({"default", "standard", "auto", "on_demand", "standard_only"})
"""Words of answers for the tier that the catalogue's plain prices are of."""


class Price(NamedTuple):
    """US dollars for what went in, what came out and the whole."""

    input: Decimal
    output: Decimal
    total: Decimal


class Rates(NamedTuple):
    """US dollars for a million tokens; a rate that the catalogue lacks is the input's."""

    input: Decimal
    output: Decimal
    cached: Decimal
    cache_write: Decimal

    def price(self, usage: Usage) -> Price:
        """Return the price of ``usage``; ValueError for more cached tokens than came in."""
        fresh = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
        if fresh < 0:
            raise ValueError("more cached tokens than input tokens")
        came_in = fresh * self.input + usage.cached_tokens * self.cached
        if usage.cache_write_tokens:
            came_in += usage.cache_write_tokens * self.cache_write
        came_in /= _MILLION
        went_out = usage.output_tokens * self.output / _MILLION
        return Price(came_in, went_out, came_in + went_out)


class PriceBook:
    """The catalogue of one process; remembers plain rates and models it does not list."""

    def __init__(self) -> None:
        self._loading: AsyncResult[Callable[..., Any]] | None = None
        self._rates: dict[tuple[str, str], Rates | None] = {}
        self._unknown: set[tuple[str, str]] = set()

    def begin(self) -> AsyncResult[Callable[..., Any]]:
        """Begin to load the catalogue, if nobody did, and return what will find a model in it."""
        if self._loading is None:
            self._loading = ThreadPool(1).spawn(_load)
        return self._loading

    def knows(self, provider: str, model: str) -> bool:
        """Tell whether ``model`` is listed for the catalogue's ``provider``."""
        return self._found(provider, model) is not None

    def price(self, provider: str, model: str, usage: Usage, tier: str | None = None) -> Price | None:
        """Return what ``usage`` costs in the service tier that served it.

        None for a model that is not listed, and for what the catalogue has no price of: a tier, a
        kind of token, a hosted tool. Raises ValueError for counts that contradict each other.
        """
        parts = [self._price(provider, model, usage, tier)]
        for name, further in usage.billing.further:
            parts.append(self._price(provider, name or model, further, tier))
        if None in parts:
            return None
        return Price(*map(sum, zip(*parts, strict=True)))  # type: ignore[arg-type]

    def _price(self, provider: str, model: str, usage: Usage, tier: str | None) -> Price | None:
        key = (provider, model)
        if key in self._unknown:
            return None
        if key not in self._rates:
            found = self._found(provider, model)
            if found is None:
                self._unknown.add(key)
                return None
            self._rates[key] = _plain_rates(found.prices)
        rates = self._rates[key]
        terms = dict(usage.billing.terms)
        if tier is not None and tier not in _USUAL_TIERS:
            terms["service_tier"] = tier
        special = terms or usage.billing.units or any(usage.details.get(name) for name in _PER_MODALITY)
        if rates is not None and not special:
            return rates.price(usage)
        return _by_library(provider, model, usage, terms) if self._charges(key, usage, terms) else None

    def _charges(self, key: tuple[str, str], usage: Usage, terms: Mapping[str, str]) -> bool:
        """Tell whether the catalogue knows every price that ``usage`` is charged by."""
        found, now = self._found(*key), datetime.now(tz=UTC)
        listed = [item for item in found.price_variants or () if _is_active(item, now)]
        if not all(any(item.when == {name: word} for item in listed) for name, word in terms.items()):
            return False
        prices = found.get_prices(now, terms or None)
        counts = {
            _PER_MODALITY[name] for name, tokens in usage.details.items() if tokens and name in _PER_MODALITY
        }
        needed = {rate for name, rate in _NEEDED_RATES.items() if name in counts}
        needed |= {f"{unit}_kcount" for unit in usage.billing.units}
        return all(prices.__dict__.get(rate) is not None for rate in needed)

    def _found(self, provider: str, model: str) -> Any:
        find: Any = self.begin().get()
        try:
            return find(model, None, provider, None)[1]
        except LookupError:
            return None


def _load() -> Callable[..., Any]:
    from genai_prices.data_snapshot import get_snapshot

    found = get_snapshot().find_provider_model
    settle()
    return found


def _plain_rates(prices: Any) -> Rates | None:
    """Return the rates of a model whose price for text is a plain product, else None."""
    told = {name: value for name, value in getattr(prices, "__dict__", {}).items() if value is not None}
    input_rate = told.get("input_mtok", Decimal(0))
    rates = Rates(
        input_rate,
        told.get("output_mtok", Decimal(0)),
        told.get("cache_read_mtok", input_rate),
        told.get("cache_write_mtok", input_rate),
    )
    plain = not isinstance(prices, list) and _PER_CALL not in told
    return rates if plain and all(isinstance(rate, Decimal) for rate in rates) else None


def _is_active(variant: Any, now: datetime) -> bool:
    return variant.constraint is None or bool(variant.constraint.active(now))


def _by_library(provider: str, model: str, usage: Usage, terms: Mapping[str, str]) -> Price:
    from genai_prices import Usage as PricedUsage
    from genai_prices import calc_price

    counts = PricedUsage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_tokens or None,
        cache_write_tokens=usage.cache_write_tokens or None,
        output_tokens=usage.output_tokens,
        **{name: usage.details.get(detail) or None for detail, name in _PER_MODALITY.items()},
        **usage.billing.units,
    )
    found = calc_price(counts, model, provider_id=provider, price_context=terms or None)
    return Price(found.input_price, found.output_price, found.total_price)
