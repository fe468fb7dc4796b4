"""LiteLLM's ``config.yaml`` as a ``sluice.toml``, with a note for each setting that has no place here.

Its members are those of LiteLLM's own page "All settings" (docs.litellm.ai/docs/proxy/config_settings, read
November 2026). Nothing is dropped silently: what remains of the document becomes a note.

Tests: tests/terminal/test_litellm.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.terminal.litellm_models import HINTS, Deployment, Providers, deployment, note, reference

Table = dict[str, Any]

SECTIONS: Final = frozenset(
    ("model_list", "litellm_settings", "router_settings", "general_settings", "environment_variables")
)
"""LiteLLM's top-level tables; each of its files has at least one."""
_STRATEGIES: Final[Mapping[str, str]] = {
    "simple-shuffle": "weighted",
    "least-busy": "least-busy",
    "latency-based-routing": "latency",
    "cost-based-routing": "cheapest",
}


@dataclass(frozen=True)
class Conversion:
    """A configuration for Sluice, and a sentence for each setting that was not converted."""

    document: Table
    notes: list[str] = field(default_factory=list)


def convert(source: Mapping[str, Any]) -> Conversion:
    """Return a parsed ``config.yaml`` as the document of a ``sluice.toml``."""
    rest = _copy(source)
    notes: list[str] = []
    providers = Providers()
    groups: dict[str, list[Deployment]] = {}
    for number, row in enumerate(_rows(rest.pop("model_list", None))):
        row_deployment = deployment(row, f"model_list[{number}]", notes)
        if row_deployment is not None:
            groups.setdefault(row_deployment.group, []).append(row_deployment)
            providers.add(row_deployment, notes)
    models = {name: _alias(group) for name, group in groups.items() if "*" not in name}
    notes += [
        _wildcard(name, group)
        for name, group in groups.items()
        if "*" in name and any(row.target != name for row in group)
    ]
    server = _server(rest)
    _route(rest, models, groups, notes)
    document = {"server": server, "providers": providers.tables(), "models": models}
    notes += [note(path) for path in _leaf_paths(rest)]
    return Conversion({name: table for name, table in document.items() if table}, notes)


def _wildcard(name: str, group: list[Deployment]) -> str:
    """Return what becomes of a name for many models: its provider is converted, the name is not."""
    targets = ", ".join(dict.fromkeys(row.target for row in group))
    return (
        f"{group[0].place}.model_name: {name!r} was not carried over, but its provider was;"
        f" ask for {targets}, or for a bare name that only one provider lists"
    )


def _alias(group: list[Deployment]) -> Table:
    """Return the row of a model name; deployments that differ only in their key become one target with several keys."""
    weights: dict[str, float] = {}
    for row in group:
        weights[row.target] = weights.get(row.target, 0) + row.weight
    if len(weights) == 1:
        return {"target": next(iter(weights))}
    targets = [
        {"target": target, **({"weight": weight} if weight != 1 else {})}
        for target, weight in weights.items()
    ]
    return {"targets": targets}


def _server(rest: Table) -> Table:
    """Return ``[server]`` and remove its settings from ``rest``."""
    general, proxy, router = (
        _section(rest, name) for name in ("general_settings", "litellm_settings", "router_settings")
    )
    key = general.pop("master_key", None)
    timeouts = (router.pop("timeout", None), proxy.pop("request_timeout", None))
    retries = [section.pop("num_retries", None) for section in (router, proxy)]
    server = {
        "master_key": reference(str(key)) if key else None,
        "max_retries": next((max(0, min(5, int(count))) for count in retries if count is not None), None),
        "timeouts": next(({"total": limit} for limit in timeouts if limit), None),
        "redis_url": _redis(router),
    }
    return {name: value for name, value in server.items() if value is not None}


def _redis(router: Table) -> str | None:
    """Return the Redis URL; if the host is a reference to a variable, leave it in the router's settings."""
    if url := router.pop("redis_url", None):
        return reference(str(url))
    host = router.get("redis_host")
    if not host or any(
        str(router.get(name, "")).startswith("os.environ/")
        for name in ("redis_host", "redis_port", "redis_password")
    ):
        return None
    del router["redis_host"]
    password = router.pop("redis_password", None)
    return f"redis://{f':{password}@' if password else ''}{host}:{router.pop('redis_port', 6379)}/0"


def _route(rest: Table, models: Table, groups: Mapping[str, list[Deployment]], notes: list[str]) -> None:
    """Add aliases, strategy and fallbacks to the names in ``models``."""
    router, proxy = _section(rest, "router_settings"), _section(rest, "litellm_settings")
    for name, other in _table(router.pop("model_group_alias", None)).items():
        model = other.get("model") if isinstance(other, Mapping) else other
        if model in models:
            models[name] = dict(models[model])
        else:
            notes.append(f"router_settings.model_group_alias.{name}: there is no model named {model!r}")
    strategy = str(router.get("routing_strategy"))
    if strategy in _STRATEGIES:
        del router["routing_strategy"]
        for table in models.values():
            if _STRATEGIES[strategy] != "weighted" and "targets" in table:
                table["strategy"] = _STRATEGIES[strategy]
    for place, section in (("router_settings", router), ("litellm_settings", proxy)):
        for row in _rows(section.pop("fallbacks", None)):
            for name, others in row.items():
                _fall_back(f"{place}.fallbacks.{name}", name, others, models, groups, notes)


def _fall_back(
    place: str,
    name: str,
    others: Any,
    models: Table,
    groups: Mapping[str, list[Deployment]],
    notes: list[str],
) -> None:
    if name not in models:
        notes.append(f"{place}: there is no model named {name!r}")
        return
    targets = [other for other in others if isinstance(other, str) and (other in groups or "/" in other)]
    fallbacks = [
        target
        for other in targets
        for target in ([row.target for row in groups[other]] if other in groups else [other])
    ]
    notes += [f"{place}: there is no model named {other!r}" for other in others if other not in targets]
    if fallbacks:
        models[name]["fallbacks"] = list(dict.fromkeys([*models[name].get("fallbacks", []), *fallbacks]))


def _section(rest: Table, name: str) -> Table:
    if not isinstance(rest.get(name), dict):
        rest[name] = {}
    section: Table = rest[name]
    return section


def _table(value: Any) -> Table:
    return value if isinstance(value, dict) else {}


def _rows(value: Any) -> list[Table]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _copy(inner) for name, inner in value.items()}
    return [_copy(inner) for inner in value] if isinstance(value, list) else value


def _leaf_paths(rest: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield the paths of the remaining settings; sections without members are skipped."""
    for name, value in rest.items():
        here = f"{path}.{name}" if path else name
        if isinstance(value, Mapping) and name not in HINTS:
            yield from _leaf_paths(value, here)
        else:
            yield here
