"""The filters of the templates: numbers, times and amounts for people; an unknown value is a dash."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from app.wire.json import loads_lenient

_NONE: Final = "–"
_THIN: Final = "\u202f"
"""A narrow space at which no line breaks."""
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def number(value: float | None) -> str:
    """Return a count with separators: 12 345."""
    return _NONE if value is None else f"{value:,.0f}".replace(",", _THIN)


def dollars(value: float | None) -> str:
    """Return an amount in dollars with two decimal places, or up to six if it is small."""
    if value is None:
        return _NONE
    places = 2 if value == 0 or abs(value) >= 1 else 4 if abs(value) >= 0.01 else 6
    whole, _, part = f"{value:,.{places}f}".partition(".")
    return f"${whole}.{part.rstrip('0'):0<2}"


def total_cost(sums: Mapping[str, Any]) -> str:
    """Return what calls cost together: the least where the price of some is unknown."""
    if not sums["unpriced"]:
        return dollars(sums["cost"])
    return f"at least {dollars(sums['cost'])}" if sums["cost"] else "unknown"


def milliseconds(value: float | None) -> str:
    """Return a duration: 340 ms, 2.3 s; no line breaks before the unit."""
    if value is None:
        return _NONE
    return f"{value:.0f}{_THIN}ms" if value < 1_000 else f"{value / 1_000:.1f}{_THIN}s"


def moment(value: float | None) -> str:
    """Return Unix seconds as UTC to the second."""
    return _NONE if value is None else time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(value))


def stamp(value: float) -> str:
    """Return Unix seconds for the attribute ``datetime``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(value))


def ago(value: float | None) -> str:
    """Return how long ago a time in Unix seconds was."""
    return _NONE if value is None else f"{span(max(0.0, time.time() - value))} ago"


def span(seconds: float) -> str:
    """Return a duration in its largest unit: 3 min."""
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return "0 s"


def share(part: float, whole: float) -> str:
    """Return ``part`` as a percentage of ``whole``."""
    return _NONE if not whole else f"{100 * part / whole:.1f} %"


def or_dash(value: Any) -> str:
    """Return a value as text, a dash for None and for an empty one."""
    return _NONE if value is None or value == "" else str(value)


def limit(row: Mapping[str, Any]) -> str:
    """Return a limit or a budget in words: 60 requests a minute of openai/*."""
    kind = next((name for name in ("requests", "tokens", "concurrent", "usd") if name in row), None)
    if kind is None:
        return _NONE
    unit = {"concurrent": "at once"}.get(kind, kind)
    amount = dollars(row[kind]) if kind == "usd" else f"{number(row[kind])} {unit}"
    per = f" in {row['per']}" if row.get("per") == "total" else f" a {row['per']}" if row.get("per") else ""
    return f"{amount}{per}" + (f" of {row['models']}" if row.get("models") else "")


def lines(values: Sequence[Any] | None, nothing: str) -> str:
    """Return texts, limits or budgets, separated by commas; ``nothing`` if there are none."""
    return ", ".join(limit(one) if isinstance(one, Mapping) else str(one) for one in values or ()) or nothing


def by(value: float | None, kind: str) -> str:
    """Return a value of a chart, formatted as ``number``, ``dollars`` or ``milliseconds``."""
    return FILTERS[kind](value)


def indented(text: str) -> str:
    """Return JSON with a line for each member; any other text as it is."""
    try:
        return json.dumps(loads_lenient(text.encode()), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


FILTERS: Final[Mapping[str, Callable[..., str]]] = {
    "number": number,
    "dollars": dollars,
    "total_cost": total_cost,
    "milliseconds": milliseconds,
    "moment": moment,
    "stamp": stamp,
    "ago": ago,
    "span": span,
    "indented": indented,
    "share": share,
    "shown": or_dash,
    "by": by,
    "limit": limit,
    "lines": lines,
}
