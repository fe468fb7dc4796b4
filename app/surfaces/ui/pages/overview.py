"""The overview: calls, tokens, costs and latencies of a span, over time and by group."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from flask import request

from app.surfaces.ui import rendering, requests

_HOUR: Final = 3_600
_DAY: Final = 24 * _HOUR
SPANS: Final = (("24h", "24 hours", _DAY), ("7d", "7 days", 7 * _DAY), ("30d", "30 days", 30 * _DAY))
"""Name in the query, label and seconds."""
GROUPS: Final = (("provider", "Provider"), ("model", "Model"), ("key", "Key"), ("tenant", "Tenant"))
"""Members that the tables are split by, and the charts if the user chooses one."""
_ROWS: Final = 15
_LINES: Final = 4
_OTHERS: Final = "others"
_SHARES: Final = ("p50", "p95", "p99")

Row = Mapping[str, Any]
Points = Sequence[Row | None]
"""The sums of each hour or day; None for one without calls."""


def index() -> str:
    """Show the overview."""
    name, _, seconds = _span()
    tables = [_table(member, title, _since(seconds)) for member, title in GROUPS]
    figures = _figures(seconds, tables)
    return rendering.page("overview", spans=SPANS, span=name, groups=GROUPS, tables=tables, **figures)


def figures() -> str:
    """Show the part that is updated."""
    (name, _, seconds), by = _span(), _group()
    tables = [_table(by, "", _since(seconds))] if by else []
    return rendering.part("overview_figures", span=name, **_figures(seconds, tables))


def _span() -> tuple[str, str, int]:
    name = request.args.get("span", "")
    return next((one for one in SPANS if one[0] == name), SPANS[0])


def _group() -> str:
    """Return the member that the charts are split by, or ""."""
    name = request.args.get("by", "")
    return name if name in dict(GROUPS) else ""


def _since(seconds: int) -> int:
    return (int(time.time()) - seconds) // _HOUR * _HOUR + _HOUR


def _figures(seconds: int, tables: Sequence[Row]) -> dict[str, Any]:
    since, unit = _since(seconds), "hour" if seconds <= 7 * _DAY else "day"
    step = _HOUR if unit == "hour" else _DAY
    labels = list(range(since // step * step, int(time.time()) + 1, step))

    def points(**filters: str) -> Points:
        rows = requests.get("/usage", **{"from": since}, group_by=unit, **filters)["data"]
        by_start = {_seconds(row[unit]): row for row in rows}
        return [by_start.get(label) for label in labels]

    by = _group()
    whole = requests.get("/usage", **{"from": since})["data"]
    return {
        "total": whole[0] if whole else None,
        "charts": _split_charts(by, tables, points) if by else _charts(points()),
        "labels": labels,
        "unit": unit,
        "by": by,
    }


def _seconds(label: str) -> int:
    return int(datetime.fromisoformat(f"{label}T00:00:00Z" if "T" not in label else label).timestamp())


def _charts(points: Points) -> list[dict[str, Any]]:
    charts = [
        _chart(name, title, kind, {label: _sums(points, member) for label, member in lines.items()})
        for name, title, kind, lines in _SUMS
    ]
    for name, title, member in _TIMES:
        lines = {share: _times(points, member, share) for share in _SHARES}
        charts.append(_chart(name, title, "milliseconds", lines))
    return charts


_SUMS: Final = (
    ("calls", "Calls", "number", {"Calls": "calls", "Cached": "cache_hits"}),
    ("errors", "Errors", "number", {"Errors": "errors"}),
    ("tokens", "Tokens", "number", {"Input": "input_tokens", "Output": "output_tokens"}),
    ("cost", "Cost", "dollars", {"Cost": "cost"}),
)
"""Charts of sums: name, title, kind, and the member of each line."""
_SPLIT_SUMS: Final = (
    ("calls", "Calls", "number", "calls"),
    ("errors", "Errors", "number", "errors"),
    ("cached", "Cache hits", "number", "cache_hits"),
    ("input", "Input tokens", "number", "input_tokens"),
    ("output", "Output tokens", "number", "output_tokens"),
    ("cost", "Cost", "dollars", "cost"),
)
_TIMES: Final = (("latency", "Latency", "latency"), ("first", "First content", "first_content"))
"""Charts of latencies: name, title and member."""


def _split_charts(by: str, tables: Sequence[Row], points: Callable[..., Points]) -> list[dict[str, Any]]:
    """Return a chart for each figure, with a line for each of the groups with most calls. Sums also have a line for
    all other groups together."""
    table = next(table for table in tables if table["member"] == by)
    groups: dict[str, Points] = {}
    for row in table["rows"]:
        if row[by] and row[by] not in groups and len(groups) < _LINES - 1:
            groups[row[by]] = points(**{by: row.get("key_id") or row[by]})
    whole = points() if len(table["rows"]) + table["more"] > len(groups) else None
    charts = []
    for name, title, kind, member in _SPLIT_SUMS:
        lines = {group: _sums(values, member) for group, values in groups.items()}
        if whole is not None:
            rest = zip(_sums(whole, member), *lines.values(), strict=True)
            lines[_OTHERS] = [max(0, total - sum(parts)) for total, *parts in rest]
        charts.append(_chart(name, title, kind, lines))
    for name, title, member in _TIMES:
        lines = {group: _times(values, member, "p95") for group, values in groups.items()}
        charts.append(_chart(name, f"{title}, p95,", "milliseconds", lines))
    return charts


def _sums(points: Points, member: str) -> list[Any]:
    return [0 if point is None else point[member] for point in points]


def _times(points: Points, member: str, share: str) -> list[Any]:
    return [None if point is None else point[member][share] for point in points]


def _chart(name: str, title: str, kind: str, lines: Mapping[str, list[Any]]) -> dict[str, Any]:
    series = [{"name": line, "values": values} for line, values in lines.items()]
    return {"id": f"chart-{name}", "title": title, "kind": kind, "series": series}


def _table(member: str, title: str, since: int) -> dict[str, Any]:
    """Return the groups with most calls; ``more`` counts the others."""
    rows = requests.get("/usage", **{"from": since}, group_by=member)["data"]
    rows.sort(key=lambda row: row["calls"], reverse=True)
    return {"member": member, "title": title, "rows": rows[:_ROWS], "more": max(0, len(rows) - _ROWS)}
