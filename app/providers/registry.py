"""Make providers from names and settings; a provider's module is imported when it is first made.

A module has ``SPEC``, or ``bind(settings, egress, transport) -> Spec`` where the spec depends on the
settings or the credentials need the transport.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any, Final

from app.config import ProviderSettings, Settings
from app.providers import PROVIDERS, row_of
from app.providers.base import Provider, Spec
from app.wire.egress import Egress

_READY: Final = frozenset(name for name, row in PROVIDERS.items() if row.always)
"""The providers that need no settings; the operator may disable them."""


def all_names(settings: Settings) -> frozenset[str]:
    """Return the names of all providers: those of the table and the operator's own."""
    return frozenset({*PROVIDERS, *settings.providers} - _disabled_names(settings))


def configured_names(settings: Settings) -> tuple[str, ...]:
    """Return the providers that have all they need: the operator's order, then the built-in ones."""
    names = dict.fromkeys([*settings.providers, *_READY])
    disabled = _disabled_names(settings)
    return tuple(name for name in names if name not in disabled and is_configured(name, settings))


def _disabled_names(settings: Settings) -> frozenset[str]:
    return frozenset() if settings.sandbox else _READY


def is_configured(name: str, settings: Settings) -> bool:
    """Tell whether a provider has all it needs."""
    row = row_of(name)
    if row.always:
        return True
    provider = settings.providers.get(name)
    if provider is None or not all(_has(provider, need) for need in row.needs):
        return False
    return bool(provider.keys) or row.keyless or provider.chain


def make_provider(name: str, settings: Settings, egress: Egress) -> Provider:
    """Return the provider called ``name`` with a transport of its own.

    A provider without a needed setting is made, too; using it raises an error that says what to set.
    """
    own = settings.providers.get(name) or ProviderSettings(name)
    transport = egress.transport(proxy=own.proxy, ca_bundle=own.ca_bundle, client_cert=own.client_cert)
    module = import_module(row_of(name).module)
    bind: Callable[[ProviderSettings, Egress, Any], Spec] | None = getattr(module, "bind", None)
    spec = module.SPEC if bind is None else bind(own, egress, transport)
    if own.chain:
        spec = replace(spec, needs_key=False)
    return Provider(spec, own, transport)


def _has(settings: ProviderSettings, need: str) -> bool:
    return bool(settings.base_url if need == "base_url" else settings.options.get(need))
