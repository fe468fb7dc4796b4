"""The configuration's doubts and risks for a command: valid settings that are probably not intended, and their consequences.

Nothing is called: providers are made without their transports, which may be faulty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from app.config import Settings, has_limits
from app.config_loading.advice import Advice, advise
from app.config_loading.faults import path_text
from app.diagnostics.findings import Finding, note, warn
from app.gateway import allowances
from app.gateway.cost import PriceList
from app.providers.base import Provider
from app.providers.registry import all_names, configured_names, make_provider
from app.wire.egress import Egress

_SHORTEST: Final = 16
"""A secret with fewer characters is reported as weak."""


def advice_of(settings: Settings, environ: Mapping[str, str]) -> list[Advice]:
    """Return the place and the sentence of each doubt about settings and the environment that they were read from."""
    find, prices = _finder(settings), PriceList()

    def knows(model: str) -> bool:
        return any(prices.knows(find(name).spec.price_as, model) for name in configured_names(settings))

    return list(advise(settings, environ, find, knows))


def risks_of(settings: Settings) -> Iterator[Finding]:
    """Yield the risks of settings that are as intended."""
    yield from _weak_secrets(settings)
    yield from _malformed_keys(settings)
    for name in settings.native_batches:
        if name not in all_names(settings):
            yield warn(
                "SLUICE_NATIVE_BATCHES", f"names '{name}', which is not a provider", "correct the name"
            )
    if settings.encrypt and not settings.secret_keys:
        yield warn(
            "SLUICE_ENCRYPT",
            "encrypts with a key that is stored beside the database",
            "set SLUICE_SECRET_KEY",
        )
    if settings.workers > 1 and settings.redis_url is None and has_limits(settings):
        sentence = f"each of {settings.workers} workers keeps its own share of every limit"
        yield warn("WEB_CONCURRENCY", sentence, "set REDIS_URL, so that they count together")
    yield from _unpriced_models(settings)


def _weak_secrets(settings: Settings) -> Iterator[Finding]:
    sentence = f"has fewer than {_SHORTEST} characters and may be guessed"
    remedy = "use 32 random bytes: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
    if settings.master_key is not None and len(settings.master_key.reveal()) < _SHORTEST:
        yield warn("SLUICE_MASTER_KEY", sentence, remedy)
    if any(len(key.reveal()) < _SHORTEST for key in settings.secret_keys):
        yield warn("SLUICE_SECRET_KEY", sentence, remedy)
    for key in settings.keys:
        if len(key.secret.reveal()) < _SHORTEST:
            yield note(
                path_text(("keys", key.name)), f"{sentence}; `sluice keys new {key.name}` makes another"
            )


def _malformed_keys(settings: Settings) -> Iterator[Finding]:
    """Yield keys of providers that carry what belongs to a shell or to a header."""
    for name, provider in settings.providers.items():
        for key in provider.keys:
            text = key.secret.reveal()
            if text.lower().startswith("bearer "):
                fault = "begins with 'Bearer', which is added to it"
            elif text[:1] in ("'", '"') or text[-1:] in ("'", '"'):
                fault = "has quotation marks around it"
            else:
                continue
            place = path_text(("providers", name, "keys", key.name))
            yield warn(place, fault, "write the key alone")


def _unpriced_models(settings: Settings) -> Iterator[Finding]:
    """Yield models that the configuration names and a budget covers, but whose price is unknown."""
    budgets = [*settings.budgets]
    budgets += [one for key in settings.keys for one in key.budgets]
    budgets += [one for tenant in settings.tenants.values() for one in tenant.budgets]
    patterns = {one.models or "*" for one in budgets if not one.denies_unpriced}
    if not patterns:
        return
    find, prices, names = _finder(settings), PriceList(), set(all_names(settings))
    for target in sorted(_named_models(settings, patterns)):
        owner, _, model = target.partition("/")
        if owner not in names or not any(allowances.fits(pattern, target) for pattern in patterns):
            continue
        provider = find(owner)
        if model in provider.settings.prices or prices.knows(provider.spec.price_as, model):
            continue
        yield warn(
            path_text(("providers", owner, "prices")),
            f"budgets do not count '{target}', whose price is unknown",
            "set its price here, or refuse such models: unpriced = 'deny' in the budget",
        )


def _named_models(settings: Settings, patterns: set[str]) -> set[str]:
    """Return each ``provider/model`` that the configuration writes out."""
    models = {pattern for pattern in patterns if "/" in pattern and "*" not in pattern}
    models |= {
        f"{name}/{model}" for name, provider in settings.providers.items() for model in provider.models
    }
    for alias in settings.aliases.values():
        models.update((*(target for target, _ in alias.targets), *alias.fallbacks))
    return {target for target in models if "/" in target}


def _finder(settings: Settings) -> Callable[[str], Provider]:
    """Return a function that finds a provider by name, without its transport."""
    egress = Egress({})
    plain = {
        name: replace(provider, proxy=None, ca_bundle=None, client_cert=None)
        for name, provider in settings.providers.items()
    }
    inert = replace(settings, providers=plain)
    return lambda name: make_provider(name, inert, egress)
