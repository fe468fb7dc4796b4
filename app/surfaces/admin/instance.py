"""The views of ``/admin/background``, ``/admin/settings`` and ``/admin/version``."""

from __future__ import annotations

import platform
from typing import Any

import sqlalchemy
from flask import Response

from app.config import TargetMembers
from app.config_loading.advice import advise
from app.config_loading.display import members_shown
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
    shown = members_shown(gateway.settings)
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
    body = {"object": "settings", "server": shown, "models": models, "doubts": _doubts(gateway)}
    return json_response(gateway.redactor.value(body))


def _doubts(gateway: Gateway) -> list[dict[str, str]]:
    """Return the warnings of ``sluice check-config`` that do not need the environment."""
    find, prices = gateway.registry.get, gateway.prices

    def knows(model: str) -> bool:
        return any(prices.knows(find(name).spec.price_as, model) for name in gateway.registry.configured)

    return [
        {"place": place, "message": sentence} for place, sentence in advise(gateway.settings, {}, find, knows)
    ]


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
    shown = {
        "max_tokens": members.max_tokens,
        "defaults": dict(members.defaults),
        "headers": dict.fromkeys(members.headers, "***"),
        "timeouts": dict(members.timeouts),
    }
    return {name: value for name, value in shown.items() if value}


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
