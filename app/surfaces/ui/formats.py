"""Numbers, moments and amounts as people read them; what is unknown is a dash."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from app.wire.json import loads_lenient

_NONE: Final = "–"
_THIN: Final = "\u202f"
"""A narrow space at which no line ends."""
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def number(value: float | None) -> str:
    """Return a count with separators: 12 345."""
    return _NONE if value is None else f"{value:,.0f}".replace(",", _THIN)


def dollars(value: float | None) -> str:
    """Return an amount: two places, more where it is small and they say something."""
    if value is None:
        return _NONE
    places = 2 if value == 0 or abs(value) >= 1 else 4 if abs(value) >= 0.01 else 6
    whole, _, part = f"{value:,.{places}f}".partition(".")
    return f"${whole}.{part.rstrip('0'):0<2}"


def milliseconds(value: float | None) -> str:
    """Return a time, its unit on the same line: 340 ms, 2.3 s."""
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
    """Return how long ago Unix seconds were."""
    return _NONE if value is None else f"{span(max(0.0, time.time() - value))} ago"


def span(seconds: float) -> str:
    """Return a length of time in its largest unit: 3 min."""
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return "0 s"


def share(part: float, whole: float) -> str:
    """Return a part of a whole in percent."""
    return _NONE if not whole else f"{100 * part / whole:.1f} %"


def or_dash(value: Any) -> str:
    """Return a member as it is, a dash for none."""
    return _NONE if value is None or value == "" else str(value)


def limit(row: Mapping[str, Any]) -> str:
    """Return a limit or a budget in words: 60 requests a minute of openai/*."""
    kind = next((name for name in ("requests", "tokens", "concurrent", "usd") if name in row), None)
    if kind is None:
        return _NONE
    amount = (
        dollars(row[kind])
        if kind == "usd"
        else f"{number(row[kind])} {kind if kind != 'concurrent' else 'at once'}"
    )
    per = f" in {row['per']}" if row.get("per") == "total" else f" a {row['per']}" if row.get("per") else ""
    return f"{amount}{per}" + (f" of {row['models']}" if row.get("models") else "")


def lines(values: Sequence[Any] | None, nothing: str) -> str:
    """Return texts, limits or budgets side by side; ``nothing`` where there are none."""
    shown_rows = [limit(one) if isinstance(one, Mapping) else str(one) for one in values or ()]
    return ", ".join(shown_rows) or nothing


def by(value: float | None, kind: str) -> str:
    """Return a figure of a chart: ``number``, ``dollars`` or ``milliseconds``."""
    return {"number": number, "dollars": dollars, "milliseconds": milliseconds}[kind](value)


def indented(text: str) -> str:
    """Return JSON with a line for each member; any other text as it is."""
    try:
        return json.dumps(loads_lenient(text.encode()), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


FILTERS: Final[Mapping[str, Callable[..., str]]] = {
    "number": number,
    "dollars": dollars,
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
