"""Prices multiplied here are those of the catalogue's own library."""

from datetime import UTC, datetime

import gevent
import pytest
from genai_prices import Usage as PricedUsage
from genai_prices.data_snapshot import get_snapshot

from app.canonical.response import Usage
from app.gateway.pricebook import Price, PriceBook
from app.state.threads import original

USAGES = (
    Usage(input_tokens=1_234, output_tokens=567),
    Usage(input_tokens=300_000, output_tokens=1, cached_tokens=250_001),
    Usage(input_tokens=90_000, output_tokens=8_000, cached_tokens=2_048, cache_write_tokens=4_096),
    Usage(input_tokens=0, output_tokens=0),
)


def by_library(usage: Usage, provider, model) -> Price | None:
    rates = {name for name, rate in vars(model.get_prices(datetime.now(tz=UTC))).items() if rate is not None}
    if rates and not any(name.endswith("_mtok") for name in rates):
        return None  # charged by the hour, character or page, of which these usages count none
    counts = PricedUsage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_tokens or None,
        cache_write_tokens=usage.cache_write_tokens or None,
        output_tokens=usage.output_tokens,
    )
    try:
        found = model.calc_price(counts, provider, genai_request_timestamp=datetime.now(tz=UTC))
    except ValueError:
        return None
    return Price(found.input_price, found.output_price, found.total_price)


@pytest.mark.parametrize("usage", USAGES, ids=["plain", "cached", "written", "nothing"])
def test_every_listed_model_costs_what_the_library_says(usage):
    book, wrong, compared = PriceBook(), [], 0
    snapshot = get_snapshot()
    for listed in snapshot.providers:
        for model in listed.models:
            try:
                found = snapshot.find_provider_model(model.id, None, listed.id, None)[1]
            except LookupError:
                found = None
            assert book.knows(listed.id, model.id) is (found is not None)
            if found is None:
                continue
            try:
                ours = book.price(listed.id, model.id, usage)
            except ValueError:
                ours = None
            compared += 1
            if ours != by_library(usage, listed, found):
                wrong.append((listed.id, model.id, ours, by_library(usage, listed, found)))
    assert wrong == []
    assert compared > 2000


def test_audio_is_priced_by_the_library():
    book, spoken = PriceBook(), {"input.audio_tokens": 80, "output.audio_tokens": 40}
    heard = book.price("openai", "gpt-realtime", Usage(input_tokens=100, output_tokens=50, details=spoken))
    read = book.price("openai", "gpt-realtime", Usage(input_tokens=100, output_tokens=50))
    assert heard is not None
    assert read is not None
    assert heard.input > read.input
    assert heard.output > read.output


def test_counts_that_contradict_each_other_spoil_no_later_price():
    book = PriceBook()
    with pytest.raises(ValueError, match="cached"):
        book.price("openai", "gpt-4o-mini", Usage(input_tokens=1, cached_tokens=2))
    assert book.price("openai", "gpt-4o-mini", Usage(input_tokens=1_000_000)) is not None


def test_a_model_that_is_not_listed_has_no_price():
    book = PriceBook()
    assert book.price("openai", "no-such-model-at-all", Usage(input_tokens=1)) is None
    assert not book.knows("openai", "no-such-model-at-all")


def test_greenlets_run_while_the_library_loads(monkeypatch):
    turned = original("_thread", "allocate_lock")()
    turned.acquire()

    def load():
        if not turned.acquire(timeout=5):
            raise TimeoutError("no greenlet ran while the library was loaded")
        return get_snapshot().find_provider_model

    monkeypatch.setattr("app.gateway.pricebook._load", load)
    gevent.spawn(turned.release)
    spoken = {"input.audio_tokens": 80}
    assert PriceBook().price("openai", "gpt-realtime", Usage(input_tokens=100, details=spoken)) is not None


def test_a_call_of_text_loads_no_library(monkeypatch):
    monkeypatch.setattr("app.gateway.pricebook._load", lambda: pytest.fail("the library was loaded"))
    book = PriceBook()
    book.preload("openai", "gpt-4o-mini")
    assert book.price("openai", "gpt-4o-mini", Usage(input_tokens=1_000_000)) is not None
    assert book.price("anthropic", "claude-sonnet-4-5", Usage(input_tokens=300_000)) is not None
