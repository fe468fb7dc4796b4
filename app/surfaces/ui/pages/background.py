"""Background responses: what waits, what runs, and where."""

from __future__ import annotations

from app.surfaces.ui import asking, rendering


def shown() -> str:
    """Show the queue."""
    return rendering.page("background", queue=asking.get("/background"))


def figures() -> str:
    """Show the part that changes."""
    return rendering.part("background_figures", queue=asking.get("/background"))
