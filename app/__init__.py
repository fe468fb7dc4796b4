"""Sluice: an LLM gateway with many APIs and sixteen providers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.version import __version__

if TYPE_CHECKING:
    from flask import Flask

    from app.config import Settings


__all__ = ["__version__", "create_app"]


def create_app(settings: Settings | None = None) -> Flask:
    """Return the WSGI application.

    Without ``settings`` they are read from the environment and the file it names. The caller
    has applied gevent's patch first. Raises ``ConfigError`` for settings that make no sense.
    """
    from app.surfaces.application import build

    if settings is None:
        import os

        from app.config_loading import load

        settings = load(os.environ)
    return build(settings)
