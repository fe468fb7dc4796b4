"""``sluice calls`` and ``sluice usage``: the call log and its totals, with the filters of the admin API.

Tests: tests/terminal/test_reports.py.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from app.commands import aligned
from app.terminal.admin_client import ask
from app.terminal.settings import settings_of

_USAGE_ERROR: Final = 2
_CALLS: Final = (
    "id",
    "created_at",
    "tenant",
    "key",
    "request_type",
    "model",
    "provider",
    "status",
    "cost",
    "latency",
    "warnings",
)
_CALL: Final = "call_"
_SUMS: Final = ("calls", "errors", "input_tokens", "output_tokens", "cost", "cache_hits")
_TIMES: Final = ("p50", "p95", "p99", "first_p50", "first_p95")


def calls(given: argparse.Namespace) -> int:
    """Print the newest matching calls, or the one with the given id; return 2 for an unknown filter."""
    if len(given.filters) == 1 and given.filters[0].startswith(_CALL) and "=" not in given.filters[0]:
        return _print_call(given, given.filters[0])
    return _print_table(given, "/calls", {"limit": str(given.limit)}, _CALLS)


def usage(given: argparse.Namespace) -> int:
    """Print totals of calls by whole hours; return 2 for an unknown group or filter."""
    groups = [name for name in given.by.split(",") if name]
    return _print_table(given, "/usage", {"group_by": ",".join(groups)}, (*groups, *_SUMS, *_TIMES))


def _print_table(given: argparse.Namespace, path: str, query: dict[str, str], columns: Sequence[str]) -> int:
    settings = settings_of(given)
    if settings is None:
        return _USAGE_ERROR
    for text in given.filters:
        name, sign, value = text.partition("=")
        if not sign or name not in given.known:
            print(
                f"sluice: '{text}' is not a filter; the filters are: {', '.join(given.known)}",
                file=sys.stderr,
            )
            return _USAGE_ERROR
        query[name] = value
    status, answer = ask(settings, "GET", path, query_string=query)
    if status != 200:
        return _print_refusal(answer)
    rows = answer["data"]
    print(
        json.dumps(rows, indent=2)
        if given.json
        else aligned([columns, *(_cells(row, columns) for row in rows)])
    )
    return 0


def _print_call(given: argparse.Namespace, call_id: str) -> int:
    """Print all that the log knows of a call; request and answer only as JSON."""
    settings = settings_of(given)
    if settings is None:
        return _USAGE_ERROR
    status, call = ask(settings, "GET", f"/calls/{quote(call_id, safe='')}")
    if status != 200:
        return _print_refusal(call)
    print(json.dumps(call, indent=2) if given.json else aligned(_members(call)))
    return 0


def _members(call: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield name and value of each member, with one line for each attempt and warning."""
    for name, value in call.items():
        if name == "warned":
            yield from (("warned", f"{one['param'] or '-'}: {one['message']}") for one in value)
        elif name == "attempts":
            yield from (("attempt", json.dumps(one)) for one in value)
        elif name != "bodies":
            yield name, _text(value)


def _print_refusal(answer: Mapping[str, Any]) -> int:
    print(f"sluice: {answer['error']['message']}", file=sys.stderr)
    return _USAGE_ERROR


def _cells(row: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    """Return a row's cells, with the percentiles of latency and first content beside the other members."""
    flat = dict(row)
    for name, before in (("latency", ""), ("first_content", "first_")):
        if isinstance(times := row.get(name), Mapping):
            flat |= {f"{before}{share}": value for share, value in times.items()}
    return [_text(flat.get(name)) for name in columns]


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return json.dumps(value) if isinstance(value, Mapping) else str(value)
