"""The page of the loaded settings, the doctor's findings and the versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.surfaces.ui import rendering, requests

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
    return rendering.page(
        "settings",
        members=dict(_members(settings["server"])),
        models=settings["models"],
        doubts=settings["doubts"],
        found=report,
        states=_STATES,
        versions=requests.get("/version"),
    )


def _members(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield each member as it is named in the file, and its value for people."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _members(value, f"{prefix}{name}.")
        else:
            yield prefix + name, _text(value)


def _text(value: Any) -> str:
    """Return a value for people: a dash for nothing, on or off, a list with commas."""
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or _WORDS[None]
    return f"{value:.12g}" if isinstance(value, float) else str(value)
