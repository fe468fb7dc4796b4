"""The operator's models: where each name leads, in which order, with what, and at which price."""

from __future__ import annotations

from app.surfaces.ui import rendering, requests


def index() -> str:
    """List the names of ``[models]``."""
    return rendering.page("models", models=requests.get("/settings")["models"])
