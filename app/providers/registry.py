"""From names and settings to providers; each module is imported when its provider is first made.

A module offers ``SPEC``, and ``bind(settings, egress, transport) -> Spec`` besides where its
spec depends on the settings or its credentials need the way out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

from app.config import ProviderSettings, Settings
from app.providers import PROVIDERS, row_of
from app.providers.base import Provider, Spec
from app.wire.egress import Egress


def all_names(settings: Settings) -> frozenset[str]:
    """Return the names of all providers: those of the table and the operator's own."""
    return frozenset({*PROVIDERS, *settings.providers} - _disabled_names(settings))


def configured_names(settings: Settings) -> tuple[str, ...]:
    """Return the providers that have all they need: the operator's order, then the built-in ones."""
    always = [name for name, row in PROVIDERS.items() if row.always]
    names = dict.fromkeys([*settings.providers, *always])
    off = _disabled_names(settings)
    return tuple(name for name in names if name not in off and is_configured(name, settings))


def _disabled_names(settings: Settings) -> frozenset[str]:
    """Return the providers that need no settings, where the operator wants none of them."""
    return (
        frozenset() if settings.sandbox else frozenset(name for name, row in PROVIDERS.items() if row.always)
    )


def is_configured(name: str, settings: Settings) -> bool:
    """Tell whether a provider has all it needs."""
    row = row_of(name)
    if row.always:
        return True
    own = settings.providers.get(name)
    if own is None or not all(_has(own, need) for need in row.needs):
        return False
    return bool(own.keys) or row.keyless or own.chain


def make_provider(name: str, settings: Settings, egress: Egress) -> Provider:
    """Return the provider called ``name`` with a transport of its own.

    One that lacks a setting is made all the same: it says what to set when it is used.
    """
    own = settings.providers.get(name) or ProviderSettings(name)
    transport = egress.transport(proxy=own.proxy, ca_bundle=own.ca_bundle, client_cert=own.client_cert)
    module = import_module(row_of(name).module)
    bind: Callable[[ProviderSettings, Egress, Any], Spec] | None = getattr(module, "bind", None)
    spec = module.SPEC if bind is None else bind(own, egress, transport)
    if own.chain:
        spec = replace(spec, needs_key=False)
    return Provider(spec, own, transport)


def _has(given: ProviderSettings, need: str) -> bool:
    return bool(given.base_url if need == "base_url" else given.options.get(need))
