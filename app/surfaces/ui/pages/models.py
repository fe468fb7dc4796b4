"""The page of the operator's models: the targets of each name, in order, with their settings and prices."""

from __future__ import annotations

from app.surfaces.ui import rendering, requests


def index() -> str:
    """List the names of ``[models]``."""
    return rendering.page("models", models=requests.get("/settings")["models"])
