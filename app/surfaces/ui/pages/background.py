"""The page of background responses: how many wait, how many run, and where."""

from __future__ import annotations

from app.surfaces.ui import rendering, requests


def index() -> str:
    """Show the queue."""
    return rendering.page("background", queue=requests.get("/background"))


def figures() -> str:
    """Show the part that is updated."""
    return rendering.part("background_figures", queue=requests.get("/background"))
