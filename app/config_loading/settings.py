"""From a valid document to ``Settings``: frozen values, and checks across several members."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any, Final

from app.config import (
    Alias,
    ProviderKey,
    ProviderSettings,
    Secret,
    Settings,
    TargetMembers,
    TenantSettings,
    Timeouts,
    VirtualKey,
    budgets_of,
    limits_of,
)
from app.config_loading.cache import cache_of
from app.config_loading.environment import Overlay
from app.config_loading.faults import Faults
from app.config_loading.members import EGRESS_VARIABLES
from app.config_loading.tables import unknown_member
from app.config_loading.value_kinds import OPTION_KINDS, split_list
from app.database_url import faults_of, is_postgres
from app.providers import PROVIDERS, Option, row_of
from app.wire import proxies, tls

_SECRET_TEXTS = ("master_key", "alert_secret")


def build(valid: Mapping[str, Any], overlay: Overlay, environ: Mapping[str, str]) -> Settings:
    """Return the settings; add faults to ``overlay.faults``, which the caller must check."""
    faults = overlay.faults
    egress = {name: environ[name] for name in EGRESS_VARIABLES if environ.get(name)}
    _check_way_out(egress, faults)
    providers = {
        name: _provider(name, section, overlay) for name, section in valid.get("providers", {}).items()
    }
    server = _server(valid.get("server", {}), faults)
    keys = _virtual_keys(valid.get("keys", {}), faults)
    if server.get("open") and keys:
        faults.add(("server", "open"), "serves everyone, but client keys are set; set one of the two")
    for key in keys:
        if key.secret == server.get("master_key"):
            sentence = f"gives '{key.name}' the administrator's key (SLUICE_MASTER_KEY); take another"
            faults.add(("keys", key.name), sentence)
    return Settings(
        **server,
        keys=keys,
        tenants=_tenants(valid.get("tenants", {})),
        providers=providers,
        aliases=_aliases(valid.get("models", {}), frozenset({*PROVIDERS, *providers}), faults),
        environ=egress,
    )


def _server(section: Mapping[str, Any], faults: Faults) -> dict[str, Any]:
    members = dict(section)
    members["limits"] = limits_of(section.get("limits", ()))
    members["budgets"] = budgets_of(section.get("budgets", ()))
    members["cache"] = cache_of(section.get("cache"))
    members["timeouts"] = Timeouts(**members.pop("timeouts", {}))
    if members.get("retention_days") == "never":
        members["retention_days"] = None
    for name in _SECRET_TEXTS:
        if name in members:
            members[name] = Secret(members[name])
    members["secret_keys"] = tuple(Secret(key) for key in split_list(members.get("secret_keys", [])))
    if "native_batches" in members:
        members["native_batches"] = tuple(
            name for name in split_list(members["native_batches"]) if name != "off"
        )
    members["allowed_origins"] = tuple(split_list(members.get("allowed_origins", [])))
    for name in ("database_url", "listen_url"):
        for fault in faults_of(members[name]) if name in members else ():
            faults.add(("server", name), fault)
    if is_postgres(members.get("database_url", "")) and not members["secret_keys"]:
        faults.add(("server", "secret_keys"), "is required with PostgreSQL (SLUICE_SECRET_KEY)")
    if members.get("otlp_endpoint") and find_spec("opentelemetry") is None:
        faults.add(("server", "otlp_endpoint"), "needs another package: pip install 'sluice-gateway[otel]'")
    return members


def _provider(name: str, section: Mapping[str, Any], overlay: Overlay) -> ProviderSettings:
    faults, path = overlay.faults, ("providers", name)
    row = row_of(name)
    if (name in PROVIDERS) == ("dialect" in section):
        fault = (
            "can be set for custom providers only"
            if name in PROVIDERS
            else f"is required for a custom provider{_suggestion(name)}"
        )
        faults.add((*path, "dialect"), fault)
    if name not in PROVIDERS and "base_url" not in section:
        faults.add((*path, "base_url"), "is required for a custom provider")
    certificate = section.get("client_cert")
    _check_provider_way_out(section, path, faults)
    return ProviderSettings(
        name=name,
        base_url=section.get("base_url"),
        keys=_provider_keys(section, path, faults),
        dialect=section.get("dialect"),
        headers={header.lower(): value for header, value in section.get("headers", {}).items()},
        proxy=section.get("proxy"),
        ca_bundle=section.get("ca_bundle"),
        client_cert=tuple(certificate) if isinstance(certificate, list) else certificate,
        options=_options(section.get("options", {}), row.options, path, faults),
        models=tuple(section.get("models", ())),
        prices=section.get("prices", {}),
        max_concurrency=section.get("max_concurrency", ProviderSettings(name).max_concurrency),
        chain=overlay.chain_of(row)
        or (row.ambient and name in overlay.declared)
        or any(option in section.get("options", {}) for option in row.chain_options),
        limits=limits_of(section.get("limits", ())),
    )


def _suggestion(name: str) -> str:
    closest = get_close_matches(name.lower(), PROVIDERS, n=1, cutoff=0.7)
    return f"; or did you mean '{closest[0]}'?" if closest else ""


def _provider_keys(
    section: Mapping[str, Any], path: tuple[str, ...], faults: Faults
) -> tuple[ProviderKey, ...]:
    rows = section.get("keys", [])
    if rows and "api_key" in section:
        faults.add((*path, "api_key"), "cannot be combined with a list of keys; set one of the two")
    if "api_key" in section:
        return (ProviderKey("default", Secret(section["api_key"])),)
    keys: dict[str, ProviderKey] = {}
    for index, row in enumerate(rows):
        name = row.get("name", f"key-{index + 1}")
        if name in keys:
            faults.add((*path, "keys", index, "name"), "is used twice")
        models = tuple(row["models"]) if "models" in row else None
        keys[name] = ProviderKey(
            name,
            Secret(row["value"]),
            models,
            float(row.get("weight", 1.0)),
            limits_of(row.get("limits", ())),
        )
    return tuple(keys.values())


def _options(
    options: Mapping[str, Any], rows: Mapping[str, Option], path: tuple[str, ...], faults: Faults
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in options.items():
        option = rows.get(name)
        if option is None:
            faults.add((*path, "options", name), unknown_member(name, rows))
        elif not OPTION_KINDS[option.kind].fits(value):
            faults.add((*path, "options", name), OPTION_KINDS[option.kind].sentence)
        else:
            values[name] = Secret(value) if option.kind == "secret" else value
    return values


def _virtual_keys(section: Mapping[str, Any], faults: Faults) -> tuple[VirtualKey, ...]:
    names: dict[str, str] = {}
    for name, row in section.items():
        if row["key"] in names:
            faults.add(("keys", name), f"has the same key as '{names[row['key']]}'")
        names[row["key"]] = name
    return tuple(
        VirtualKey(
            name,
            Secret(row["key"]),
            row.get("tenant", name),
            _optional_tuple(row, "models"),
            _optional_tuple(row, "operations"),
            row.get("expires_at"),
            row.get("metadata", {}),
            limits_of(row.get("limits", ())),
            budgets_of(row.get("budgets", ())),
            cache_of(row.get("cache")),
        )
        for name, row in section.items()
    )


def _tenants(section: Mapping[str, Any]) -> dict[str, TenantSettings]:
    return {
        name: TenantSettings(
            name,
            _optional_tuple(row, "models"),
            _optional_tuple(row, "operations"),
            row.get("metadata", {}),
            limits_of(row.get("limits", ())),
            budgets_of(row.get("budgets", ())),
        )
        for name, row in section.items()
    }


def _optional_tuple(row: Mapping[str, Any], member: str) -> tuple[str, ...] | None:
    return tuple(row[member]) if member in row else None


def _aliases(section: Mapping[str, Any], names: frozenset[str], faults: Faults) -> dict[str, Alias]:
    aliases = {}
    for name, row in section.items():
        owner, slash, _ = name.partition("/")
        if slash and owner in names:
            faults.add(("models", name), f"is never reached: '{owner}' is a provider's name")
        targets = row.get("targets") or [{"target": row["target"]}]
        aliases[name] = Alias(
            tuple((target["target"], float(target.get("weight", 1.0))) for target in targets),
            tuple(row.get("fallbacks", ())),
            cache_of(row.get("cache")),
            row.get("strategy", "weighted"),
            {
                target["target"]: members
                for target in targets
                if (members := _target_members(target)) is not None
            },
        )
    for name in aliases:
        if name in _reachable_names(name, aliases):
            faults.add(("models", name), "refers back to itself")
    return aliases


def _target_members(row: Mapping[str, Any]) -> TargetMembers | None:
    """Return the request members of a target, None if it has none."""
    members = TargetMembers(
        row.get("max_tokens"),
        dict(row.get("defaults", {})),
        {name.lower(): value for name, value in row.get("headers", {}).items()},
        dict(row.get("timeouts", {})),
    )
    return None if members == TargetMembers() else members


def _reachable_names(name: str, aliases: Mapping[str, Alias]) -> set[str]:
    """Return all names that an alias refers to, also through other aliases."""
    reachable: set[str] = set()
    waiting = [name]
    while waiting:
        alias = aliases.get(waiting.pop())
        targets = {*(target for target, _ in alias.targets), *alias.fallbacks} - reachable if alias else set()
        reachable |= targets
        waiting += targets
    return reachable


def _check_way_out(egress: Mapping[str, str], faults: Faults) -> None:
    """Check the variables for proxies and certificate authorities; the messages name the variable."""
    for check in (proxies.rules_of, tls.paths_of):
        try:
            check(egress)
        except ValueError as error:
            faults.add(("environment",), str(error))


def _check_provider_way_out(section: Mapping[str, Any], path: tuple[str, ...], faults: Faults) -> None:
    if "proxy" in section:
        try:
            proxies.fixed_rules(section["proxy"])
        except ValueError:
            sentence = "must be a proxy's URL (scheme://[user:password@]host[:port]) or 'direct'"
            faults.add((*path, "proxy"), sentence)
    for name, check in _FILES.items():
        keys = section.get(name, [])
        paths = [keys] if isinstance(keys, str) else keys
        try:
            tls.existing(paths)
        except ValueError:
            is_there = all(os.path.exists(os.path.expanduser(file)) for file in paths)
            sentence = "names a pipe or a device" if is_there else "names a file that does not exist"
            faults.add((*path, name), sentence)
            continue
        try:
            if paths:
                check(*paths)
        except ValueError as error:
            faults.add((*path, name), str(error))


_FILES: Final[Mapping[str, Callable[..., None]]] = {
    "ca_bundle": tls.check_bundle,
    "client_cert": tls.check_client_cert,
}
