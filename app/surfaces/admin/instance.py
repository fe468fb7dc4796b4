"""The views of ``/admin/background``, ``/admin/settings`` and ``/admin/version``."""

from __future__ import annotations

import platform
from typing import Any

import sqlalchemy
from flask import Response

from app.config import TargetMembers
from app.config_loading.display import visible_members
from app.diagnostics.configuration import advice_of
from app.gateway.core import Gateway
from app.surfaces.admin import requests
from app.surfaces.replies.answers import json_response
from app.version import __version__


def background() -> Response:
    """Count the queued and running background responses."""
    queue = requests.state().queue
    oldest, workers = queue.running()
    return json_response(
        {
            "object": "background",
            "queued": queue.count_queued(),
            "oldest": oldest,
            "running": sum(workers.values()),
            "workers": [{"name": name or None, "running": count} for name, count in workers.items()],
        }
    )


def settings() -> Response:
    """Show the loaded settings, secrets as ``***``, with warnings about them."""
    gateway = requests.gateway()
    server = visible_members(gateway.settings)
    models = {
        name: {
            "targets": [
                {
                    "target": target,
                    "weight": weight,
                    "price": _price(gateway, target),
                    **_members(alias.members.get(target)),
                }
                for target, weight in alias.targets
            ],
            "fallbacks": list(alias.fallbacks),
            "strategy": alias.strategy,
        }
        for name, alias in gateway.settings.aliases.items()
    }
    doubts = [{"place": place, "message": text} for place, text in advice_of(gateway.settings, {})]
    body = {"object": "settings", "server": server, "models": models, "doubts": doubts}
    return json_response(gateway.redactor.value(body))


def _price(gateway: Gateway, target: str) -> dict[str, float] | None:
    """Return the price of a target per million tokens; None for a name that refers to others."""
    provider, _, model = target.partition("/")
    if target in gateway.settings.aliases or provider not in gateway.registry.names:
        return None
    return gateway.prices.per_million(gateway.registry.get(provider), model)


def _members(members: TargetMembers | None) -> dict[str, Any]:
    """Return the request members of a target; headers by name only, since values may be secrets."""
    if members is None:
        return {}
    facts = {
        "max_tokens": members.max_tokens,
        "defaults": dict(members.defaults),
        "headers": dict.fromkeys(members.headers, "***"),
        "timeouts": dict(members.timeouts),
    }
    return {name: value for name, value in facts.items() if value}


def version() -> Response:
    """Show the versions."""
    return json_response(
        {
            "object": "version",
            "version": __version__,
            "python": platform.python_version(),
            "sqlalchemy": sqlalchemy.__version__,
        }
    )
