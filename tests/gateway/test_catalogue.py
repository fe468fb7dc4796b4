"""The workers' file of prices says what the library says, for every spelling of a name."""

import json
from decimal import Decimal
from functools import cache

import pytest
from genai_prices.data_snapshot import get_snapshot

from app.canonical.response import Usage
from app.gateway.catalogue import FILE, Catalogue
from app.providers import PROVIDERS
from tests.catalogue import export


def spellings(name):
    """Names as vendors, routers and clouds write them, and some that mean nothing."""
    yield from (
        name,
        name.upper(),
        f"{name}-20251211",
        f"{name}-20259999",
        f"{name}-2025-12-11",
        f"{name}-latest",
    )
    yield from (
        f"{name}:free",
        f"{name}@20250514",
        f"eu.anthropic.{name}-v1:0",
        f"vendor/{name}",
        f"x{name}",
        name[:-1],
    )


@cache
def rows():
    """Our rows by the identity of the library's models."""
    found = {}
    for line in map(json.loads, FILE.read_bytes().splitlines()):
        own = next(one for one in get_snapshot().providers if one.id == line[0])
        found |= {id(model): row for model, row in zip(own.models, line[2], strict=True)}
    return found


def names_of(models):
    """Every name as it is, and some fifty spelled in every way: a router lists many hundreds."""
    spelled = models[:: 1 + len(models) // 50]
    return {model.id for model in models} | {name for model in spelled for name in spellings(model.id)}


@pytest.mark.parametrize("provider", get_snapshot().providers, ids=lambda provider: provider.id)
def test_a_name_means_the_model_that_the_library_finds(provider):
    catalogue, snapshot = Catalogue(), get_snapshot()
    for name in names_of(provider.models):
        found, ours = (
            provider.find_model(name, all_providers=snapshot.providers),
            catalogue.model(provider.id, name),
        )
        if found is None:
            assert ours is None, name
            continue
        row = rows()[id(found)]
        assert ours is not None, name
        assert ours.window == found.context_window
        shown = ours.periods and [
            [p.begins and p.begins.isoformat(), [[s.above, *map(str, s[1:])] for s in p.steps]]
            for p in ours.periods
        ]
        assert shown == row[2], name


def test_the_file_is_what_the_library_says():
    assert export() == FILE.read_bytes(), "run: python -m tests.catalogue --write"


def test_every_provider_has_its_line():
    ids = {json.loads(line)[0] for line in FILE.read_bytes().splitlines()}
    from app.config import Settings
    from app.providers.registry import make_provider
    from app.wire.egress import Egress

    named = {make_provider(name, Settings(), Egress()).spec.price_as for name in PROVIDERS} - {None}
    assert named
    assert named <= ids


def test_the_last_period_that_has_begun_holds_and_the_step_that_the_input_passes(tmp_path):
    file = tmp_path / "catalogue.jsonl"
    periods = [
        [None, [[0, "1", "2", "1", "1"]]],
        ["2020-01-01", [[0, "3", "4", "3", "3"], [100, "5", "6", "5", "5"]]],
        ["2999-01-01", [[0, "9", "9", "9", "9"]]],
    ]
    file.write_text(json.dumps(["acme", [], [[["equals", "one"], 5, periods]]]) + "\n")
    found = Catalogue(file).model("acme", "One")
    assert found is not None
    assert found.window == 5
    assert [found.rates(count).input for count in (0, 100, 101)] == [3, 3, 5]
    assert found.rates(101).price(Usage(input_tokens=1_000_000, output_tokens=0)).total == Decimal(5)


def test_a_provider_without_a_line_lists_nothing():
    assert Catalogue().model("no-such-provider", "gpt-4o-mini") is None
