"""What tokens cost by the price catalogue.

Most calls are charged by rates for a million tokens of text, which the ``catalogue`` of a worker lists. The rest
(tiers of service, sound, pictures, hosted tools) is the business of the library, genai-prices. It is loaded at
first use, in a native thread: that takes a quarter of a second of CPU, so a greenlet that needs it waits while
streams go on; ``expect`` starts it early, behind a call's upstream.

Tests: tests/gateway/test_pricebook.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from gevent.event import AsyncResult
from gevent.threadpool import ThreadPool

from app.canonical.response import CHARACTERS, SECONDS, Usage
from app.gateway.catalogue import Catalogue, Model, Price, Rates
from app.gateway.garbage_collection import settle

_REMEMBERED: Final = 4096
"""Models that are remembered, listed or not."""
_PER_MODALITY: Final[Mapping[str, str]] = {
    "input.audio_tokens": "input_audio_tokens",
    "output.audio_tokens": "output_audio_tokens",
    "input.image_tokens": "input_image_tokens",
    "output.image_tokens": "output_image_tokens",
    "input.cache_write_1h_tokens": "cache_write_1h_tokens",
}
"""Counts with a rate of their own, and the library's names for them."""

_SPECIAL: Final = (*_PER_MODALITY, SECONDS)
"""Counts that the plain rates of text do not charge."""

_NEEDED_RATES: Final[Mapping[str, str]] = {
    "input_audio_tokens": "input_audio_mtok",
    "output_audio_tokens": "output_audio_mtok",
    "output_image_tokens": "output_image_mtok",
    "cache_write_1h_tokens": "cache_write_1h_mtok",
}
"""Rates without which such counts would be charged as text, which costs less."""

_AUDIO_RATES: Final = ("audio_hours", "input_audio_hours")
_CHARACTERS: Final = "input_mchars"

_PICTURES_ALONE: Final = re.compile(r"(?:^|/)(?:chat)?gpt-image-")
"""Models that make nothing but pictures: their plain rate of output is that of pictures."""

_USUAL_TIERS: Final = frozenset({"default", "standard", "auto", "on_demand", "standard_only"})
"""Tiers, as answers name them, to which the catalogue's plain prices apply."""


class PriceBook:
    """The prices of one process, which remembers the models that it looked up."""

    def __init__(self) -> None:
        self._catalogue = Catalogue()
        self._loading: AsyncResult[Callable[..., Any]] | None = None
        self._models: dict[tuple[str, str], Model | None] = {}

    def preload(self, provider: str, model: str) -> None:
        """Begin to load the library, once, if ``price`` will need it for any usage of ``model``."""
        listed = self._model(provider, model)
        if listed is not None and listed.periods is None:
            self._begin()

    def knows(self, provider: str, model: str) -> bool:
        """Tell whether ``model`` is listed for the catalogue's ``provider``."""
        return self._model(provider, model) is not None

    def window(self, provider: str, model: str) -> int | None:
        """Return the context window of ``model`` in tokens, None where the catalogue does not say."""
        listed = self._model(provider, model)
        return None if listed is None else listed.window

    def rates(self, provider: str, model: str) -> Rates | None:
        """Return what a small call of text is charged today, None where that is unknown or no such product."""
        listed = self._model(provider, model)
        return None if listed is None else listed.rates(0)

    def price(self, provider: str, model: str, usage: Usage, tier: str | None = None) -> Price | None:
        """Return what ``usage`` costs in the service tier that served it.

        None if the model is not listed, or if the catalogue lacks a price: of a tier, a kind of token, a hosted tool.
        Raises ValueError for counts that contradict each other.
        """
        if not usage.billing.further:
            return self._price(provider, model, usage, tier)
        parts = [self._price(provider, model, usage, tier)]
        for name, further in usage.billing.further:
            parts.append(self._price(provider, name or model, further, tier))
        if None in parts:
            return None
        return Price(*map(sum, zip(*parts, strict=True)))  # type: ignore[arg-type]

    def _price(self, provider: str, model: str, usage: Usage, tier: str | None) -> Price | None:
        listed = self._model(provider, model)
        if listed is None:
            return None
        terms = dict(usage.billing.terms)
        if tier is not None and tier not in _USUAL_TIERS:
            terms["service_tier"] = tier
        rates = listed.rates(usage.input_tokens)
        details = usage.details
        special = terms or usage.billing.units or (details and any(details.get(n) for n in _SPECIAL))
        if rates is not None and not special:
            return rates.price(usage)
        return (
            _by_library(provider, model, usage, terms)
            if self._charges(provider, model, usage, terms)
            else None
        )

    def _model(self, provider: str, model: str) -> Model | None:
        key = (provider, model)
        if key not in self._models:
            if len(self._models) >= _REMEMBERED:
                self._models.clear()
            self._models[key] = self._catalogue.model(provider, model)
        return self._models[key]

    def _charges(self, provider: str, model: str, usage: Usage, terms: Mapping[str, str]) -> bool:
        """Tell whether the library knows every price that ``usage`` is charged by."""
        find: Any = self._begin().get()
        try:
            row, now = find(model, None, provider, None)[1], datetime.now(tz=UTC)
        except LookupError:  # a newer library that no longer lists it
            return False
        variants = [one for one in row.price_variants or () if _is_active(one, now)]
        if not all(any(one.when == {name: word} for one in variants) for name, word in terms.items()):
            return False
        prices = row.get_prices(now, terms or None)
        counts = {
            _PER_MODALITY[name] for name, tokens in usage.details.items() if tokens and name in _PER_MODALITY
        }
        needed = {rate for name, rate in _NEEDED_RATES.items() if name in counts}
        if _PICTURES_ALONE.search(model):
            needed.discard("output_image_mtok")
        units = {_CHARACTERS if unit == CHARACTERS else f"{unit}_kcount" for unit in usage.billing.units}
        known = {name for name, rate in vars(prices).items() if rate is not None}
        charged = units.union(_AUDIO_RATES if usage.details.get(SECONDS) else ())
        if charged and not usage.total or not any(name.endswith("_mtok") for name in known):
            return units <= known and not known.isdisjoint(charged)  # no price of tokens counts
        return needed | units <= known

    def _begin(self) -> AsyncResult[Callable[..., Any]]:
        """Begin to load the library, once, and return the function that finds a model in it."""
        if self._loading is None:
            self._loading = ThreadPool(1).spawn(_load)
        return self._loading


def _load() -> Callable[..., Any]:
    from genai_prices.data_snapshot import get_snapshot

    find = get_snapshot().find_provider_model
    settle()
    return find


def _is_active(variant: Any, now: datetime) -> bool:
    return variant.constraint is None or bool(variant.constraint.active(now))


def _by_library(provider: str, model: str, usage: Usage, terms: Mapping[str, str]) -> Price:
    from genai_prices import Usage as PricedUsage
    from genai_prices import calc_price

    seconds = usage.details.get(SECONDS) or None
    counts = PricedUsage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_tokens or None,
        cache_write_tokens=usage.cache_write_tokens or None,
        output_tokens=usage.output_tokens,
        audio_seconds=seconds,
        input_audio_seconds=seconds,
        **{name: usage.details.get(detail) or None for detail, name in _PER_MODALITY.items()},
        **usage.billing.units,
    )
    price = calc_price(counts, model, provider_id=provider, price_context=terms or None)
    return Price(price.input_price, price.output_price, price.total_price)
