"""The page of providers: the state of each in this process, its keys by name, and a check."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from app.surfaces.ui import rendering, requests

_PAGE: Final = 100
_STATES: Final = {"ready": "good", "resting": "mild", "incomplete": "bad"}


def check(name: str) -> str:
    """Check a provider; the answer is a part of the page for htmx, else the whole page."""
    outcome = requests.ask("POST", f"/providers/{quote(name, safe='')}/check")
    return rendering.part("provider_check", outcome=outcome) if rendering.wants_part() else index(outcome)


def index(outcome: Any = None) -> str:
    """List the providers, with the ``outcome`` of a check."""
    rows = requests.get("/providers", limit=_PAGE)["data"]
    return rendering.page("providers", rows=rows, states=_STATES, outcome=outcome)
