"""The settings as they were understood, and the versions that run."""

from __future__ import annotations

from app.surfaces.ui import asking, rendering
from app.wire.json import dumps


def shown() -> str:
    """Show the settings; secrets are ``***``."""
    settings = asking.get("/settings")
    members = {name: _text(value) for name, value in settings["server"].items()}
    return rendering.page(
        "settings",
        members=members,
        models=settings["models"],
        doubts=settings["doubts"],
        versions=asking.get("/version"),
    )


def _text(value: object) -> str:
    """Return a value as the file of settings would nearly write it."""
    return value if isinstance(value, str) else dumps(value).decode()
