"""The admin API for commands: called in this process, on the same configuration and database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from app.config import Settings
from app.state.audit import Actor

_OPERATOR: Final = Actor("master", "admin", "127.0.0.1")
"""Whoever can read the configuration has the master key."""


def ask(settings: Settings, method: str, path: str, **sent: Any) -> tuple[int, Mapping[str, Any]]:
    """Return the status and JSON of ``path`` below ``/admin``; ``sent`` is ``json`` or ``query_string``."""
    from app import create_app
    from app.gateway.core import gateway_of
    from app.gateway.layers.log import mute

    mute()
    app = create_app(replace(settings, open=False))
    try:
        answer: tuple[int, Mapping[str, Any]] = app.extensions["sluice_admin_client"]().ask(
            _OPERATOR, method, path, **sent
        )
    finally:
        gateway_of(app).close()
    return answer
