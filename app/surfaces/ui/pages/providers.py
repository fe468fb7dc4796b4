"""The providers: how each fares in the process that was asked, its keys by name, and a check."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from app.surfaces.ui import rendering, requests

_PAGE: Final = 100
_STATES: Final = {"ready": "good", "resting": "mild", "incomplete": "bad"}


def index() -> str:
    """List the providers."""
    return _page(None)


def check(name: str) -> str:
    """Ask a provider how it is; as a part where htmx asks, else on the whole page."""
    outcome = requests.change("POST", f"/providers/{quote(name, safe='')}/check")
    return rendering.part("provider_check", outcome=outcome) if rendering.wants_part() else _page(outcome)


def _page(outcome: Any) -> str:
    rows = requests.get("/providers", limit=_PAGE)["data"]
    return rendering.page("providers", rows=rows, states=_STATES, outcome=outcome)
