"""The overview: what went through in a span of time, how fast, over time and by whom."""

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
"""Names in the query, words and seconds."""
GROUPS: Final = (("provider", "Provider"), ("model", "Model"), ("key", "Key"), ("tenant", "Tenant"))
"""What the tables, and by choice the charts, are split by."""
_ROWS: Final = 15
_LINES: Final = 4
_OTHERS: Final = "others"
_SHARES: Final = ("p50", "p95", "p99")

Row = Mapping[str, Any]
Points = Sequence[Row | None]
"""The sums of each moment; None where nothing was called."""


def index() -> str:
    """Show the overview."""
    name, _, seconds = _span()
    tables = _tables(_since(seconds))
    figures = _figures(seconds, tables)
    return rendering.page("overview", spans=SPANS, span=name, groups=GROUPS, tables=tables, **figures)


def figures() -> str:
    """Show the part that changes."""
    name, _, seconds = _span()
    by = _split()
    tables = [_table(by, "", _since(seconds))] if by else []
    return rendering.part("overview_figures", span=name, **_figures(seconds, tables))


def _span() -> tuple[str, str, int]:
    name = request.args.get("span", "")
    return next((one for one in SPANS if one[0] == name), SPANS[0])


def _split() -> str:
    """Return the member that the charts are split by; empty where they are not."""
    name = request.args.get("by", "")
    return name if name in dict(GROUPS) else ""


def _since(seconds: int) -> int:
    return (int(time.time()) - seconds) // _HOUR * _HOUR + _HOUR


def _figures(seconds: int, tables: Sequence[Row]) -> dict[str, Any]:
    since, unit = _since(seconds), "hour" if seconds <= 7 * _DAY else "day"
    step = _HOUR if unit == "hour" else _DAY
    labels = list(range(since // step * step, int(time.time()) + 1, step))

    def points(**narrowed: str) -> Points:
        rows = requests.get("/usage", **{"from": since}, group_by=unit, **narrowed)["data"]
        found = {_seconds(row[unit]): row for row in rows}
        return [found.get(label) for label in labels]

    by = _split()
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
    def sums(member: str) -> list[Any]:
        return _sums(points, lambda point: point[member])

    def times(member: str) -> dict[str, list[Any]]:
        return {share: _times(points, member, share) for share in _SHARES}

    calls = {"Calls": sums("calls"), "Cached": sums("cache_hits")}
    tokens = {"Input": sums("input_tokens"), "Output": sums("output_tokens")}
    return [
        _chart("calls", "Calls", "number", calls),
        _chart("errors", "Errors", "number", {"Errors": sums("errors")}),
        _chart("tokens", "Tokens", "number", tokens),
        _chart("cost", "Cost", "dollars", {"Cost": sums("cost")}),
        _chart("latency", "Latency", "milliseconds", times("latency")),
        _chart("first", "First content", "milliseconds", times("first_content")),
    ]


_SPLIT_SUMS: Final = (
    ("calls", "Calls", "number", lambda point: point["calls"]),
    ("errors", "Errors", "number", lambda point: point["errors"]),
    ("cached", "Cache hits", "number", lambda point: point["cache_hits"]),
    ("input", "Input tokens", "number", lambda point: point["input_tokens"]),
    ("output", "Output tokens", "number", lambda point: point["output_tokens"]),
    ("cost", "Cost", "dollars", lambda point: point["cost"]),
)
_SPLIT_TIMES: Final = (
    ("latency", "Latency, p95,", "latency"),
    ("first", "First content, p95,", "first_content"),
)


def _split_charts(by: str, tables: Sequence[Row], points: Callable[..., Points]) -> list[dict[str, Any]]:
    """Return a chart for each figure, with a line for each of the groups with most calls; the others are one line
    where they can be summed."""
    table = next(one for one in tables if one["member"] == by)
    named = [row[by] for row in table["rows"] if row[by]]
    lines = {name: points(**{by: name}) for name in named[: _LINES - 1]}
    whole = points() if len(table["rows"]) + table["more"] > len(lines) else None
    charts = []
    for label, title, kind, figure in _SPLIT_SUMS:
        values = {name: _sums(line, figure) for name, line in lines.items()}
        if whole is not None:
            rest = zip(_sums(whole, figure), *values.values(), strict=True)
            values[_OTHERS] = [max(0, total - sum(parts)) for total, *parts in rest]
        charts.append(_chart(label, title, kind, values))
    for label, title, member in _SPLIT_TIMES:
        values = {name: _times(line, member, "p95") for name, line in lines.items()}
        charts.append(_chart(label, title, "milliseconds", values))
    return charts


def _sums(points: Points, figure: Callable[[Row], Any]) -> list[Any]:
    return [0 if point is None else figure(point) for point in points]


def _times(points: Points, member: str, share: str) -> list[Any]:
    return [None if point is None else point[member][share] for point in points]


def _chart(name: str, title: str, kind: str, lines: Mapping[str, list[Any]]) -> dict[str, Any]:
    series = [{"name": line, "values": values} for line, values in lines.items()]
    return {"id": f"chart-{name}", "title": title, "kind": kind, "series": series}


def _tables(since: int) -> list[dict[str, Any]]:
    return [_table(member, title, since) for member, title in GROUPS]


def _table(member: str, title: str, since: int) -> dict[str, Any]:
    """Return the groups with most calls; what is beyond is counted."""
    rows = requests.get("/usage", **{"from": since}, group_by=member)["data"]
    rows.sort(key=lambda row: row["calls"], reverse=True)
    return {"member": member, "title": title, "rows": rows[:_ROWS], "more": max(0, len(rows) - _ROWS)}
