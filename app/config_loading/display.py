"""The configuration as lines that anyone may see: secrets are ``***``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Any
from urllib.parse import urlsplit

from app.config import (
    Alias,
    Budget,
    CacheSettings,
    Limit,
    ProviderSettings,
    Settings,
    TargetMembers,
    VirtualKey,
    dollars_of,
)
from app.config_loading.members import MEMBERS
from app.providers import PROVIDERS

_HIDDEN = "***"


def describe(settings: Settings, configured: tuple[str, ...]) -> Iterator[str]:
    """Yield lines that describe ``settings``; ``configured`` are the providers ready for use."""
    yield "[server]"
    yield from _server(settings)
    yield "[keys]"
    yield from map(_key, settings.keys)
    if settings.tenants:
        yield "[tenants]"
    for tenant in settings.tenants.values():
        parts = [text for text in (_limits(tenant.limits), _budgets(tenant.budgets)) if text]
        yield f"  {tenant.name} = {'; '.join(parts) or 'no limits'}"
    yield "[models]"
    for name, alias in settings.aliases.items():
        yield from _alias(name, alias)
    yield "[providers]"
    for name in dict.fromkeys([*settings.providers, *configured, *PROVIDERS]):
        provider = settings.providers.get(name)
        state = "ready" if name in configured else "incomplete" if provider else "not configured"
        yield f"  {name}: {'; '.join([state, *(_details(provider) if provider else ())])}"


def _server(settings: Settings) -> Iterator[str]:
    for member in MEMBERS:
        value = attrgetter(".".join(member.path))(settings)
        if value not in (None, ()):
            value_text = _origin(value) if member.path == ("alert_url",) else _show(value)
            yield f"  {'.'.join(member.path)} = {value_text}"
    if settings.limits:
        yield f"  limits = {_limits(settings.limits)}"
    if settings.budgets:
        yield f"  budgets = {_budgets(settings.budgets)}"
    if settings.cache is not None:
        yield f"  cache = {_cache(settings.cache)}"


def _key(key: VirtualKey) -> str:
    models = ", ".join(key.models) if key.models is not None else "every model"
    conditions = f"; {_limits(key.limits)}" if key.limits else ""
    conditions += f"; {_budgets(key.budgets)}" if key.budgets else ""
    conditions += f"; cache {_cache(key.cache)}" if key.cache is not None else ""
    return f"  {key.name} = {_HIDDEN} (tenant {key.tenant}; {models}{conditions})"


def _alias(name: str, alias: Alias) -> Iterator[str]:
    targets = ", ".join(f"{target} ({weight:g})" for target, weight in alias.targets)
    yield f'  "{name}" = {targets}' + "".join(f", then {target}" for target in alias.fallbacks)
    for target, members in alias.members.items():
        yield f"    {target}: {', '.join(_target_members(members))}"
    if alias.strategy != "weighted":
        yield f"    strategy {alias.strategy}"
    if alias.cache is not None:
        yield f"    cache {_cache(alias.cache)}"


def visible_members(settings: Settings) -> dict[str, Any]:
    """Return ``[server]`` as a JSON object that anyone may see; secrets that are set are ``***``."""
    section: dict[str, Any] = {}
    for member in MEMBERS:
        value = attrgetter(".".join(member.path))(settings)
        place = section
        for step in member.path[:-1]:
            place = place.setdefault(step, {})
        place[member.path[-1]] = _HIDDEN if member.secret and value not in (None, ()) else _as_json(value)
    return section


def _as_json(value: Any) -> Any:
    """Return a value for JSON; texts lose the secret parts of a URL."""
    if value is None or isinstance(value, bool | int | float):
        return value
    return [_show(one) for one in value] if isinstance(value, tuple) else _show(value)


def _details(provider: ProviderSettings) -> Iterator[str]:
    if provider.base_url:
        yield f"base_url {provider.base_url}"
    if provider.dialect:
        yield f"dialect {provider.dialect}"
    for key in provider.keys:
        limits = f" for {', '.join(key.models)}" if key.models is not None else ""
        yield f"key {key.name} {_HIDDEN} (weight {key.weight:g}){limits}"
        if key.limits:
            yield f"key {key.name} limited to {_limits(key.limits)}"
    if provider.limits:
        yield f"limited to {_limits(provider.limits)}"
    if provider.chain and not provider.keys:
        yield "credentials from the vendor's chain"
    for name, value in provider.options.items():
        yield f"{name} {_show(value)}"
    if provider.headers:
        yield f"headers {', '.join(provider.headers)}"
    if provider.proxy:
        yield f"proxy {_show(provider.proxy)}"
    if provider.models:
        yield f"{len(provider.models)} models listed"


def _limits(limits: Iterable[Limit]) -> str:
    """Return limits in the syntax of the file."""
    return ", ".join(
        f"{limit.most} {limit.kind}"
        + (f" per {limit.per}" if limit.per else "")
        + (f" for {limit.models}" if limit.models else "")
        for limit in limits
    )


def _budgets(budgets: Iterable[Budget]) -> str:
    """Return budgets in the syntax of the file."""
    return ", ".join(
        f"{dollars_of(one.most)} USD per {one.per}"
        + (f" for {one.models}" if one.models else "")
        + (" with a known price" if one.denies_unpriced else "")
        for one in budgets
    )


def _cache(cache: CacheSettings) -> str:
    """Return a description of the cache settings."""
    if not cache.on:
        return "off"
    alone = " at temperature 0" if cache.deterministic_only else ""
    similar = f", similar prompts by {cache.semantic.model}" if cache.semantic is not None else ""
    return f"for {cache.ttl} s{alone}{similar}"


def _origin(url: str) -> str:
    """Return the origin of a URL; its path may be a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/{_HIDDEN}"


def _show(value: Any) -> str:
    """Return a value as text, without the user and query of a URL."""
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    try:
        parts = urlsplit(text) if "://" in text else None
    except ValueError:  # what looks like a URL may have a user all the same
        return _HIDDEN
    if parts is None or not (parts.netloc or parts.query):
        return text
    _, at, host = parts.netloc.rpartition("@")
    public = parts._replace(netloc=f"{_HIDDEN}@{host}" if at else host, query=_HIDDEN if parts.query else "")
    return public.geturl()


def _target_members(members: TargetMembers) -> Iterator[str]:
    if members.max_tokens is not None:
        yield f"max_tokens {members.max_tokens}"
    yield from (f"{name} {value}" for name, value in members.defaults.items())
    if members.headers:
        yield f"headers {', '.join(members.headers)}"
    yield from (f"timeouts.{name} {value:g} s" for name, value in members.timeouts.items())
