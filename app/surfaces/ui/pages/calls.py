"""The pages of calls: a table with filters, and one call with its attempts, its cost and its rows of the ledger."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from flask import Response, redirect, request

from app.surfaces.ui import rendering, requests

FILTERS: Final = (
    ("tenant", "Tenant"),
    ("key", "Key"),
    ("provider", "Provider"),
    ("model", "Model"),
    ("status", "Status"),
    ("request_type", "Request type"),
    ("from", "From"),
    ("to", "To"),
)
"""Parameters of the admin API, and their labels."""
_ROWS: Final = 50
_CALL: Final = re.compile(r"call_[0-9A-Za-z]+")
_RESPONSE: Final = re.compile(r"(resp|msg|cmpl)_?[0-9A-Za-z_-]+")
_WIDTH: Final = 600
_LANE: Final = 22


def index() -> str | Response:
    """List the calls that match the filters of the query, the newest first."""
    sought = request.args.get("id", "").strip()
    if _CALL.fullmatch(sought):
        return redirect(rendering.url(f"/calls/{sought}"), 303)  # type: ignore[return-value]
    filters, query = _filters(sought)
    after = request.args.get("after")
    page = requests.get("/calls", limit=_ROWS, after=after, **query)
    older = requests.older_rows(page, {**filters, "id": sought})
    return rendering.page(
        "calls",
        rows=page["data"],
        filters=[(name, label, filters[name]) for name, label in FILTERS],
        sought=sought,
        older=None if older is None else f"?{older}",
        export=urlencode(requests.without_empty(query)),
        filtered=any(query.values()),
        paged=bool(after),
    )


def newest() -> str:
    """Show the part that is updated: the newest rows that match the filters."""
    ids = {name: request.args.get(name) for name in ("request_id", "response_id")}
    query = {**_filters("")[0], **ids}
    rows = requests.get("/calls", limit=_ROWS, **query)["data"]
    return rendering.part("calls_rows", rows=rows, filtered=any(query.values()))


def _filters(sought: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the filters of the form, and the query of the admin API, which also has the id ``sought``."""
    filters = {name: request.args.get(name, "").strip() for name, _ in FILTERS}
    return filters, {**filters, "response_id" if _RESPONSE.fullmatch(sought) else "request_id": sought}


def show(call_id: str) -> str:
    """Show one call."""
    call = requests.get(f"/calls/{call_id}")
    ledger = requests.get("/ledger", call_id=call["request_id"], limit=100)["data"]
    return rendering.page(
        "call", call=call, bars=_attempt_bars(call), ledger=ledger, costs=_costs(call), width=_WIDTH
    )


def _attempt_bars(call: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a bar for each attempt, one after another; the scale is the duration of the call."""
    attempts: Sequence[Mapping[str, Any]] = call["attempts"]
    whole = max(1, call["latency"], sum(one.get("latency") or 0 for one in attempts))
    bars, begin = [], 0
    for number, attempt in enumerate(attempts):
        length = attempt.get("latency") or 0
        bars.append(
            {
                "attempt": attempt,
                "x": round(begin / whole * _WIDTH, 1),
                "width": max(2.0, round(length / whole * _WIDTH, 1)),
                "y": number * _LANE,
                "good": not attempt.get("error"),
            }
        )
        begin += length
    return bars


def _costs(call: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the parts of the cost that are amounts, the total last."""
    parts: Mapping[str, Any] = call["cost_details"] or {}
    rows = [
        (name.replace("_", " "), value) for name, value in parts.items() if isinstance(value, int | float)
    ]
    return sorted(rows, key=lambda row: row[0].startswith("total"))
