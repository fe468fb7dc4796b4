"""The views of ``/admin/providers``: their configuration, their state in this process, and a check."""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from flask import Response

from app.config import ProviderKey, limit_rows
from app.errors import GatewayError
from app.gateway.core import Gateway
from app.providers.base import Provider
from app.state.lookup import Page
from app.surfaces.admin import requests
from app.surfaces.replies.answers import json_response

_LOG: Final = logging.getLogger(__name__)
_NO_LIST: Final = "unsupported_operation"


def index() -> Response:
    """List the configured providers, in the operator's order."""
    limit, after = requests.page_query()
    gateway = requests.gateway()
    names = _names(gateway)
    if after is not None and after not in names:
        raise GatewayError(
            "bad_request",
            f"Invalid 'after': no provider of this list is named '{after[:80]}'.",
            param="after",
            code="invalid_value",
        )
    rest = names if after is None else names[names.index(after) + 1 :]
    rows = [_show(gateway, gateway.registry.get(name)) for name in rest[:limit]]
    return requests.list_response(Page(gateway.redactor.value(rows), len(rest) > limit))


def check(name: str) -> Response:
    """Ask a provider for a page of its models and report the result."""
    gateway = requests.gateway()
    if name not in _names(gateway):
        raise GatewayError("not_found", f"No provider named '{name[:80]}' is configured.")
    start = time.monotonic()
    models, failure = None, None
    try:
        models = gateway.catalogue.check(name)
    except GatewayError as error:
        failure = error
        _LOG.warning("check of %s: %s", name, error.message)
    return json_response(
        {
            "object": "provider.check",
            "provider": name,
            "ok": _is_healthy(failure),
            "models": models,
            "latency": round((time.monotonic() - start) * 1000, 1),
            "error": failure.body() if failure is not None else None,
        }
    )


def _is_healthy(failure: GatewayError | None) -> bool | None:
    """Return whether the provider answered well; None if it was not asked."""
    if failure is not None and failure.kind.name == _NO_LIST:
        return None
    return failure is None


def _names(gateway: Gateway) -> list[str]:
    return list(dict.fromkeys([*gateway.settings.providers, *gateway.registry.configured]))


def _show(gateway: Gateway, provider: Provider) -> dict[str, Any]:
    resting, problem = _resting_circuits(gateway, provider.name), provider.configuration_problem()
    cooldowns = {} if gateway.key_cooldowns is None else gateway.key_cooldowns.seconds(provider.name)
    keys = [_key(key, cooldowns.get(key.name)) for key in provider.settings.keys]
    return {
        "id": provider.name,
        "object": "provider",
        "state": "incomplete" if problem else "resting" if _all_rest(keys, resting) else "ready",
        "lack": problem,
        "base_url": None if problem else provider.base_url,
        "dialect": provider.settings.dialect,
        "wires": sorted(provider.spec.wires),
        "keys": keys,
        "models": list(provider.settings.models),
        "limits": limit_rows(provider.settings.limits),
        "open_calls": provider.slots.in_use,
        "resting": resting,
    }


def _key(key: ProviderKey, cooldown: float | None) -> dict[str, Any]:
    """Show a key; ``cooldown`` are the seconds for which a key that was refused is still skipped."""
    return {
        "name": key.name,
        "weight": key.weight,
        "models": None if key.models is None else list(key.models),
        "limits": limit_rows(key.limits),
        "passed_over": None if cooldown is None else round(cooldown, 1),
    }


def _resting_circuits(gateway: Gateway, name: str) -> list[dict[str, Any]]:
    circuits = gateway.breaker.open_circuits() if gateway.breaker is not None else {}
    return [
        {"model": model, "key": key or None, "seconds": round(seconds, 1)}
        for (provider, model, key), seconds in circuits.items()
        if provider == name
    ]


def _all_rest(keys: list[dict[str, Any]], resting: list[dict[str, Any]]) -> bool:
    """Tell whether the breaker pauses each key for some model."""
    return ({key["name"] for key in keys} or {None}) <= {circuit["key"] for circuit in resting}
