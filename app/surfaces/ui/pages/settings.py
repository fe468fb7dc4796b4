"""The page of the loaded settings, the doctor's findings and the versions."""

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
"""Labels and colours of the doctor's findings, by their state."""
_WORDS: Final = {None: "–", True: "on", False: "off"}


def examine() -> str:
    """Run the doctor; the answer is a part of the page for htmx, else the whole page."""
    report = requests.ask("POST", "/doctor")
    return (
        rendering.part("findings", found=report, states=_STATES) if rendering.wants_part() else index(report)
    )


def index(report: Any = None) -> str:
    """Show the settings, secrets as ``***``, with the doctor's ``report``."""
    settings = requests.get("/settings")
    members = {name: _text(value) for name, value in settings["server"].items()}
    return rendering.page(
        "settings",
        members=members,
        models=settings["models"],
        doubts=settings["doubts"],
        found=report,
        states=_STATES,
        versions=requests.get("/version"),
    )


def _text(value: object) -> str:
    """Return a value for people: a dash for None, on or off, lists and tables as JSON."""
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    return value if isinstance(value, str) else dumps(value).decode()
