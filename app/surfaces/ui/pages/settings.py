"""The settings as they were understood, and the versions that run."""

from __future__ import annotations

from typing import Any, Final

from app.surfaces.ui import rendering, requests
from app.wire.json import dumps

_STATES: Final = {
    "ok": ("well", "good"),
    "note": ("note", "none"),
    "warn": ("doubt", "mild"),
    "fail": ("fault", "bad"),
}
"""States of the doctor's findings, in words, and their colours."""


def index() -> str:
    """Show the settings; secrets are ``***``."""
    return _page(None)


def examine() -> str:
    """Have the doctor look; as a part where htmx asks, else on the whole page."""
    found = requests.change("POST", "/doctor")
    if rendering.wants_part():
        return rendering.part("findings", found=found, states=_STATES)
    return _page(found)


def _page(found: Any) -> str:
    settings = requests.get("/settings")
    members = {name: _text(value) for name, value in settings["server"].items()}
    return rendering.page(
        "settings",
        members=members,
        models=settings["models"],
        doubts=settings["doubts"],
        found=found,
        states=_STATES,
        versions=requests.get("/version"),
    )


_WORDS: Final = {None: "–", True: "on", False: "off"}


def _text(value: object) -> str:
    """Return a value as one reads it: a dash for none, on or off, lists and tables as JSON."""
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    return value if isinstance(value, str) else dumps(value).decode()
