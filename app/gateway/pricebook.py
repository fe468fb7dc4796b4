"""The price catalogue (genai-prices): loaded at first use, in a native thread.

Loading takes a quarter of a second of CPU, so a greenlet that needs it waits while streams
go on; ``begin`` starts it early, behind a call's upstream. Most models have plain prices for
a million tokens of text: those are multiplied here, the rest is the library's business.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, NamedTuple

from gevent.event import AsyncResult
from gevent.threadpool import ThreadPool

from app.canonical.response import Usage
from app.gateway.heap import settle

_MILLION: Final = 1_000_000
_PER_CALL: Final = "requests_kcount"  # the one unit that a call of text alone is charged in, too
_AUDIO: Final = ("input.audio_tokens", "output.audio_tokens")


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

    def price(self, provider: str, model: str, usage: Usage) -> Price | None:
        """Return what ``usage`` costs, None for a model that is not listed.

        Raises ValueError for counts that contradict each other.
        """
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
        if rates is None or any(usage.details.get(name) for name in _AUDIO):
            return _by_library(provider, model, usage)
        return rates.price(usage)

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


def _by_library(provider: str, model: str, usage: Usage) -> Price:
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
    found = calc_price(counts, model, provider_id=provider)
    return Price(found.input_price, found.output_price, found.total_price)
