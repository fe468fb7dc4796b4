"""``sluice calls`` and ``sluice usage``: the call log and its totals, with the filters of the admin API.

Tests: tests/terminal/test_reports.py.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from app.terminal.admin_client import ask_once, filters_of
from app.terminal.output import members_of, print_result, table_of

_CALLS: Final = (
    *("id", "created_at", "tenant", "key", "request_type", "model", "provider", "status", "cost"),
    *("latency", "warnings"),
)
_CALL: Final = "call_"
_SUMS: Final = ("calls", "errors", "input_tokens", "output_tokens", "cost", "unpriced", "cache_hits")
_SHARES: Final = {"latency": ("p50", "p95", "p99"), "first_content": ("p50", "p95")}


def calls(args: argparse.Namespace) -> int:
    """Print the newest matching calls, or all that the log knows of one; request and answer only as JSON."""
    if len(args.filters) == 1 and args.filters[0].startswith(_CALL) and "=" not in args.filters[0]:
        call = ask_once(args, "GET", f"/calls/{quote(args.filters[0], safe='')}")
        return print_result(args, call, members_of(_members(call)))
    query = {"limit": str(args.limit), **filters_of(args.filters)}
    rows = ask_once(args, "GET", "/calls", query_string=query)["data"]
    return print_result(args, rows, table_of(_CALLS, ([row.get(name) for name in _CALLS] for row in rows)))


def usage(args: argparse.Namespace) -> int:
    """Print totals of calls by whole hours."""
    groups = [name for name in args.by.split(",") if name]
    query = {"group_by": ",".join(groups), **filters_of(args.filters)}
    rows = ask_once(args, "GET", "/usage", query_string=query)["data"]
    columns = (
        *groups,
        *_SUMS,
        *_SHARES["latency"],
        *(f"first_{share}" for share in _SHARES["first_content"]),
    )
    cells = (
        [
            *(row.get(name) for name in (*groups, *_SUMS)),
            *(row[times][share] for times, shares in _SHARES.items() for share in shares),
        ]
        for row in rows
    )
    return print_result(args, rows, table_of(columns, cells))


def _members(call: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield name and value of each member, with one line for each attempt and warning."""
    for name, value in call.items():
        if name == "warned":
            yield from (("warned", f"{one['param'] or '-'}: {one['message']}") for one in value)
        elif name == "attempts":
            yield from (("attempt", json.dumps(one)) for one in value)
        elif name != "bodies":
            yield name, value
