"""The overview: what went through in a span of time, over time and by whom, and how fast the newest calls were."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from flask import request

from app.surfaces.ui import asking, rendering

_HOUR: Final = 3_600
_DAY: Final = 24 * _HOUR
SPANS: Final = (("24h", "24 hours", _DAY), ("7d", "7 days", 7 * _DAY), ("30d", "30 days", 30 * _DAY))
"""Names in the query, words and seconds."""
_GROUPS: Final = (("provider", "Provider"), ("model", "Model"), ("key", "Key"), ("tenant", "Tenant"))
_NEWEST: Final = 100
_ROWS: Final = 15


def shown() -> str:
    """Show the overview."""
    name, _, seconds = _span()
    since = _since(seconds)
    tables = [_table(member, title, since) for member, title in _GROUPS]
    return rendering.page("overview", spans=SPANS, span=name, tables=tables, **_figures(seconds))


def figures() -> str:
    """Show the part that changes."""
    name, _, seconds = _span()
    return rendering.part("overview_figures", span=name, **_figures(seconds))


def _span() -> tuple[str, str, int]:
    asked = request.args.get("span", "")
    return next((one for one in SPANS if one[0] == asked), SPANS[0])


def _since(seconds: int) -> int:
    return (int(time.time()) - seconds) // _HOUR * _HOUR + _HOUR


def _figures(seconds: int) -> dict[str, Any]:
    since, unit = _since(seconds), "hour" if seconds <= 7 * _DAY else "day"
    whole = asking.get("/usage", **{"from": since})["data"]
    rows = asking.get("/usage", **{"from": since}, group_by=unit)["data"]
    labels, points = _over_time(rows, unit, since)
    return {
        "total": whole[0] if whole else None,
        "first_content": _first_content(),
        "charts": _charts(points),
        "labels": labels,
        "unit": unit,
    }


def _over_time(rows: Sequence[Mapping[str, Any]], unit: str, since: int) -> tuple[list[int], list[Any]]:
    """Return the moments of a span, and for each its row; None where nothing was called."""
    step = _HOUR if unit == "hour" else _DAY
    found = {_seconds(row[unit]): row for row in rows}
    labels = list(range(since // step * step, int(time.time()) + 1, step))
    return labels, [found.get(label) for label in labels]


def _seconds(label: str) -> int:
    return int(datetime.fromisoformat(f"{label}T00:00:00Z" if "T" not in label else label).timestamp())


def _charts(points: Sequence[Any]) -> list[dict[str, Any]]:
    def sums(member: str) -> list[Any]:
        return [0 if point is None else point[member] for point in points]

    def times(percentile: str) -> list[Any]:
        return [None if point is None else point["latency"][percentile] for point in points]

    return [
        _chart(
            "calls", "Calls", "number", Calls=sums("calls"), Errors=sums("errors"), Cached=sums("cache_hits")
        ),
        _chart("tokens", "Tokens", "number", Input=sums("input_tokens"), Output=sums("output_tokens")),
        _chart("cost", "Cost", "dollars", Cost=sums("cost")),
        _chart("latency", "Latency", "milliseconds", p50=times("p50"), p95=times("p95"), p99=times("p99")),
    ]


def _chart(name: str, title: str, kind: str, **lines: list[Any]) -> dict[str, Any]:
    series = [{"name": line, "values": values} for line, values in lines.items()]
    return {"id": f"chart-{name}", "title": title, "kind": kind, "series": series}


def _first_content() -> dict[str, Any]:
    """Return percentiles of the time to first content, in ms, of the newest calls that had some."""
    rows = asking.get("/calls", limit=_NEWEST)["data"]
    times = sorted(row["first_content"] for row in rows if row["first_content"] is not None)
    return {
        "of": len(times),
        **{f"p{p}": times[math.ceil(p / 100 * len(times)) - 1] if times else None for p in (50, 95)},
    }


def _table(member: str, title: str, since: int) -> dict[str, Any]:
    """Return the groups with most calls; what is beyond is counted."""
    rows = asking.get("/usage", **{"from": since}, group_by=member)["data"]
    rows.sort(key=lambda row: row["calls"], reverse=True)
    return {"member": member, "title": title, "rows": rows[:_ROWS], "more": max(0, len(rows) - _ROWS)}
